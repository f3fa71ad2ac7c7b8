"""Encodes and decodes clips with real video codecs, in memory.

Colour is converted as in `vsr upscale`: swscale writes limited-range 4:2:0, and `vsr.color` reads it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.media.encode.encoder_options import has_avx512
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.encode.encoder_trial import open_encoder
from vsr.media.pixels.planes import to_planes
from vsr.training.degrade.degradation import DV_FRAME, SMALLEST_HEVC, CodecRange, Degradation

LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))
FULL_CHROMA = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(0, 0))
MATRICES = (Matrix.SMPTE170M, Matrix.BT709)
RATE = 25
"""Frames a second, on which bit rates are based."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """Settings of one encoder; either `quality` or `bitrate` is set, for DV neither."""

    encoder: str
    quality: int | None = None
    """CRF, or the quantiser scale."""
    bitrate: int | None = None
    """kbit/s at 25 frames a second."""
    preset: str
    matrix: Matrix
    gop: int | None = None
    """Largest distance between keyframes in frames; None uses the encoder's default."""


def draw_codings(degradation: Degradation, rng: random.Random) -> tuple[Coding, ...]:
    """Draw the encoders of a clip, first generation first; empty if the degradation has no codecs."""
    if not degradation.codecs:
        return ()
    first = draw_coding(degradation.codecs, rng)
    if not degradation.second_generation or rng.random() >= degradation.second_generation:
        return (first,)
    # a copy of a video keeps the matrix of the original
    return first, replace(draw_coding(degradation.codecs, rng), matrix=first.matrix)


def draw_coding(codecs: Sequence[CodecRange], rng: random.Random) -> Coding:
    """Draw an encoder in proportion to the shares, and its settings."""
    codec = rng.choices(codecs, [codec.share for codec in codecs])[0]
    return Coding(
        encoder=codec.encoder,
        quality=rng.randint(*codec.quality) if codec.quality else None,
        bitrate=rng.randint(*codec.bitrate) if codec.bitrate else None,
        preset=rng.choice(codec.presets),
        matrix=rng.choice(MATRICES),
        gop=rng.randint(*codec.gop) if codec.gop else None,
    )


def transcode(lr: Tensor, *codings: Coding) -> Tensor:
    """Encode and decode a clip in memory, with each coding in turn.

    Args:
        lr: `(T, 3, H, W)` uint8 R'G'B', even sides, on any device.
        codings: At least one; all have the same matrix. Range is limited and chroma is 4:2:0.

    Returns:
        `(T, 3, H, W)` float32, nominally [0, 1], not clipped, on the device of `lr`.

    Raises:
        ValueError: A side is odd, below 64 for libx265, which would write outside its memory, or larger than
            DV's frame.
    """
    _check_sides(lr, codings)
    matrix = codings[0].matrix
    frames = to_yuv(lr.cpu(), matrix)
    for coding in codings:
        frames = _coded(frames, coding)
        assert len(frames) == len(lr)
    images = [to_rgb(to_planes(frame)[0], color_of(matrix), LAYOUT) for frame in frames]
    return torch.stack(images).to(lr.device)


def _coded(frames: Sequence[VideoFrame], coding: Coding) -> list[VideoFrame]:
    if coding.encoder != "dvvideo":
        return decode(encode(frames, coding), coding.encoder)
    size = frames[0].height, frames[0].width
    whole = encode([_with_size(frame, DV_FRAME) for frame in frames], coding)
    return [_with_size(frame, size) for frame in decode(whole, coding.encoder)]


def _with_size(frame: VideoFrame, size: tuple[int, int]) -> VideoFrame:
    """Return a 4:2:0 frame cut off at the right and at the bottom, or continued there by mirroring."""
    samples, pixels = frame.to_ndarray().reshape(-1), frame.height * frame.width
    planes = (samples[:pixels], samples[pixels : pixels * 5 // 4], samples[pixels * 5 // 4 :])
    made = []
    for plane, half in zip(planes, (1, 2, 2), strict=True):
        height, width = frame.height // half, frame.width // half
        missing = ((0, max(0, size[0] // half - height)), (0, max(0, size[1] // half - width)))
        whole = np.pad(plane.reshape(height, width), missing, mode="symmetric")
        made.append(whole[: size[0] // half, : size[1] // half].reshape(-1))
    packed = np.concatenate(made).reshape(size[0] * 3 // 2, size[1])
    return VideoFrame.from_ndarray(packed, format="yuv420p")


def stored(lr: Tensor, matrix: Matrix) -> Tensor:
    """Convert a clip to 8-bit Y'CbCr 4:4:4 with limited range and back, as a lossless video stores it.

    Args:
        lr: `(T, 3, H, W)` uint8 R'G'B', on any device.
        matrix: Matrix of Y'CbCr.

    Returns:
        `(T, 3, H, W)` float32, nominally [0, 1], not clipped, on the device of `lr`.
    """
    frames = to_yuv(lr.cpu(), matrix, "yuv444p")
    images = [to_rgb(to_planes(frame)[0], color_of(matrix), FULL_CHROMA) for frame in frames]
    return torch.stack(images).to(lr.device)


def _check_sides(lr: Tensor, codings: Sequence[Coding]) -> None:
    height, width = lr.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"{width}x{height} pixels cannot be coded as 4:2:0. Make both sides even")
    if min(height, width) < SMALLEST_HEVC and any(coding.encoder == "libx265" for coding in codings):
        raise ValueError(
            f"{width}x{height} pixels are too few for libx265. Make both sides at least {SMALLEST_HEVC}"
        )
    dv = any(coding.encoder == "dvvideo" for coding in codings)
    if dv and (height > DV_FRAME[0] or width > DV_FRAME[1]):
        most = f"{DV_FRAME[1]}x{DV_FRAME[0]}"
        raise ValueError(f"{width}x{height} pixels are too many for DV. Use at most {most}")


def color_of(matrix: Matrix) -> ColorSpec:
    """Return the colour tags of coded clips: limited range, chroma located as in H.264."""
    high = matrix is Matrix.BT709
    return ColorSpec(
        matrix=matrix,
        transfer=Transfer.BT709 if high else Transfer.SMPTE170M,
        primaries=Primaries.BT709 if high else Primaries.SMPTE170M,
        range=Range.LIMITED,
        chroma_location=ChromaLocation.LEFT,
    )


def to_yuv(lr: Tensor, matrix: Matrix, format: str = "yuv420p") -> list[VideoFrame]:
    """Convert `(T, 3, H, W)` uint8 to limited-range Y'CbCr with
    swscale, as most tools for making videos do."""
    frames = []
    for array in np.ascontiguousarray(lr.permute(0, 2, 3, 1).numpy()):
        frame = VideoFrame.from_ndarray(array, format="rgb24")
        frames.append(
            frame.reformat(
                format=format,
                dst_colorspace=int(matrix),
                dst_color_range=int(Range.LIMITED),
                threads=1,  # see `vsr.media.pixels.planes.repacked`
            )
        )
    return frames


def encode(frames: Sequence[VideoFrame], coding: Coding) -> list[Packet[Any]]:
    """Encode 4:2:0 frames of one size, and set their timestamps."""
    encoder = open_codec(coding.encoder, "w")
    configure(encoder, frames[0], coding)
    if coding.encoder == "libsvtav1":
        open_encoder(encoder)  # without its page of information
    packets: list[Packet[Any]] = []
    for i, frame in enumerate(frames):
        frame.pts, frame.time_base = i, Fraction(1, RATE)
        frame.pict_type = PictureType.NONE  # otherwise the encoder keeps the type of a decoded frame
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def configure(encoder: VideoCodecContext, frame: VideoFrame, coding: Coding) -> None:
    """Set the options of an encoder that is not open yet, for frames like `frame`."""
    encoder.height, encoder.width, encoder.pix_fmt = frame.height, frame.width, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE)
    if coding.gop is not None:
        encoder.gop_size = coding.gop
    if coding.bitrate is not None:
        encoder.bit_rate = coding.bitrate * 1000
    small = min(frame.height, frame.width) <= SMALLEST_HEVC
    encoder.options = _PRESETS[coding.encoder](coding.preset, small) | (
        {} if coding.quality is None else _QUALITIES[coding.encoder](str(coding.quality))
    )


def decode(packets: Sequence[Packet[Any]], encoder: str) -> list[VideoFrame]:
    """Decode the packets that `encode` returned, in display order."""
    decoder = open_codec(_DECODERS[encoder], "r")
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return frames + decoder.decode(None)


def open_codec(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    """Return a codec of FFmpeg that runs on the caller's thread."""
    codec = VideoCodecContext.create(name, mode)
    assert isinstance(codec, VideoCodecContext)
    codec.thread_count = 1  # clips are small, and training uses the other threads
    return codec


def _quantiser(quality: str) -> dict[str, str]:
    return {"qmin": quality, "qmax": quality}


_QUALITIES: dict[str, Callable[[str], dict[str, str]]] = {
    "libx264": lambda quality: {"crf": quality},
    "libx265": lambda quality: {"crf": quality},
    "libvpx-vp9": lambda quality: {"crf": quality, "b": "0"},
    "libsvtav1": lambda quality: {"crf": quality},
    "mpeg4": _quantiser,
    "mpeg2video": _quantiser,
    "dvvideo": lambda _: {},
}
"""Options of each encoder for a quality."""


def _x264(preset: str, _: bool) -> dict[str, str]:
    # See [Why the same clip must give the same bits]
    return {"preset": preset or "medium", **(ENCODERS["libx264"].wide if has_avx512() else {})}


def _x265(preset: str, small: bool) -> dict[str, str]:
    alone = "log-level=none:pools=none:frame-threads=1"
    return {"preset": preset or "medium", "x265-params": alone + (":ctu=32" if small else "")}


# Note [Why the same clip must give the same bits]
# A resumed run makes its clips again and must continue to the bit. With AVX-512, x264 encodes the same frames
# differently from call to call (8 of 12 settings on photographs of 240x240, one thread, FFmpeg 8.1); with
# AVX2 it does not, at the same speed. x265 does so for frames of 64x64, where one block of 64 is the whole
# frame, but not with blocks of 32.

_PRESETS: dict[str, Callable[[str, bool], dict[str, str]]] = {
    "libx264": _x264,
    "libx265": _x265,
    "libvpx-vp9": lambda preset, _: {"cpu-used": preset or "4"},
    "libsvtav1": lambda preset, _: {"preset": preset or "8", "svtav1-params": "lp=1"},
    "mpeg4": lambda *_: {},
    "mpeg2video": lambda *_: {},
    "dvvideo": lambda *_: {},
}
"""Options of each encoder for a preset and, if True, a small frame,
including those that make it deterministic."""
_DECODERS = {
    "libx264": "h264",
    "libx265": "hevc",
    "libvpx-vp9": "vp9",
    "libsvtav1": "libdav1d",
    "mpeg4": "mpeg4",
    "mpeg2video": "mpeg2video",
    "dvvideo": "dvvideo",
}
