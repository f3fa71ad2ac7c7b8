"""The sink of a resumable run: segments, a journal, and the join at the end.

Whatever ends a run, the same command goes on with it, and what it makes is what an unbroken run makes:
segments are cut by the number of the frame, each by an encoder of its own, and everything else of the file
is copied when it is put together.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import ConfigError, OutputError
from vsr.frame import Damage, VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.segments import Segment, SegmentWriter, read_packets, read_segment, sha256_of
from vsr.media.files.opening import shown
from vsr.media.formats.containers import Container
from vsr.media.formats.muxers import cannot_write
from vsr.media.mux.sink import VideoSink
from vsr.media.mux.sink_report import SinkReport
from vsr.media.mux.source_hash import SourceHashes
from vsr.media.mux.work_folder import WorkFolder
from vsr.media.passthrough.stream_kinds import StreamPlan


class SegmentedSink:
    """Takes frames like `VideoSink`, but not again those of segments that an earlier run finished."""

    def __init__(
        self,
        work: WorkFolder,
        checked: VideoSink,
        open_output: Callable[[], VideoSink],
        info: VideoInfo,
        container: Container,
        *,
        length: int,
        shaky: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read what an earlier run has left.

        Args:
            work: Where segments are kept; its job has begun.
            checked: The output, opened to see that it can be made, and aborted.
            open_output: Opens the output again, at the end.
            info: Of the frame that is written.
            container: Of the output.
            length: Frames in a segment.
            shaky: Asked where the source's frames differ from those that a segment was made of: whether
                decoding them twice need not give the same.
        """
        self._work, self._open_output, self._info, self._container = work, open_output, info, container
        self.length = length
        """Frames in a segment; where one ends, a batch must."""
        self.plan: EncoderPlan = checked.plan
        """How the frame is encoded."""
        self.streams: StreamPlan = checked.streams
        """What becomes of all other streams."""
        self.warnings: list[str] = list(checked.warnings)
        self._target = checked.target
        self.damage = Damage()
        """What was wrong with the source's other streams; complete once `finish` returns."""
        self._segments = _kept(work)
        self._unseen = set(self._segments)
        self._hashes, self._shaky = SourceHashes(length), shaky
        self.kept = sum(segment.frames for segment in self._segments.values())
        """Frames that an earlier run has made."""
        self._writer: SegmentWriter | None = None
        self._number = self._seen = -1
        self._output: VideoSink | None = None
        self._report: SinkReport | None = None

    @property
    def layout(self) -> PixelLayout:
        """The layout in which `write` wants its frames."""
        return self.plan.layout

    @property
    def color(self) -> ColorSpec:
        """The colour in which `write` wants its frames; also what the output is tagged with."""
        return self.plan.color

    @property
    def frames(self) -> int:
        """Frames in finished segments, those of earlier runs included."""
        return sum(segment.frames for segment in self._segments.values())

    def wants(self, frame: YuvFrame) -> bool:
        """Whether a frame of the source, in order, has still to be made; on the decoder's thread.

        Raises:
            ConfigError: finished segments were made of other frames.
        """
        number = self._hashes.add(frame)
        if number != self._seen:
            self._compare(self._seen)
            self._seen = number
        return number not in self._work.journal.segments

    def _compare(self, number: int) -> None:
        """Whether a finished segment was made of the frames that the source has now.

        Raises:
            ConfigError: it was not.
        """
        if number not in self._unseen:
            return
        self._unseen.remove(number)
        if self._segments[number].source != self._hashes.of(number) and not self._shaky():
            raise ConfigError(
                f"{shown(self._target)}: the input is no longer what its finished parts were made of, from "
                f"frame {number * self.length} on; bring it back as it was, or begin anew with --restart"
            )

    def write(self, frame: YuvFrame) -> None:
        """Encode one frame that is wanted.

        Raises:
            DeviceError: the encoder failed.
            OutputError: the disk is full; finished segments are kept.
        """
        try:
            number = frame.stamp.index // self.length
            if self._writer is None or number != self._number:
                self._end_segment()
                self._check_room()
                path = self._work.segment(number)
                self._writer = SegmentWriter(path, self.plan, self._info, self._container)
                self._number = number
            self._writer.write(frame)
        except OSError as error:
            raise cannot_write(self._target, error) from error

    def end_pictures(self) -> None:
        """Finish the last segment; no frame comes after it.

        Raises:
            ConfigError: finished segments were made of other frames, or of more than there are.
            OutputError: the disk is full; finished segments are kept.
        """
        for number in sorted(self._unseen):
            self._compare(number)
        try:
            self._end_segment()
        except OSError as error:
            raise cannot_write(self._target, error) from error

    def _end_segment(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            segment, digest = writer.finish(self._hashes.of(self._number))
        except BaseException:
            writer.drop()
            raise
        self._segments[self._number] = segment
        self._work.add(self._number, digest)

    def _check_room(self) -> None:
        """All segments are copied into the output at the end; better to stop now than after a day more."""
        sizes = [segment.bytes for segment in self._segments.values()]
        needed = sum(sizes) + 2 * max(sizes, default=0)
        with suppress(OSError):
            free = self._work.free_bytes()
            if free < needed:
                raise OutputError(
                    f"{shown(self._target)}: {free / 1e6:.0f} MB are free and {needed / 1e6:.0f} MB are "
                    "needed by now; make room, then the same command goes on"
                )

    def finish(self) -> SinkReport:
        """Put the output together, check it, give it its name, and remove the segments; once.

        Raises:
            OutputError: a segment was changed on the disk, or the output cannot be written.
            InputError: with `strict`, a stream that is copied is damaged.
        """
        if self._report is None:
            self.end_pictures()
            self._output = output = self._open_output()
            for number, segment in sorted(self._segments.items()):
                self._append(output, number, segment)
            self._report = output.finish()
            self.damage = output.damage
            self.warnings += [line for line in output.warnings if line not in self.warnings]
            self._work.leave(done=True)
        return self._report

    def _append(self, output: VideoSink, number: int, segment: Segment) -> None:
        path = self._work.segment(number)
        try:
            if sha256_of(path) != self._work.journal.segments[number]:
                raise OutputError(
                    f"{shown(self._target)}: a finished part changed on the disk; the same command makes it "
                    "again"
                )
        except OSError as error:
            raise cannot_write(self._target, error) from error
        output.append(segment, read_packets(path, self._info.time_base))

    def close(self) -> None:
        """`finish`, unless it was aborted."""
        self.finish()

    def drop_name(self) -> None:
        """Nothing carries the output's name yet, and segments are kept; see `abort`."""
        if self._output is not None:
            self._output.drop_name()

    def abort(self) -> None:
        """Drop what is not finished; harmless when repeated, or when finished."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.drop()
        output, self._output = self._output, None
        if output is not None:
            output.abort()
        self._work.leave(done=self._report is not None)


def _kept(work: WorkFolder) -> dict[int, Segment]:
    """What is known of the segments that an earlier run has made; what cannot be read is made again."""
    found = {}
    for number in list(work.journal.segments):
        try:
            found[number] = read_segment(work.segment(number))
        except OutputError:
            del work.journal.segments[number]
    return found


def segment_length(info: VideoInfo, seconds: Fraction) -> int:
    """Frames in a segment of so many seconds; at least one. A label, the rate, is good enough for that."""
    return max(1, round(seconds * (info.frame_rate or 25)))
