"""Clips that look like film to a generator and to an encoder: they move, carry grain, and never repeat."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

RATE = 25
_PANNED = (3, 1)
"""Pixels to the right and down from a frame to the next."""
_GRAIN = 1.5
"""Deviation of what is new in each frame, in 8-bit codes."""


def moving(width: int, height: int) -> Iterator[av.VideoFrame]:
    """4:2:0 frames without end: a pan over noise with the spectrum of photographs and edges, with grain."""
    random = np.random.default_rng(0)
    across, down = width + 320, height + 160
    tint = 9 * _noise(random, 1.5, down // 2, across // 2)
    scene = [118 + 45 * _photograph(random, down, across), 128 + tint, 128 + np.roll(tint, down // 5, 0)]
    planes = [_endless(scene[0], height, width)]
    planes += [_endless(part, height // 2, width // 2) for part in scene[1:]]
    grain = _endless(_GRAIN * random.standard_normal((down, across)), height, width)
    number = 0
    while True:
        row, column = number * _PANNED[1], number * _PANNED[0]
        new = _window(grain, int(random.integers(down)), int(random.integers(across)), height, width)
        shown = [_window(planes[0], row, column, height, width) + new]
        shown += [_window(part, row // 2, column // 2, height // 2, width // 2) for part in planes[1:]]
        whole = np.concatenate([part.clip(16, 235).astype(np.uint8).reshape(-1) for part in shown])
        frame = av.VideoFrame.from_ndarray(whole.reshape(height * 3 // 2, width), format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield frame
        number += 1


def write_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """H.264 at a good quality; sides are even."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_type = "AUTO"
        for frame in islice(moving(width, height), frames):
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return path


def _endless(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Codes of a plane, with room for a window that begins anywhere in it."""
    room = ((0, height), (0, width))
    return np.pad(plane.round().astype(np.int16), room, mode="wrap")


def _window(padded: np.ndarray, row: int, column: int, height: int, width: int) -> np.ndarray:
    """A part of a plane that goes on at its other side."""
    row, column = row % (padded.shape[0] - height), column % (padded.shape[1] - width)
    return padded[row : row + height, column : column + width]


def _photograph(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Power that falls with frequency as in nature, and edges."""
    return _noise(random, 1.2, height, width) + 0.7 * np.sign(_noise(random, 1.6, height, width))


def _noise(random: np.random.Generator, slope: float, height: int, width: int) -> np.ndarray:
    """`(height, width)` of deviation 1 that goes on at its other side."""
    across, down = np.fft.rfftfreq(width), np.fft.fftfreq(height)
    frequency = np.hypot(across[None], down[:, None]).clip(1 / width)
    spectrum = np.fft.rfft2(random.standard_normal((height, width))) / frequency**slope
    made = np.fft.irfft2(spectrum, s=(height, width))
    return made / made.std()
