"""Makes small clips for tests with PyAV; every property of a real file is a keyword.

    path = make_clip(tmp_path / "a.mkv", frames=10, bframes=2, audio=[Audio()], subtitles=[Subtitle()])

Every frame shows its own number as eight black or white bars along its top quarter, so that
a test can identify it even after lossy coding or upscaling: `number_in(luma)`.
`pts_of(path)` lists the timestamps of a plain decode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from vsr.color.spec import ColorSpec
from vsr.system.scheduling import kept_priority

BITS = 8
"""Frame numbers are shown modulo 256."""
MASTER_DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
"""Mastering display of `hdr10=True` in x265's syntax: chromaticities in
1/50000, luminances in 1/10000 cd/m2."""
UNTAGGED = ColorSpec()
MAX_CLL, MAX_FALL = 1000, 400
"""Content light level of `hdr10=True`, in cd/m2."""


@dataclass(frozen=True, kw_only=True)
class Audio:
    """A sine wave, as long as the video unless `seconds` is given."""

    codec: str = "aac"
    rate: int = 48000
    layout: str = "stereo"
    language: str = "eng"
    title: str = ""
    seconds: float | None = None
    start: float = 0.0
    """Time of the first sample in seconds."""
    bit_rate: int = 0
    """Bit rate, for encoders that require one."""
    marks: Sequence[str] = ()
    """Names of FFmpeg's dispositions."""


@dataclass(frozen=True, kw_only=True)
class Subtitle:
    """Lines of text; `codec` is subrip, ass, webvtt or mov_text."""

    codec: str = "subrip"
    language: str = "eng"
    title: str = ""
    lines: Sequence[tuple[float, float, str]] = ((0.0, 0.1, "first"), (0.2, 0.3, "second ü"))
    """(start in seconds, end in seconds, text)."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """All keywords of `make_clip`; see there."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    width: int = 64
    height: int = 48
    frames: int = 12
    first_number: int = 0
    pts: Sequence[int] | None = None
    time_base: Fraction | None = None
    rate: Fraction = Fraction(25)
    bframes: int = 0
    gop: int = 12
    options: dict[str, str] = field(default_factory=dict)
    sar: Fraction | None = None
    rotation: int = 0
    mirrored: bool = False
    color: ColorSpec = UNTAGGED
    interlaced: str = ""
    hdr10: bool = False
    language: str = ""
    video_metadata: dict[str, str] = field(default_factory=dict)
    audio: Sequence[Audio] = ()
    subtitles: Sequence[Subtitle] = ()
    attachments: Sequence[tuple[str, str, bytes]] = ()
    chapters: Sequence[tuple[float, float, str]] = ()
    cover: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)

    @property
    def ticks(self) -> Fraction:
        return self.time_base or 1 / self.rate

    @property
    def times(self) -> list[int]:
        """The pts of each frame in `ticks`."""
        if self.pts is not None:
            return list(self.pts)
        step = 1 / self.rate / self.ticks
        return [int(step * i) for i in range(self.frames)]

    @property
    def seconds(self) -> float:
        return float((self.times[-1] - self.times[0]) * self.ticks + 1 / self.rate)


def make_clip(path: Path, **knobs: object) -> Path:
    """Write a clip and return its path.

    Video: `codec` (FFmpeg's encoder), `pix_fmt`, `width`, `height`, `frames`; `pts` in ticks of `time_base`
    (variable rate, start offset; the container may have coarser ticks) or `rate` in frames a second;
    `bframes`, `gop`, `options` of the encoder; `first_number`, shown in the first frame; `sar`, `rotation`
    (degrees counter-clockwise), `mirrored` (left and right are swapped after the rotation), `color` (tags),
    `interlaced` ("top" or "bottom" field first), `hdr10` (mastering display and content light; libx265 only),
    `language`, `video_metadata`. Container: `audio`, `subtitles`, `attachments` (name, mimetype, bytes),
    `chapters` (start and end in seconds, title), `cover` (a PNG as attached picture), `metadata`, `container`
    (a name, if the suffix does not give it), `container_options`.
    """
    clip = Clip(**knobs)  # type: ignore[arg-type]
    muxed = av.open(str(path), "w", format=clip.container, options=clip.container_options)
    with kept_priority(), muxed as box:
        box.metadata.update(clip.metadata)
        video = _add_video(box, clip)
        sounds = [_add_audio(box, track) for track in clip.audio]
        texts = [_add_subtitle(box, track) for track in clip.subtitles]
        cover = _add_cover(box) if clip.cover else None
        for name, mimetype, data in clip.attachments:
            box.add_attachment(name, mimetype, data)
        if clip.chapters:
            box.set_chapters([_chapter(i, *row) for i, row in enumerate(clip.chapters)])
        box.start_encoding()
        if cover is not None:
            box.mux(_cover_packet(cover))
        for stream, track in zip(texts, clip.subtitles, strict=True):
            box.mux(_subtitle_packets(stream, track))
        for stream, track in zip(sounds, clip.audio, strict=True):
            box.mux(_audio_packets(stream, track, clip.seconds))
        box.mux(_video_packets(video, clip))
    return path


def picture(number: int, *, width: int = 64, height: int = 48, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """Make a frame that shows `number`, in limited range unless
    `pix_fmt` is R'G'B' or one of FFmpeg's yuvj."""
    fmt = av.VideoFormat(pix_fmt, width, height)
    rgb = fmt.is_rgb or fmt.has_palette
    frame = _deep_picture(number, width, height, rgb=rgb, full=pix_fmt.startswith("yuvj"))
    # One thread, because swscale's slice threads overwrite the start of each other's rows (FFmpeg 8.1.2).
    return frame.reformat(format=pix_fmt, threads=1)


def number_in(luma: object) -> int:
    """Return the number that a frame shows.

    Args:
        luma: `(H, W)`, anything that numpy accepts; any size from 8 pixels wide, any scale of values.
    """
    values = np.asarray(luma, dtype=np.float64)
    strip = values[: max(1, values.shape[0] // 4)]
    middle = (values.max() + values.min()) / 2
    bars = np.array_split(strip, BITS, axis=1)
    return sum(1 << bit for bit, bar in enumerate(bars) if bar.mean() > middle)


def numbers_of(path: Path) -> list[int]:
    """Return the numbers shown in the frames of a plain decode of the first video stream."""
    with av.open(str(path)) as box:
        return [number_in(frame.to_ndarray(format="gray")) for frame in box.decode(video=0)]


def pts_of(path: Path) -> list[Fraction]:
    """Return the presentation times in seconds from a plain decode of the first video stream."""
    with av.open(str(path)) as box:
        return [frame.pts * frame.time_base for frame in box.decode(video=0)]


def truncated(path: Path, to: Path, share: float) -> Path:
    """Copy the first `share` (0 to 1) of a file's bytes."""
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    return to


def png_bytes(width: int = 16, height: int = 16) -> bytes:
    """Return a PNG file of frame 0."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = picture(0, width=width, height=height, pix_fmt="rgb24")
    return b"".join(bytes(packet) for packet in encoder.encode(frame) + encoder.encode(None))


def _deep_picture(number: int, width: int, height: int, *, rgb: bool, full: bool) -> av.VideoFrame:
    """Make a frame with 16 bits, 4:4:4 and alpha: a gradient in each component, and the bars."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    first = 0.2 + 0.6 * (x + y) / 2
    bars = np.array_split(np.arange(width), BITS)
    for bit, columns in enumerate(bars):
        first[: max(1, height // 4), columns] = 1.0 if number >> bit & 1 else 0.0
    second, third, alpha = 0.3 + 0.4 * x, 0.7 - 0.4 * y, 0.5 + 0.5 * y
    if rgb:
        stack = np.stack([first, 0.5 * first + 0.5 * second, 0.5 * first + 0.5 * third, alpha], axis=2)
        return av.VideoFrame.from_ndarray((stack * 65535).astype(np.uint16), format="rgba64le")
    low, luma, chroma = (0, 65535, 65535) if full else (16 << 8, 219 << 8, 224 << 8)
    frame = av.VideoFrame(width, height, "yuva444p16le")
    frame.color_range = 2 if full else 1
    values = [low + luma * first, low + chroma * second, low + chroma * third, 65535 * alpha]
    for plane, value in zip(frame.planes, values, strict=True):
        view: NDArray[np.uint16] = np.frombuffer(plane, np.uint16).reshape(height, -1)
        view[:, :width] = value.astype(np.uint16)
    return frame


def _add_video(box: av.container.OutputContainer, clip: Clip) -> av.VideoStream:
    stream = box.add_stream(clip.codec, rate=clip.rate, options=_encoder_options(clip))
    assert isinstance(stream, av.VideoStream)
    context = stream.codec_context
    stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, clip.pix_fmt
    context.time_base = stream.time_base = clip.ticks
    stream.gop_size = clip.gop
    if clip.codec != "png":
        context.max_b_frames = clip.bframes
    if clip.sar:
        context.sample_aspect_ratio = clip.sar
    if clip.rotation or clip.mirrored:
        stream.set_display_rotation(clip.rotation, hflip=clip.mirrored)
    context.colorspace, context.color_range = int(clip.color.matrix), int(clip.color.range)
    context.color_trc, context.color_primaries = int(clip.color.transfer), int(clip.color.primaries)
    stream.metadata.update(clip.video_metadata)
    if clip.language:
        stream.metadata["language"] = clip.language
    return stream


def _encoder_options(clip: Clip) -> dict[str, str]:
    options = {"threads": "1"}
    if clip.codec in ("libx264", "libx264rgb", "libx265"):
        options |= {"preset": "ultrafast", "bf": str(clip.bframes)}
    if clip.interlaced:
        options |= {"flags": "+ilme+ildct"}
    if clip.codec == "libx265":
        parts = ["log-level=none", "pools=none", "frame-threads=1"]
        if clip.hdr10:
            parts += ["hdr10=1", f"master-display={MASTER_DISPLAY}", f"max-cll={MAX_CLL},{MAX_FALL}"]
        options["x265-params"] = ":".join(parts)
    return options | clip.options


def _video_packets(stream: av.VideoStream, clip: Clip) -> list[av.Packet]:
    packets: list[av.Packet] = []
    for frame in _flagged(clip, _pictures(clip)):
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _pictures(clip: Clip) -> Iterator[av.VideoFrame]:
    for index, pts in enumerate(clip.times):
        number = clip.first_number + index
        frame = picture(number, width=clip.width, height=clip.height, pix_fmt=clip.pix_fmt)
        frame.pts, frame.time_base = pts, clip.ticks
        frame.colorspace, frame.color_range = int(clip.color.matrix), int(clip.color.range)
        frame.color_trc, frame.color_primaries = int(clip.color.transfer), int(clip.color.primaries)
        yield frame


def _flagged(clip: Clip, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Set frame properties that PyAV cannot set: field order and chroma location."""
    mode = {"top": "tff", "bottom": "bff"}.get(clip.interlaced, "auto")
    place = int(clip.color.chroma_location) or -1  # -1 keeps it
    for frame in frames:
        yield frame if (mode, place) == ("auto", -1) else _set_params(frame, clip, mode, place)


def _set_params(frame: av.VideoFrame, clip: Clip, mode: str, place: int) -> av.VideoFrame:
    graph = av.filter.Graph()
    arguments = f"video_size={clip.width}x{clip.height}:pix_fmt={clip.pix_fmt}:time_base={clip.ticks}"
    arguments += f":colorspace={int(clip.color.matrix)}:range={int(clip.color.range)}"
    source = graph.add("buffer", arguments)
    tags = graph.add("setparams", f"field_mode={mode}:chroma_location={place}")
    graph.link_nodes(source, tags, graph.add("buffersink")).configure()
    graph.push(frame)
    out = graph.vpull()
    out.pts, out.time_base = frame.pts, frame.time_base
    return out


def _add_audio(box: av.container.OutputContainer, track: Audio) -> av.AudioStream:
    stream = box.add_stream(track.codec, rate=track.rate)
    assert isinstance(stream, av.AudioStream)
    stream.layout = track.layout
    if track.bit_rate:
        stream.bit_rate = track.bit_rate
    stream.disposition = _marks(track.marks)
    stream.metadata["language"] = track.language
    if track.title:
        stream.metadata["title"] = track.title
    return stream


def _marks(names: Sequence[str]) -> av.stream.Disposition:
    found = av.stream.Disposition(0)
    for name in names:
        found |= av.stream.Disposition[name]
    return found


def _audio_packets(stream: av.AudioStream, track: Audio, seconds: float) -> list[av.Packet]:
    context = stream.codec_context
    samples = int((seconds if track.seconds is None else track.seconds) * track.rate)
    size = context.frame_size or 1024
    channels = context.layout.nb_channels
    packets: list[av.Packet] = []
    for start in range(0, samples, size):
        t = np.arange(start, min(samples, start + size)) / track.rate
        wave = np.tile((0.2 * np.sin(880 * np.pi * t)).astype(np.float32), (channels, 1))
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=track.layout)
        frame.sample_rate, frame.time_base = track.rate, Fraction(1, track.rate)
        frame.pts = start + round(track.start * track.rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _add_subtitle(box: av.container.OutputContainer, track: Subtitle) -> av.stream.Stream:
    stream = box.add_mux_stream(track.codec, time_base=Fraction(1, 1000))
    stream.metadata["language"] = track.language
    if track.title:
        stream.metadata["title"] = track.title
    return stream


def _subtitle_packets(stream: av.stream.Stream, track: Subtitle) -> list[av.Packet]:
    packets = []
    for index, (start, end, text) in enumerate(track.lines):
        packet = av.Packet(_subtitle_payload(track.codec, index, text))
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round((end - start) * 1000)
        packets.append(packet)
    return packets


def _subtitle_payload(codec: str, index: int, text: str) -> bytes:
    data = text.encode()
    if codec == "mov_text":
        return len(data).to_bytes(2, "big") + data
    if codec == "ass":
        return f"{index},0,Default,,0,0,0,,{text}".encode()
    return data


def _add_cover(box: av.container.OutputContainer) -> av.VideoStream | None:
    """Add a cover image: an attachment in Matroska (the function then returns None), otherwise a stream."""
    if "matroska" in box.format.name:
        box.add_attachment("cover.png", "image/png", png_bytes())
        return None
    stream = box.add_stream("png", rate=1)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _cover_packet(stream: av.VideoStream) -> list[av.Packet]:
    frame = picture(0, width=16, height=16, pix_fmt="rgb24")
    frame.pts = 0
    return stream.encode(frame) + stream.encode(None)


def _chapter(index: int, start: float, end: float, title: str) -> av.container.Chapter:
    ticks = Fraction(1, 1000)
    return {
        "id": index + 1,
        "start": round(start * 1000),
        "end": round(end * 1000),
        "time_base": ticks,
        "metadata": {"title": title},
    }
