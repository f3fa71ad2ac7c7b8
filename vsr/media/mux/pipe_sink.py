"""Writes uncompressed frames to standard output, with times if the format has any.

What goes into a pipe cannot be kept under a temporary name, read back or resumed. Guaranteed is that every
frame is written completely and in order, and that the end is written only after the last frame.
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
from vsr.media.encode.video_encoder import FALLBACK_RATE, VideoEncoder
from vsr.media.files.opening import reopen_media
from vsr.media.files.stdio import MUXERS, STANDARD, Digest, PipeOutput, is_pipe, standard_input
from vsr.media.formats.containers import Container
from vsr.media.formats.timestamps import shift_for
from vsr.media.mux.sink_report import SinkReport
from vsr.media.passthrough.stream_kinds import StreamPlan
from vsr.media.passthrough.stream_plan import only_video
from vsr.settings.schema import EncoderSettings, PipeFormat
from vsr.system.last_step import last_step

CONTAINERS: dict[PipeFormat, Container] = {
    "y4m": Container(name="YUV4MPEG2", muxer="yuv4mpegpipe", family="pipe", text_subtitles=""),
    "nut": Container(name="NUT", muxer="nut", family="pipe", text_subtitles=""),
}
_BUFFER = 1 << 20
"""The number of bytes that FFmpeg collects before it writes."""


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
    """Open standard output for frames; see also `open_sink`.

    Args:
        source: Path of the input.
        info: Of the input's video.
        width: Width of the output in pixels.
        height: Height of the output in pixels.
        settings: Only `pixel_format` is used.
        format: None is the input's format if that comes through a pipe, else NUT.
        start: In seconds after the first frame; the output's times begin there.
        fd: The file descriptor to write to.

    Raises:
        ConfigError: there are settings of an encoder, or the format does not support the pixel format.
        OutputError: standard output cannot be written to.
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
    plan = replace(plan, threads=1)  # FFmpeg's rawvideo encoder delays frames by one for each further thread
    begin = None if start is None else (info.start_seconds or Fraction(0)) + start
    with reopen_media(source) as media:
        streams = only_video(media.streams, info.stream_index)
    notes = _losses(info, chosen, others=len(streams.dropped))
    return PipeSink(PipeOutput(fd), plan, info, chosen, begin=begin, streams=streams, notes=notes)


def _losses(info: VideoInfo, chosen: PipeFormat, *, others: int) -> list[str]:
    """Return a sentence for each property of the source that the format does not support."""
    notes = []
    if others:
        notes.append(f"a pipe carries the video only; {others} other streams of the source are left out")
    if info.display_matrix is not None:
        notes.append(f"{CONTAINERS[chosen].name} cannot say that frames are shown rotated or mirrored")
    unsupported = {
        "hidden borders": info.crop,
        "the arrangement of two views": info.stereo,
        "the mark of 360 degree video": info.spherical,
    }
    if lost := [words for words, mark in unsupported.items() if mark is not None]:
        notes.append(f"a pipe cannot carry {', '.join(lost)}")
    if chosen == "nut":
        color = info.color
        tags = {"color_range": color.range, "colorspace": color.matrix}
        tags |= {"color_primaries": color.primaries, "color_trc": color.transfer}
        words = " ".join(f"-{name} {int(tag)}" for name, tag in tags.items())
        notes.append(f"NUT has no colour tags; pass them to the reader (to ffmpeg before its -i): {words}")
    return notes


class PipeSink:
    """A sink like `VideoSink` that writes to standard output."""

    def __init__(
        self,
        out: PipeOutput,
        plan: EncoderPlan,
        info: VideoInfo,
        chosen: PipeFormat,
        *,
        begin: Fraction | None,
        streams: StreamPlan,
        notes: list[str],
    ) -> None:
        """Use `open_pipe_sink`."""
        self.plan = plan
        """How the video is written."""
        self.streams = streams
        """The plan for all other streams: they are left out."""
        self.fates = streams.fates
        """What becomes of each stream of the source."""
        self.warnings = [*notes, *plan.notes]
        self.damage = Damage()
        """Always empty: no other streams are read."""
        self.frames = 0
        """The number of frames written."""
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
        """Whether frames are only numbered: the format has a rate in its header, but no times."""
        if self._numbered:
            self._shift = Fraction(0)
        self._encoder = VideoEncoder(self._box, plan, _numbered(info) if self._numbered else info)

    @property
    def layout(self) -> PixelLayout:
        """The layout of the frames that `write` takes."""
        return self.plan.layout

    @property
    def color(self) -> ColorSpec:
        """The colour of the frames that `write` takes."""
        return self.plan.color

    def keep_digest(self, digest: Digest) -> None:
        """Hash all that will be written; call it before the first frame."""
        self._out.digest = digest

    def write(self, frame: YuvFrame) -> None:
        """Write one frame.

        Raises:
            ReaderGoneError: the reader closed the pipe.
            OutputError: standard output cannot be written to.
        """
        try:
            self._mux(self._encoder.encode(self._as_numbered(frame) if self._numbered else frame))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from error
        self._watch_rate(frame)
        self.frames += 1

    def finish(self) -> SinkReport:
        """Write the end of the stream; repeated calls return the same report.

        Raises:
            ReaderGoneError: the reader closed the pipe.
            OutputError: standard output cannot be written to, or there was no frame.
        """
        if self._report is None:
            if not self.frames:
                raise OutputError("standard output: no frame was written; check `start` and `end`")
            try:
                self._mux(self._encoder.flush())
                self._box.close()
            except (av.FFmpegError, OSError, ValueError) as error:
                raise self._failure(error) from error
            self._out.close()
            with last_step():  # all is written
                self._warn_of_changes()
            self._report = SinkReport(
                path=STANDARD,
                frames=self.frames,
                streams=0,
                packets=0,
                bytes=self._out.bytes,
                read_back=False,
                shift=self._shift,
            )
        return self._report

    def close(self) -> None:
        """Call `finish`."""
        self.finish()

    def drop_name(self) -> None:
        """Stop writing, even while another thread writes; `abort` follows."""
        if self._report is None:
            self._out.stop()

    def abort(self) -> None:
        """End without writing the end of the stream; may be called repeatedly, also after `finish`."""
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
            self._raised += packet.pts < packet.dts  # a wrong time in the source
            packet.pts = packet.dts = max(packet.pts, packet.dts) + offset
            self._box.mux_one(packet)

    def _as_numbered(self, frame: YuvFrame) -> YuvFrame:
        rate = self._info.frame_rate or FALLBACK_RATE
        return replace(frame, stamp=replace(frame.stamp, pts=self.frames, duration=1, time_base=1 / rate))

    def _watch_rate(self, frame: YuvFrame) -> None:
        """Count frames whose time in YUV4MPEG2, which has only a rate, is off by a tick or more."""
        if self._first_pts is None:
            self._first_pts = frame.stamp.pts
        rate = self._info.frame_rate or FALLBACK_RATE
        nominal = self.frames / rate
        actual = (frame.stamp.pts - self._first_pts) * frame.stamp.time_base
        self._irregular += abs(actual - nominal) >= max(frame.stamp.time_base, Fraction(1, 1000))

    def _warn_of_changes(self) -> None:
        if self._chosen == "y4m" and self._irregular:
            self.warnings.append(
                f"YUV4MPEG2 has no timestamps: {self._irregular} frames get times of the rate "
                f"{self._info.frame_rate or FALLBACK_RATE}; `format='nut'` keeps every time"
            )
        if self._raised:
            self.warnings.append(
                f"{self._raised} timestamps repeat or decrease; they are moved after their neighbours"
            )

    def _failure(self, error: Exception) -> OutputError:
        if isinstance(error, BrokenPipeError):
            return ReaderGoneError(f"standard output: the reader closed the pipe after {self.frames} frames")
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"standard output: cannot be written ({reason}); check what reads it")


def _numbered(info: VideoInfo) -> VideoInfo:
    """Return `info` with ticks of one frame; FFmpeg writes them into the YUV4MPEG2 header as the rate."""
    return replace(info, time_base=1 / (info.frame_rate or FALLBACK_RATE))


_OPTIONS: dict[PipeFormat, dict[str, str]] = {
    "y4m": {"strict": "-1"},  # formats of more than 8 bits are FFmpeg's extension
    "nut": {},
}
