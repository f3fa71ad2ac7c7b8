"""The sink of a resumable run: writes segments and a journal, and joins the segments at the end.

However a run ends, repeating the same command resumes it, and the output equals that of an unbroken run.
Segments begin at fixed frame numbers, and each has its own encoder. The other streams are copied when the
segments are joined: at the end, or with workers while they make later segments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import ConfigError, OutputError
from vsr.frame import Damage, VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.encode.segments import Segment, read_segment
from vsr.media.files.opening import shown
from vsr.media.formats.containers import Container
from vsr.media.formats.muxers import cannot_write
from vsr.media.mux.resumable.joining import Joining
from vsr.media.mux.resumable.segment_maker import Making, SegmentMaker
from vsr.media.mux.resumable.source_hash import SourceHashes
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.mux.sink import VideoSink
from vsr.media.mux.sink_report import BeforeNamed, SinkReport
from vsr.media.passthrough.stream_kinds import StreamPlan
from vsr.media.remote.places import Remote
from vsr.writing import move_over

logger = logging.getLogger(__name__)


class SegmentedSink:
    """Takes frames like `VideoSink`, except those in segments that an earlier run finished."""

    def __init__(
        self,
        work: WorkFolder,
        checked: VideoSink,
        open_output: Callable[[], VideoSink],
        info: VideoInfo,
        container: Container,
        *,
        length: int,
        unrepeatable: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read the segments of an earlier run.

        Args:
            work: The folder of the segments; its job has started.
            checked: The output, opened as a test and aborted.
            open_output: Opens the output again, at the end.
            info: Of the video that is written.
            container: Of the output.
            length: The number of frames in a segment.
            unrepeatable: Called if the source's frames differ from those of a finished segment; returns
                whether decoding the source twice may give different frames.
        """
        self._work = work
        self._new_joining = partial(Joining, work, open_output, info.time_base)
        self._joining = self._new_joining()
        self._to_join: int | None = None
        self.length = length
        """The number of frames in a segment; a batch must not extend over its end."""
        self.plan: EncoderPlan = checked.plan
        """How the video is encoded."""
        self.streams: StreamPlan = checked.streams
        """The plan for all other streams."""
        self.warnings: list[str] = list(checked.warnings)
        self.target = checked.target
        """The file that is written at the end."""
        self.fates = checked.fates
        """What becomes of each stream of the source; complete when `finish` has returned."""
        self.damage = Damage()
        """Damage of the source's other streams; complete when `finish` has returned."""
        self._segments = _kept(work)
        self._unseen = set(self._segments)
        self._hashes, self._unrepeatable = SourceHashes(length), unrepeatable
        self.kept = sum(segment.frames for segment in self._segments.values())
        """The number of frames from earlier runs."""
        self._by_workers: set[int] = set()
        self._seen = -1
        making = Making(
            length=length,
            path=work.segment,
            source=lambda number: self._hashes.of(number),
            before=self._check_space,
            done=self._add,
        )
        self._maker = SegmentMaker(self.plan, info, container, making)
        self.before_named: BeforeNamed = lambda *_: None
        """Called by `finish` with the complete file and its facts, before the file gets its name."""
        self.note = work.note
        """Keeps facts of the complete result for the next run, see `WorkFolder.note`."""
        self.is_step = False
        """Whether the output is a step to other files, so that the note stays in the work folder."""
        self._report: SinkReport | None = None

    @property
    def layout(self) -> PixelLayout:
        """The layout of the frames that `write` takes."""
        return self.plan.layout

    @property
    def color(self) -> ColorSpec:
        """The colour of the frames that `write` takes, and of the output's tags."""
        return self.plan.color

    @property
    def frames(self) -> int:
        """The number of frames in finished segments, including those of earlier runs."""
        return sum(segment.frames for segment in self._segments.values())

    def wants(self, frame: YuvFrame) -> bool:
        """Return whether the next frame of the source must be upscaled; called by the decoder's thread for
        each frame.

        Raises:
            ConfigError: finished segments were made from other frames.
        """
        number = self._hashes.add(frame)
        if self._to_join is None:
            self._to_join = number
        if number != self._seen:
            self._compare(self._seen)
            self._seen = number
        return number not in self._work.journal.segments

    def observe(self, frame: YuvFrame) -> bool:
        """Record the next frame of the source, of which workers make the segments; returns False, because
        the caller must not upscale it.

        Raises:
            ConfigError: segments that an earlier run finished were made from other frames.
        """
        self.wants(frame)
        return False

    def take(self, number: int, made: str, digest: str, stored: Segment | None = None) -> None:
        """Add a segment that a worker has finished.

        Args:
            number: Its number.
            made: The temporary name of its file in the work folder.
            digest: The SHA-256 of the file.
            stored: Its trailer, if the worker has put it into the store of the work folder instead.

        Raises:
            OutputError: the file is no segment, or the disk or the store refuses.
        """
        self._check_space()
        place = self._work.segment(number)
        temporary = place.with_name(made)
        segment = stored or read_segment(temporary)
        try:
            if stored is None:
                move_over(temporary, place)
            else:
                self._work.fetch(number, digest)
            self._add(number, segment, digest, is_stored=stored is not None)
        except OSError as error:
            raise cannot_write(self.target, error) from error
        self._by_workers.add(number)
        self._unseen.add(number)
        self._join_early()

    def drop_made(self, made: str) -> None:
        """Remove a segment that a worker has finished after another one; `made` is as for `take`.

        In a store, it is the same object, or one that is removed with all others at the end.
        """
        self._work.segment(0).with_name(made).unlink(missing_ok=True)

    @property
    def key(self) -> Mapping[str, Any]:
        """The facts that decide the result, by name."""
        return self._work.journal.key

    @property
    def folder(self) -> Path:
        """The work folder, into which workers write."""
        return self._work.path

    @property
    def store(self) -> Remote | None:
        """The folder of a store into which workers put segments instead; None if there is none."""
        return self._work.store

    @property
    def numbers(self) -> set[int]:
        """Numbers of the segments of which a frame was observed."""
        return self._hashes.numbers()

    @property
    def finished(self) -> set[int]:
        """Numbers of the finished segments."""
        return set(self._segments)

    def start_again(self) -> None:
        """Forget the frames that were observed, because the source is decoded again from its beginning."""
        self._joining.abort()  # a joined segment might be found to be made from other frames
        self._joining, self._to_join = self._new_joining(), None
        self._hashes, self._seen, self._unseen = SourceHashes(self.length), -1, set(self._segments)

    def _join_early(self) -> None:
        """Join the finished segments at the beginning, of which this process has decoded all frames."""
        if ENCODERS[self.plan.codec].needs is not None:
            return  # the output would keep a session of the encoder, of which some devices have few
        while (number := self._to_join) is not None and number < self._seen and number in self._segments:
            self._compare(number)
            if number not in self._segments or not self._work.is_here(number):
                return
            self._joining.add(number, self._segments[number])
            self._to_join = number + 1

    def _compare(self, number: int) -> None:
        """Check that a finished segment was made from the frames that the source has now.

        One that a worker of this run made from others is forgotten, so that it is made again.

        Raises:
            ConfigError: an earlier run made it from other frames.
        """
        if number not in self._unseen:
            return
        self._unseen.remove(number)
        if self._segments[number].source == self._hashes.of(number) or self._unrepeatable():
            return
        if number in self._by_workers:
            logger.warning("segment %d: a worker decoded other frames; it is made again", number)
            del self._segments[number]
            self._work.forget(number)
        else:
            raise ConfigError(
                f"{shown(self.target)}: the input changed since its finished parts were made, from frame "
                f"{number * self.length} on; restore it, or start again with `restart=True`"
            )

    def write(self, frame: YuvFrame) -> None:
        """Encode a frame for which `wants` returned True.

        Raises:
            DeviceError: the encoder failed.
            OutputError: the disk is full; finished segments are kept.
        """
        try:
            self._maker.write(frame)
        except OSError as error:
            raise cannot_write(self.target, error) from error

    def end_frames(self) -> None:
        """Finish the last segment after the last frame.

        Raises:
            ConfigError: finished segments were made from other frames, or from more frames than there are.
            OutputError: the disk is full; finished segments are kept.
        """
        for number in sorted(self._unseen):
            self._compare(number)
        try:
            self._maker.end()
        except OSError as error:
            raise cannot_write(self.target, error) from error
        self._work.settle()

    def _add(self, number: int, segment: Segment, digest: str, *, is_stored: bool = False) -> None:
        self._segments[number] = segment
        self._work.add(number, digest, is_stored=is_stored)

    def _check_space(self) -> None:
        """Check that the disk has space for the joined segments, so that a run stops early and not at its
        end.
        """
        sizes = [segment.bytes for segment in self._segments.values()]
        needed = sum(sizes) + 2 * max(sizes, default=0) - self._joining.bytes
        with suppress(OSError):
            free = self._work.free_bytes()
            if free < needed:
                raise OutputError(
                    f"{shown(self.target)}: {free / 1e6:.0f} MB are free and {needed / 1e6:.0f} MB are "
                    "needed so far; make room, then run it again to resume"
                )

    def finish(self) -> SinkReport:
        """Join the segments to the output, check it, and rename it. `abort` then removes the segments.

        Repeated calls return the same report.

        Raises:
            OutputError: a segment changed on the disk, or the output cannot be written.
            InputError: with `strict`, a stream that is copied is damaged.
        """
        if self._report is None:
            self.end_frames()
            output = self._joining.complete(self._segments)
            output.before_named = partial(self._complete, output)
            self._report = output.finish()
        return self._report

    def _complete(self, output: VideoSink, file: Path, report: SinkReport) -> None:
        self.damage, self.fates = output.damage, output.fates
        self.warnings += [line for line in output.warnings if line not in self.warnings]
        self.before_named(file, report)

    def close(self) -> None:
        """Call `finish`, unless the sink was aborted, and `abort`."""
        self.finish()
        self.abort()

    def drop_name(self) -> None:
        """Remove the output's temporary file, if there is one; segments are kept. `abort` follows."""
        self._joining.drop_name()

    def abort(self) -> None:
        """Remove what is unfinished, and segments that no run needs any more; may be called repeatedly.

        After `finish`, the caller first writes down what it knows of the result: if the process is killed
        before, the next run finds the note of the result in the work folder.
        """
        self._maker.drop()
        self._joining.abort()
        self._work.leave(done=self._report is not None, keep_note=self.is_step)


def _kept(work: WorkFolder) -> dict[int, Segment]:
    """Read the trailers of the segments from an earlier run. Unreadable segments are made again."""
    found = {}
    for number in list(work.journal.segments):
        work.wait(number)
        try:
            found[number] = read_segment(work.segment(number))
        except OutputError:
            del work.journal.segments[number]
    return found


def segment_length(info: VideoInfo, seconds: Fraction) -> int:
    """Return the number of frames in a segment of `seconds`, at least one. The nominal rate is exact enough
    for this.
    """
    return max(1, round(seconds * (info.frame_rate or 25)))
