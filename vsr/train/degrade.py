"""LR clips from photographs: a pan, a reduction, and a real codec in memory.

A network that has seen clean pictures only gains nothing over a classical filter on strongly compressed
video. So clips are really encoded and decoded, with motion in them, and their colour travels as it does in
`vsr upscale`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.media.planes import to_planes
from vsr.train.recipe import CodecRange, Degradation

LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))
MATRICES = (Matrix.SMPTE170M, Matrix.BT709)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """One setting of one encoder."""

    encoder: str
    quality: int
    preset: str
    matrix: Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A few pictures of a pan, before and after."""

    hr: Tensor
    """`(T, 3, H, W)` uint8."""
    lr: Tensor
    """`(T, 3, H / scale, W / scale)` float16, nominally [0, 1], not clipped."""


def make_clip(image: Tensor, degradation: Degradation, scale: int, kept: int, rng: random.Random) -> Clip:
    """Make a clip from a photograph.

    Args:
        image: `(3, H, W)` uint8, at least `degradation.size` on each side.
        degradation: What to draw from.
        scale: HR side over LR side.
        kept: Pictures of the clip that are returned.
        rng: All that is drawn is drawn from it.
    """
    hr = draw_pan(image, degradation, rng)
    lr = reduce(hr, scale)
    coding = draw_coding(degradation, rng)
    seen = transcode(lr, coding) if coding else lr / 255
    chosen = sorted(rng.sample(range(len(hr)), min(kept, len(hr))))
    return Clip(hr=hr[chosen], lr=seen[chosen].half())


def draw_pan(image: Tensor, degradation: Degradation, rng: random.Random) -> Tensor:
    """Cut a pan of even, whole-pixel speed out of a photograph: `(T, 3, size, size)`."""
    size, steps = degradation.size, max(1, degradation.frames - 1)
    starts, speeds = [], []
    for side in image.shape[1:]:
        room = side - size
        limit = min(degradation.speed, room // steps)
        speed = rng.randint(-limit, limit)
        travel = speed * (degradation.frames - 1)
        starts.append(rng.randint(max(0, -travel), room - max(0, travel)))
        speeds.append(speed)
    return pan(image, size, degradation.frames, (starts[0], starts[1]), (speeds[0], speeds[1]))


def pan(image: Tensor, size: int, frames: int, start: tuple[int, int], speed: tuple[int, int]) -> Tensor:
    """Move a window over `image` `(3, H, W)`: `(T, 3, size, size)`; pairs are (vertical, horizontal)."""
    corners = [(start[0] + speed[0] * i, start[1] + speed[1] * i) for i in range(frames)]
    return torch.stack([image[:, y : y + size, x : x + size] for y, x in corners])


def reduce(hr: Tensor, scale: int) -> Tensor:
    """Make LR pictures: antialiased bicubic (a = -0.5, as MATLAB and PIL have it), rounded to 8 bits.

    Args:
        hr: `(T, 3, H, W)` uint8.
        scale: HR side over LR side.
    """
    size = (hr.shape[-2] // scale, hr.shape[-1] // scale)
    return F.interpolate(hr, size=size, mode="bicubic", antialias=True)


def draw_coding(degradation: Degradation, rng: random.Random) -> Coding | None:
    """Draw an encoder and its settings; None for a clip that stays clean."""
    if rng.random() < degradation.clean:
        return None
    codec: CodecRange = rng.choices(degradation.codecs, [codec.share for codec in degradation.codecs])[0]
    return Coding(
        encoder=codec.encoder,
        quality=rng.randint(*codec.quality),
        preset=rng.choice(codec.presets),
        matrix=rng.choice(MATRICES),
    )


def transcode(lr: Tensor, coding: Coding) -> Tensor:
    """Encode and decode a clip in memory.

    Args:
        lr: `(T, 3, H, W)` uint8 R'G'B', even sides.
        coding: Encoder, quality and matrix; the range is limited, the chroma 4:2:0.

    Returns:
        `(T, 3, H, W)` float32, nominally [0, 1], not clipped.
    """
    packets = _encode(lr, coding)
    frames = _decode(packets, _DECODERS[coding.encoder])
    assert len(frames) == len(lr)
    return torch.stack([to_rgb(to_planes(frame)[0], color_of(coding.matrix), LAYOUT) for frame in frames])


def color_of(matrix: Matrix) -> ColorSpec:
    """The colour that coded clips have: limited range, chroma sited as H.264's is."""
    high = matrix is Matrix.BT709
    return ColorSpec(
        matrix=matrix,
        transfer=Transfer.BT709 if high else Transfer.SMPTE170M,
        primaries=Primaries.BT709 if high else Primaries.SMPTE170M,
        range=Range.LIMITED,
        chroma_location=ChromaLocation.LEFT,
    )


def _open_codec(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    codec = VideoCodecContext.create(name, mode)
    assert isinstance(codec, VideoCodecContext)
    codec.thread_count = 1  # the clips are small, and the other threads train
    return codec


def _encode(lr: Tensor, coding: Coding) -> list[Packet[Any]]:
    encoder = _open_codec(coding.encoder, "w")
    encoder.height, encoder.width = lr.shape[-2:]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = _OPTIONS[coding.encoder](coding.quality, coding.preset)
    packets: list[Packet[Any]] = []
    for i, frame in enumerate(_to_yuv(lr, coding.matrix)):
        frame.pts = i
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def _to_yuv(lr: Tensor, matrix: Matrix) -> list[VideoFrame]:
    """`lr` as limited-range 4:2:0, by swscale: what most tools that made the world's videos used."""
    frames = []
    for array in np.ascontiguousarray(lr.permute(0, 2, 3, 1).numpy()):
        frame = VideoFrame.from_ndarray(array, format="rgb24")
        frames.append(
            frame.reformat(
                format="yuv420p",
                dst_colorspace=int(matrix),
                dst_color_range=int(Range.LIMITED),
                threads=1,  # see `vsr.media.planes.repacked`
            )
        )
    return frames


def _decode(packets: Sequence[Packet[Any]], name: str) -> list[VideoFrame]:
    decoder = _open_codec(name, "r")
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return frames + decoder.decode(None)


_OPTIONS: dict[str, Callable[[int, str], dict[str, str]]] = {
    "libx264": lambda quality, preset: {"crf": str(quality), "preset": preset},
    "libx265": lambda quality, preset: {
        "crf": str(quality),
        "preset": preset,
        "x265-params": "log-level=none:pools=none:frame-threads=1",
    },
    "libvpx-vp9": lambda quality, preset: {"crf": str(quality), "b": "0", "cpu-used": preset},
    "mpeg4": lambda quality, _: {"qmin": str(quality), "qmax": str(quality)},
}
"""Encoder to its options for a quality and a preset."""
_DECODERS = {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9", "mpeg4": "mpeg4"}
