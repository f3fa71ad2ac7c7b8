"""The sink of a file: encodes, muxes, checks and renames.

`sink_opening.open_sink` opens it: the header is written to a hidden temporary file beside the target. `write`
encodes. `finish` closes the file, reads it back, counts the packets, and renames it. If any step fails, the
target is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import InputError, OutputError
from vsr.frame import Damage, VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.segments import Segment
from vsr.media.encode.video_encoder import VideoEncoder
from vsr.media.files.opening import shown
from vsr.media.files.output_path import local_place
from vsr.media.files.pyav import TEXT
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska import tick_for
from vsr.media.formats.matroska_track import PLACEHOLDER, needs_finishing
from vsr.media.formats.muxers import cannot_write, muxer_options, start_output
from vsr.media.mux.interleave import Interleaver
from vsr.media.mux.late_headers import complete_headers
from vsr.media.mux.read_back import Written, check_written
from vsr.media.mux.sink_report import BeforeNamed, SinkReport
from vsr.media.mux.start_clock import start_clock, whole_ticks
from vsr.media.passthrough.copier import StreamCopier
from vsr.media.passthrough.header import copy_header
from vsr.media.passthrough.stream_kinds import StreamPlan, left_empty, without_empty
from vsr.system.files import sync_file, sync_folder


class VideoSink:
    """An output that is being written. As a context manager, it finishes, or aborts after an exception."""

    def __init__(
        self,
        target: Path,
        temporary: Path,
        place: Callable[[], None],
        source: Path,
        info: VideoInfo,
        *,
        plan: EncoderPlan,
        streams: StreamPlan,
        container: Container,
        start: Fraction | None = None,
        end: Fraction | None = None,
        strict: bool = False,
    ) -> None:
        """Use `sink_opening.open_sink` instead."""
        self._target, self._temporary, self._place = target, temporary, place
        self._info, self._plan, self._streams, self._container = info, plan, streams, container
        self.frames = 0
        self._end = 0
        self._appended = False
        self._strict = strict
        self.damage = Damage()
        """Damage of the source's other streams; complete when `finish` has returned."""
        self._report: SinkReport | None = None
        self._ended = False
        self.release: Callable[[], None] = lambda: None
        """Called once by `abort`, when nothing is left under the temporary name."""
        self.before_named: BeforeNamed = lambda *_: None
        """Called by `finish` with the complete file and its facts, before the file gets its name."""
        self.note: Callable[[Mapping[str, Any]], None] = lambda _: None
        """Keeps facts of the complete result for the next run, see `WorkFolder.note`."""
        self.warnings: list[str] = [*plan.notes, *streams.warnings]
        self.fates = streams.fates
        """What becomes of each stream of the source; streams without packets are known after `finish`."""
        origin = (info.start_seconds or Fraction(0)) if start is not None or end is not None else Fraction(0)
        begin = None if start is None else whole_ticks(origin + start, info.time_base)
        until = None if end is None else origin + end
        tick = tick_for(info.time_base, streams.audio_bases) if container.family == "matroska" else None
        options = muxer_options(container, tick, [info.time_base, *streams.audio_bases])
        self._output: OutputContainer | None = av.open(
            f"file:{temporary.absolute()}", "w", format=container.muxer, container_options=options, **TEXT
        )
        self._copier: StreamCopier | None = None
        try:
            self._encoder = VideoEncoder(self._output, plan, info)
            self._copier = StreamCopier(
                source,
                streams,
                self._output,
                container,
                video=info.stream_index,
                damage=self.damage,
                start=begin,
                end=until,
            )
            self._attached = sum(stream.way == "attach" for stream in streams.kept)
            self._packets = Interleaver(
                self._output,
                self._encoder.stream,
                self._copier,
                start_clock(info, self._copier, container, tick=tick, begin=begin),
                target=target,
                damage=self.damage,
                alone=not streams.kept,
                mp4=container.family == "mp4",
            )
            self._pending = self._copier.pending
            self.warnings += copy_header(
                source,
                self._output,
                self._encoder.stream,
                info,
                container=container,
                streams=streams,
                shift=self._packets.clock.shift,
                start=begin,
                end=until,
                skipped=start,
                pending=self._pending,
            )
            if needs_finishing(info):
                tags = self._encoder.stream.metadata
                tags["title"] = tags.get("title", "") + PLACEHOLDER
            start_output(self._output, shown(target))
        except BaseException:
            self.abort()
            raise

    @property
    def target(self) -> Path:
        """Path of the output."""
        return self._target

    @property
    def plan(self) -> EncoderPlan:
        """How the video is encoded."""
        return self._plan

    @property
    def streams(self) -> StreamPlan:
        """The plan for all other streams."""
        return self._streams

    @property
    def layout(self) -> PixelLayout:
        """The layout of the frames that `write` takes."""
        return self._plan.layout

    @property
    def color(self) -> ColorSpec:
        """The colour of the frames that `write` takes, and of the output's tags."""
        return self._plan.color

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: YuvFrame) -> None:
        """Encode one frame, and mux the packets that are due before it.

        Args:
            frame: In presentation order, in host memory, of `layout` and `color`, with a stamp in the
                source's time base and on its clock.

        Raises:
            DeviceError: the encoder failed.
            OutputError: the disk is full, or the file cannot be written.
            InputError: with `strict`, a stream that is copied is damaged.
        """
        packets = self._encoder.encode(frame)
        if not self.frames:
            self._begin(frame.stamp.seconds)
        self.frames += 1
        self._end = self._encoder.end
        self._packets.push(packets)
        self._stop_at_damage()

    def append(self, segment: Segment, packets: Iterable[Packet[Any]]) -> None:
        """Mux frames that another encoder with the same plan has encoded; used instead of `write`.

        Args:
            segment: The trailer of the segment.
            packets: In that encoder's order, in the source's time base and on its clock.

        Raises:
            OutputError: they need another header than the output has, or the disk is full.
            InputError: with `strict`, a stream that is copied is damaged.
        """
        header = (self._encoder.stream.codec_context.extradata or b"").hex()
        if segment.extradata != header:
            raise OutputError(
                f"{shown(self._target)}: {self._plan.codec} made a part with another header than it makes "
                "now; start again with `restart=True`"
            )
        if not self.frames:
            self._begin(segment.first_pts * self._info.time_base)
        self.frames += segment.frames
        self._end = segment.end
        self._appended = True
        self._packets.push(packets)
        self._stop_at_damage()

    def encoded_bytes(self) -> int:
        """Flush the encoder, and return the size of all frames so far; afterwards only `abort` may be
        called.
        """
        self._packets.push(self._encoder.flush())
        return self._encoder.bytes

    def finish(self) -> SinkReport:
        """Write the remaining packets, close the file, read it back, count, and rename it.

        Repeated calls return the same report.

        Raises:
            DeviceError: the encoder failed.
            OutputError: the file is incomplete or cannot be written; the target is unchanged.
            InputError: with `strict`, a stream that is copied is damaged.
        """
        if self._report is None:
            try:
                self._report = self._finish()
            except BaseException:
                self.abort()
                raise
        return self._report

    def close(self) -> None:
        """Call `finish`, unless the sink was finished or aborted."""
        if self._output is not None:
            self.finish()

    def drop_name(self) -> None:
        """Delete the unfinished file from its folder, even while another thread writes; `abort` follows."""
        if not self._ended:
            with suppress(OSError):  # the error that ended the run is the one to report
                self._temporary.unlink(missing_ok=True)

    def abort(self) -> None:
        """Remove what is unfinished; may be called repeatedly, also after `finish`."""
        if self._ended:
            return
        self.drop_name()  # before closing, which writes an index into the file, now without a name
        if self._copier is not None:
            self._copier.close()
        output, self._output = self._output, None
        if output is not None:
            with suppress(av.FFmpegError, OSError, ValueError):
                output.close()
        self.drop_name()  # a muxer that never started creates the file on closing
        self._ended = True
        self.release()

    def _finish(self) -> SinkReport:
        assert self._output is not None
        assert self._copier is not None
        if not self.frames:
            raise OutputError(f"{shown(self._target)}: no frame was written; check `start` and `end`")
        self._packets.push([] if self._appended else self._encoder.flush())
        self._packets.rest(self._end)
        self._copier.close()
        if refused := self._packets.refused:
            self.damage.notes.append(f"{refused} damaged packets of audio or subtitles are left out")
        self._stop_at_damage()
        self.warnings += [*self._copier.notes, *self._packets.moved()]
        empty = left_empty(self._container, self._streams, self._copier.counts)
        self.fates = without_empty(self.fates, empty)
        self.warnings += empty.values()
        return self._put_in_place(self._output, self._copier.counts)

    def _put_in_place(self, output: OutputContainer, counts: dict[int, int]) -> SinkReport:
        assert self._copier is not None
        sizes = self._copier.sizes
        wanted = [Written("video", self.frames)]
        wanted += [Written(output.streams[i].type, n, sizes[i]) for i, n in sorted(counts.items())]
        try:
            output.close()
            self._output = None
            complete_headers(
                self._temporary,
                self._info,
                self._plan,
                self._container,
                tick=self._packets.clock.tick,
                pending=self._pending,
            )
            sync_file(self._temporary)
            found = check_written(
                self._temporary, wanted, name=shown(self._target), refused=self._packets.refused
            )
            report = SinkReport(
                path=self._target,
                frames=self.frames,
                streams=len(counts) + self._attached,
                packets=sum(counts.values()) - self._packets.refused,
                bytes=found.bytes,
                read_back=True,
                shift=self._packets.clock.shift,
            )
            self.before_named(self._temporary, report)
            self._place()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise cannot_write(self._target, error) from error
        sync_folder(local_place(self._target).parent)
        return report

    def _begin(self, first: Fraction) -> None:
        """Set the clock before the first packet, so that nothing begins before zero."""
        self._packets.clock = self._packets.clock.not_before_zero(first, self._info.time_base)

    def _stop_at_damage(self) -> None:
        if self._strict and self.damage:
            what = next(iter(self.damage.notes), "a packet of audio or subtitles is damaged")
            raise InputError(
                f"{shown(self._info.path)}: {what}. Without `strict`, vsr continues and counts the damage"
            )
