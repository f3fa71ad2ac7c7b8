"""Joins segments to the output, the first ones on a thread while later ones are still made."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from av.packet import Packet

from vsr.errors import OutputError
from vsr.media.encode.segments import Segment, read_packets, read_segment, sha256_of
from vsr.media.files.opening import shown
from vsr.media.formats.muxers import cannot_write
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.mux.sink import VideoSink


class Joining:
    """Appends segments to the output in the order of their numbers."""

    def __init__(self, work: WorkFolder, open_output: Callable[[], VideoSink], time_base: Fraction) -> None:
        """Nothing is opened before there is a segment.

        Args:
            work: The folder of the segments.
            open_output: Opens the output.
            time_base: Of the packets in the segments.
        """
        self._work, self._open_output, self._time_base = work, open_output, time_base
        self._output: VideoSink | None = None
        self._added: set[int] = set()
        self.bytes = 0
        """Size of the segments that are in the output."""
        self._waiting: queue.SimpleQueue[tuple[int, Segment] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._error: BaseException | None = None

    def add(self, number: int, segment: Segment) -> None:
        """Append the next segment on a thread, without waiting for it.

        Raises:
            OutputError: an earlier segment changed on the disk, or the output cannot be written.
            InputError: with `strict`, a stream that is copied is damaged.
        """
        self._raise_error()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vsr-join", daemon=True)
            self._thread.start()
        self._added.add(number)
        self._waiting.put((number, segment))

    def complete(self, segments: Mapping[int, Segment]) -> VideoSink:
        """Append the segments that are left, on this thread; returns the output, which has all of them.

        Raises:
            VsrError: as `add`.
        """
        self._end_thread()
        self._raise_error()
        self._output = output = self._output or self._open_output()
        for number in sorted(segments.keys() - self._added):
            self._append(output, number, segments[number])
        return output

    def drop_name(self) -> None:
        """Remove the output's temporary file, if there is one; `abort` follows."""
        self._is_stopped = True
        if self._output is not None:
            self._output.drop_name()

    def abort(self) -> None:
        """Remove the output if it is unfinished; may be called repeatedly."""
        self._is_stopped = True
        self._end_thread()
        output, self._output = self._output, None
        if output is not None:
            output.abort()

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (given := self._waiting.get()) is not None and not self._is_stopped:
                self._output = self._output or self._open_output()
                self._append(self._output, *given)
        except BaseException as error:  # any error is raised again on the caller's thread
            self._error = error

    def _append(self, output: VideoSink, number: int, segment: Segment) -> None:
        path = self._work.segment(number)
        try:
            self._work.wait(number)
            known = self._work.journal.segments[number]
            if sha256_of(path) != known or read_segment(path) != segment:
                raise OutputError(
                    f"{shown(output.target)}: a finished part changed on the disk; run it again to make "
                    "it again"
                )
        except OSError as error:
            raise cannot_write(output.target, error) from error
        output.append(segment, self._until_stopped(read_packets(path, self._time_base)))
        self.bytes += segment.bytes

    def _until_stopped(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        for packet in packets:
            if self._is_stopped:
                return
            yield packet
