"""Makes clips that behave like film for a generator and an encoder:
they move, have grain, and never repeat."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

RATE = 25
_PANNED = (3, 1)
"""Motion from frame to frame in pixels, right and down."""
_GRAIN = 1.5
"""Standard deviation of the grain in each frame, in 8-bit code values."""


def moving(width: int, height: int) -> Iterator[av.VideoFrame]:
    """Yield endless 4:2:0 frames: a pan over noise with the spectrum of
    photographs and with edges, and grain."""
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
    """Write H.264 at high quality; sides are even."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_type = "AUTO"
        for frame in islice(moving(width, height), frames):
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return path


def _endless(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the code values of a periodic plane, padded so that a window can begin anywhere."""
    room = ((0, height), (0, width))
    return np.pad(plane.round().astype(np.int16), room, mode="wrap")


def _window(padded: np.ndarray, row: int, column: int, height: int, width: int) -> np.ndarray:
    """Return a window of a periodic plane."""
    row, column = row % (padded.shape[0] - height), column % (padded.shape[1] - width)
    return padded[row : row + height, column : column + width]


def _photograph(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return noise with the spectrum of natural images, and edges."""
    return _noise(random, 1.2, height, width) + 0.7 * np.sign(_noise(random, 1.6, height, width))


def _noise(random: np.random.Generator, slope: float, height: int, width: int) -> np.ndarray:
    """Return periodic noise `(height, width)` with standard deviation 1."""
    across, down = np.fft.rfftfreq(width), np.fft.fftfreq(height)
    frequency = np.hypot(across[None], down[:, None]).clip(1 / width)
    spectrum = np.fft.rfft2(random.standard_normal((height, width))) / frequency**slope
    made = np.fft.irfft2(spectrum, s=(height, width))
    return made / made.std()
