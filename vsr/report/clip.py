"""A generated clip for `vsr demo`.

It is generated at the size of the result, as the ground truth, then downscaled and compressed like a video
from a camera or a disc, so that the gain is visible in comparison with the original.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from vsr.color.convert import to_planes
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.frame import Stamp, YuvFrame
from vsr.media.pixels.planes import to_av_frame
from vsr.models.archs.resample import resize
from vsr.writing import write_whole

FRAMES = 48
RATE = 24
SIZE = (640, 360)
"""Width and height of the ground truth."""
_COLOR = ColorSpec(
    matrix=Matrix.SMPTE170M,
    transfer=Transfer.SMPTE170M,
    primaries=Primaries.SMPTE170M,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.LEFT,
)
_LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))


def render(clip: Path, truth: Path, *, scale: int = 2) -> None:
    """Write a scene of moving shapes: `truth` at full size, and `clip` downscaled by `scale`."""
    pictures = _pictures()
    _write(truth, pictures, crf=4, extras=False)
    small = [resize(p[None], height=SIZE[1] // scale, width=SIZE[0] // scale)[0] for p in pictures]
    _write(clip, small, crf=23, extras=True)


def _pictures() -> list[Tensor]:
    """Return frames with a rotating star, rings, tiles, thin lines and
    a soft ball: edges of all directions."""
    return [_scene(index / RATE) for index in range(FRAMES)]


def _scene(seconds: float) -> Tensor:
    """Return one frame `(3, H, W)`, computed at twice the size and averaged for smooth edges."""
    width, height = SIZE[0] * 2, SIZE[1] * 2
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / height, indexing="ij")
    image = torch.stack([0.25 + 0.25 * y, 0.35 + 0.1 * x, 0.55 - 0.2 * y])
    for mask, color in _shapes(x, y, seconds):
        image = torch.where(mask, torch.tensor(color)[:, None, None], image)
    dx, dy = x - 1.5, y - 0.72
    ball = (dx**2 + dy**2 < 0.03) * (1 - 4 * ((dx + 0.05) ** 2 + (dy + 0.05) ** 2).sqrt())
    image = torch.where(ball > 0, torch.stack([0.9 * ball, 0.5 * ball, 0.3 * ball]) + 0.1, image)
    return torch.nn.functional.avg_pool2d(image[None], 2)[0]


def _shapes(x: Tensor, y: Tensor, seconds: float) -> list[tuple[Tensor, tuple[float, float, float]]]:
    """Return masks and their colours, back to front; lengths are in frame heights."""
    turn = 0.3 * seconds
    star_x, star_y = x - 0.5, y - 0.5
    angle, radius = torch.atan2(star_y, star_x) + turn, (star_x**2 + star_y**2).sqrt()
    ring = ((x - 1.3) ** 2 + (y - 0.35) ** 2).sqrt()
    u, v = (x * 0.94 + y * 0.34) - 0.1 * seconds, y * 0.94 - x * 0.34
    tiles = ((u * 16).floor() + (v * 16).floor()) % 2 == 0
    lines = ((y - 0.12 * x - 0.02 * seconds) * 36) % 1 < 0.12
    return [
        ((y < 0.14) & lines, (0.95, 0.95, 0.9)),
        (tiles & (x > 0.95) & (x < 1.2) & (y > 0.55), (0.9, 0.85, 0.2)),
        ((radius < 0.36) & (torch.sin(angle * 24) > 0), (0.95, 0.95, 0.95)),
        ((radius < 0.36) & (torch.sin(angle * 24) <= 0), (0.08, 0.08, 0.12)),
        ((ring < 0.26) & (torch.sin(ring * 180 - 4 * seconds) > 0), (0.85, 0.2, 0.25)),
    ]


def _write(path: Path, pictures: list[Tensor], *, crf: int, extras: bool) -> None:
    written = io.BytesIO()
    with av.open(written, "w", format="matroska") as box:
        box.metadata["title"] = "A rendered clip"
        video = box.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "medium"})
        video.height, video.width = pictures[0].shape[-2:]
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.time_base = Fraction(1, RATE)
        context.colorspace, context.color_range = int(_COLOR.matrix), int(_COLOR.range)
        context.color_trc, context.color_primaries = int(_COLOR.transfer), int(_COLOR.primaries)
        sound = box.add_stream("flac", rate=48000, layout="mono") if extras else None
        if extras:
            box.set_chapters(_chapters())
        for index, picture in enumerate(pictures):
            box.mux(video.encode(_frame(picture, index)))
            if sound is not None:
                box.mux(sound.encode(_tone(index)))
        box.mux(video.encode())
        if sound is not None:
            box.mux(sound.encode())
    write_whole(path, written.getvalue())


def _frame(picture: Tensor, index: int) -> av.VideoFrame:
    stamp = Stamp(index=index, pts=index, duration=1, time_base=Fraction(1, RATE))
    planes = to_planes(picture, _COLOR, _LAYOUT)
    return to_av_frame(YuvFrame(planes=planes, layout=_LAYOUT, color=_COLOR, stamp=stamp), "yuv420p")


def _tone(index: int) -> av.AudioFrame:
    """Return a quiet 440 Hz tone with the duration of one frame."""
    samples = 48000 // RATE
    time = (np.arange(samples) + index * samples) / 48000
    wave = (3000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, index * samples, Fraction(1, 48000)
    return frame


def _chapters() -> list[Any]:
    half = FRAMES * 500 // RATE
    return [
        {"id": 1, "start": 0, "end": half, "time_base": Fraction(1, 1000), "metadata": {"title": "In"}},
        {
            "id": 2,
            "start": half,
            "end": 2 * half,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": "Deeper"},
        },
    ]
