"""A sink for standard output: uncompressed frames as they are made, with times where the format has any.

Nothing can be promised of what is not kept: no name to hold back, no reading again, no going on. What is
promised is that every frame went out whole, in order, and that the end is only written after the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import ConfigError, OutputError, ReaderGoneError
from vsr.frame import Damage, VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan, plan_with
from vsr.media.encode.encoder_table import RAW_FORMATS, EncoderSpec
from vsr.media.encode.video_encoder import FALLBACK_RATE, PictureEncoder
from vsr.media.files.opening import reopen_media
from vsr.media.files.stdio import MUXERS, STANDARD, PipeOutput, is_pipe, standard_input
from vsr.media.formats.containers import Container
from vsr.media.formats.timestamps import shift_for
from vsr.media.mux.sink_report import SinkReport
from vsr.media.passthrough.stream_kinds import StreamPlan
from vsr.settings.schema import EncoderSettings, PipeFormat

CONTAINERS: dict[PipeFormat, Container] = {
    "y4m": Container(name="YUV4MPEG2", muxer="yuv4mpegpipe", family="pipe", text_subtitles=""),
    "nut": Container(name="NUT", muxer="nut", family="pipe", text_subtitles=""),
}
_BUFFER = 1 << 20
"""Bytes that FFmpeg gathers before it writes."""


def open_pipe_sink(
    *,
    source: Path,
    info: VideoInfo,
    width: int,
    height: int,
    settings: EncoderSettings,
    format: PipeFormat | None = None,
    start: Fraction | None = None,
    fd: int = 1,
) -> PipeSink:
    """Open standard output for frames; see `open_sink` for what is not said here.

    Args:
        source: The input.
        info: Of the input's frame.
        width: Of the output in pixels.
        height: Of the output in pixels.
        settings: Only `pixel_format` has a meaning here.
        format: None takes that of the input where it comes through a pipe, else NUT.
        start: Seconds from the start of the frame; time runs from there.
        fd: Where it is written to.

    Raises:
        ConfigError: settings of an encoder, or a pixel format that the format has not.
        OutputError: it cannot be written to.
    """
    chosen = format or (standard_input().format() if is_pipe(source) else "nut")
    container = CONTAINERS[chosen]
    if replace(settings, pixel_format=None) != EncoderSettings():
        raise ConfigError(
            "standard output carries uncompressed frames; leave out the encoder and its settings"
        )
    spec = EncoderSpec(
        codec="rawvideo", muxers=(container.muxer,), pixel_formats=RAW_FORMATS[container.muxer]
    )
    plan = plan_with(spec, settings, info, width=width, height=height, container=container)
    plan = replace(plan, threads=1)  # FFmpeg's rawvideo encoder holds back a frame for each further thread
    begin = None if start is None else (info.start_seconds or Fraction(0)) + start
    return PipeSink(PipeOutput(fd), plan, info, chosen, begin=begin, notes=_left_behind(source, info, chosen))


def _left_behind(source: Path, info: VideoInfo, chosen: PipeFormat) -> list[str]:
    """A sentence for each thing of the source that the format has no place for."""
    notes = []
    if not is_pipe(source):
        with reopen_media(source) as media:
            others = len(media.streams) - 1
        if others:
            notes.append(f"a pipe carries the video only; {others} other streams of the source are left out")
    if info.display_matrix is not None:
        notes.append(f"{CONTAINERS[chosen].name} cannot say that frames are shown rotated or mirrored")
    marks = {
        "hidden borders": info.crop,
        "the arrangement of two views": info.stereo,
        "the mark of 360 degree video": info.spherical,
    }
    if lost := [words for words, mark in marks.items() if mark is not None]:
        notes.append(f"a pipe cannot carry {', '.join(lost)}")
    if chosen == "nut":
        color = info.color
        tags = {"color_range": color.range, "colorspace": color.matrix}
        tags |= {"color_primaries": color.primaries, "color_trc": color.transfer}
        words = " ".join(f"-{name} {int(tag)}" for name, tag in tags.items())
        notes.append(f"NUT has no colour tags; give them to the reader, for ffmpeg before its -i: {words}")
    return notes


class PipeSink:
    """Standard output being written; as `VideoSink`, without what needs a file."""

    def __init__(
        self,
        out: PipeOutput,
        plan: EncoderPlan,
        info: VideoInfo,
        chosen: PipeFormat,
        *,
        begin: Fraction | None,
        notes: list[str],
    ) -> None:
        """Use `open_pipe_sink`."""
        self.plan = plan
        """How the frame is written."""
        self.streams = StreamPlan()
        """None but the frame."""
        self.warnings = [*notes, *plan.notes]
        self.damage = Damage()
        """Of other streams: none are read."""
        self.frames = 0
        """Frames written."""
        self._out, self._info, self._chosen = out, info, chosen
        zero = info.clock_start if begin is None else begin
        shift = -(zero // info.time_base) * info.time_base
        first = (info.start_seconds or Fraction(0)) if begin is None else begin
        self._shift = shift + shift_for(first + shift, info.time_base)
        self._irregular = self._raised = 0
        self._first_pts: int | None = None
        self._report: SinkReport | None = None
        self._box = av.open(out, "w", format=MUXERS[chosen], options=_OPTIONS[chosen], buffer_size=_BUFFER)
        self._numbered = chosen == "y4m"
        """Whether frames are numbered, and carry no times: the rate in the header is all that is said."""
        if self._numbered:
            self._shift = Fraction(0)
        self._encoder = PictureEncoder(self._box, plan, _numbered(info) if self._numbered else info)

    @property
    def layout(self) -> PixelLayout:
        """The layout in which `write` wants its frames."""
        return self.plan.layout

    @property
    def color(self) -> ColorSpec:
        """The colour in which `write` wants its frames."""
        return self.plan.color

    def write(self, frame: YuvFrame) -> None:
        """Write one frame.

        Raises:
            ReaderGoneError: nobody reads any more.
            OutputError: it cannot be written.
        """
        try:
            self._mux(self._encoder.encode(self._as_numbered(frame) if self._numbered else frame))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from error
        self._watch_rate(frame)
        self.frames += 1

    def finish(self) -> SinkReport:
        """Write the end; once.

        Raises:
            ReaderGoneError: nobody reads any more.
            OutputError: it cannot be written, or there was no frame.
        """
        if self._report is None:
            if not self.frames:
                raise OutputError("standard output: no frame was written; check --start and --end")
            try:
                self._mux(self._encoder.flush())
                self._box.close()
            except (av.FFmpegError, OSError, ValueError) as error:
                raise self._failure(error) from error
            self._out.close()
            self._say_what_changed()
            self._report = SinkReport(
                path=STANDARD,
                frames=self.frames,
                streams=0,
                packets=0,
                bytes=self._out.bytes,
                shift=self._shift,
            )
        return self._report

    def close(self) -> None:
        """`finish`."""
        self.finish()

    def drop_name(self) -> None:
        """Write nothing more, even while another thread writes; then `abort`."""
        if self._report is None:
            self._out.stop()

    def abort(self) -> None:
        """Leave the stream without its end; harmless when repeated, or when finished."""
        if self._report is None:
            self._out.stop()
            with suppress(av.FFmpegError, OSError, ValueError):
                self._box.close()
            self._out.close()

    def _mux(self, packets: Iterable[Packet[Any]]) -> None:
        for packet in packets:
            offset = round(self._shift / packet.time_base)
            assert packet.pts is not None
            assert packet.dts is not None
            self._raised += packet.pts < packet.dts  # a source's own time that strays back
            packet.pts = packet.dts = max(packet.pts, packet.dts) + offset
            self._box.mux_one(packet)

    def _as_numbered(self, frame: YuvFrame) -> YuvFrame:
        rate = self._info.frame_rate or FALLBACK_RATE
        return replace(frame, stamp=replace(frame.stamp, pts=self.frames, duration=1, time_base=1 / rate))

    def _watch_rate(self, frame: YuvFrame) -> None:
        """Count frames whose time YUV4MPEG2, which only knows a rate, puts a tick or more elsewhere."""
        if self._first_pts is None:
            self._first_pts = frame.stamp.pts
        rate = self._info.frame_rate or FALLBACK_RATE
        said = self.frames / rate
        meant = (frame.stamp.pts - self._first_pts) * frame.stamp.time_base
        self._irregular += abs(meant - said) >= max(frame.stamp.time_base, Fraction(1, 1000))

    def _say_what_changed(self) -> None:
        if self._chosen == "y4m" and self._irregular:
            self.warnings.append(
                f"YUV4MPEG2 has no timestamps: {self._irregular} frames move to the rate of "
                f"{self._info.frame_rate or FALLBACK_RATE}; --format nut keeps every time"
            )
        if self._raised:
            self.warnings.append(
                f"{self._raised} timestamps repeat or run back; moved behind their neighbours"
            )

    def _failure(self, error: Exception) -> OutputError:
        if isinstance(error, BrokenPipeError):
            return ReaderGoneError(f"standard output: the reader went away after {self.frames} frames")
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"standard output: cannot be written ({reason}); check what reads it")


def _numbered(info: VideoInfo) -> VideoInfo:
    """With ticks of a frame: FFmpeg writes them into YUV4MPEG2's header as the rate."""
    return replace(info, time_base=1 / (info.frame_rate or FALLBACK_RATE))


_OPTIONS: dict[PipeFormat, dict[str, str]] = {
    "y4m": {"strict": "-1"},  # more than 8 bits are FFmpeg's extension of the format
    "nut": {},
}
