"""Passes a clip's frames unchanged through the sink, like an upscaler of scale 1, and reads the result."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import torch
import torch.nn.functional as F

from vsr.color.spec import PixelLayout
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.source import open_video
from vsr.media.files.pyav import TEXT
from vsr.media.mux.sink import VideoSink
from vsr.media.mux.sink_opening import open_sink
from vsr.media.mux.sink_report import SinkReport
from vsr.settings.schema import EncoderSettings

FAST = {
    "libx264": "ultrafast",
    "libx264rgb": "ultrafast",
    "libx265": "ultrafast",
    "libsvtav1": "12",
    "libvpx-vp9": "8",
}
"""Presets for tests."""


@dataclass(frozen=True)
class Passed:
    path: Path
    report: SinkReport
    warnings: list[str]
    times: list[Fraction]
    """Of the frames of the source, in seconds."""


def settings_for(encoder: str = "libx264", **more: object) -> EncoderSettings:
    base = EncoderSettings(encoder=encoder, preset=FAST.get(encoder), threads=1)
    return replace(base, **more)  # type: ignore[arg-type]


def open_for(source: Path, target: Path, info: VideoInfo, **more: object) -> VideoSink:
    known = {"settings": settings_for(), "width": info.width, "height": info.height} | more
    return open_sink(target, source=source, info=info, **known)  # type: ignore[arg-type]


def pass_through(
    source: Path,
    target: Path,
    *,
    settings: EncoderSettings | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    video_stream: int | None = None,
    **more: object,
) -> Passed:
    """Decode, write without a generator, and finish."""
    times = []
    with open_video(source, start=start, end=end, threads=1, video_stream=video_stream) as video:
        sink = open_for(
            source, target, video.info, settings=settings or settings_for(), start=start, end=end, **more
        )
        with sink:
            for frame in video.frames():
                times.append(frame.stamp.seconds)
                sink.write(replace(fitted(frame, sink.layout), color=sink.color))
            report = sink.finish()
    return Passed(target, report, sink.warnings, times)


def fitted(frame: YuvFrame, layout: PixelLayout) -> YuvFrame:
    """Convert samples to another layout: depth shifted, chroma repeated or dropped, neutral for grey."""
    if frame.layout == layout:
        return frame
    up = layout.bit_depth - frame.layout.bit_depth
    planes = [plane.to(torch.int32) for plane in frame.planes]
    if frame.layout.family == "gray" and layout.family == "yuv":
        planes += [torch.full_like(planes[0], 1 << (frame.layout.bit_depth - 1))] * 2
    sizes = [_plane_size(frame, layout, index) for index in range(len(planes))]
    resized = [_resized(plane, size) for plane, size in zip(planes, sizes, strict=True)]
    dtype = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    kept = tuple((plane << up if up >= 0 else plane >> -up).to(dtype) for plane in resized)
    alpha = frame.alpha
    if alpha is not None:
        deep = alpha.to(torch.int32)
        alpha = (deep << up if up >= 0 else deep >> -up).to(dtype) if layout.alpha else None
    return replace(frame, planes=kept, alpha=alpha, layout=layout)


def _plane_size(frame: YuvFrame, layout: PixelLayout, index: int) -> tuple[int, int]:
    across, down = layout.chroma_shift if index in (1, 2) else (0, 0)
    return -(-frame.height >> down), -(-frame.width >> across)


def _resized(plane: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(plane.shape) == size:
        return plane
    return F.interpolate(plane[None, None].float(), size=size, mode="nearest")[0, 0].to(torch.int32)


@dataclass(frozen=True)
class Track:
    """The packets of a stream."""

    kind: str
    codec: str
    language: str
    times: list[Fraction]
    """Presentation times in seconds."""
    durations: list[Fraction]
    payloads: list[bytes]
    tick: Fraction

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(self.payloads)).hexdigest()


def tracks(path: Path, kind: str) -> list[Track]:
    """Return all streams of a kind with their packets."""
    with av.open(str(path), **TEXT) as box:
        chosen = [stream for stream in box.streams if stream.type == kind]
        packets: dict[int, list[av.Packet]] = {stream.index: [] for stream in chosen}
        for packet in box.demux(chosen) if chosen else ():
            if packet.size:
                packets[packet.stream_index].append(packet)
        return [
            Track(
                kind=kind,
                codec=stream.codec_context.name if getattr(stream, "codec_context", None) else "",
                language=stream.metadata.get("language", "und"),
                times=[p.pts * p.time_base for p in packets[stream.index] if p.pts is not None],
                durations=[(p.duration or 0) * p.time_base for p in packets[stream.index]],
                payloads=[bytes(p) for p in packets[stream.index]],
                tick=Fraction(stream.time_base or 1),
            )
            for stream in chosen
        ]
