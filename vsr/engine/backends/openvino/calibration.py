"""Ranges of activations that 8-bit integers must represent.

They are measured on synthetic images with the statistics of photographs, so that no photograph is needed:
noise whose power falls with frequency as in nature (D. J. Field, J. Opt. Soc. Am. A 4, 1987), edges, dark to
bright levels, little colour. On Kodak's photographs they work as well as ranges measured on a photograph
(docs/benchmarks.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph

_IMAGES, _SIDE = 8, 160
_CONTRAST, _CHROMA, _EDGES = 0.22, 0.12, 0.3
_OUTLIERS = 1e-4
"""Share of the activations on each side that are clipped, so that the others get finer steps. Measured: 0.1
dB better than no clipping and than a share ten times as large."""


def ranges(graph: ConvGraph) -> list[float]:
    """Return the largest magnitude in the input of each convolution, without outliers.

    Args:
        graph: A graph in which each convolution reads the value before it.

    Returns:
        One magnitude for each convolution, rounded to float16: the last bits depend on the number of threads,
        and a resumed run must get the same.
    """
    from vsr.kernels.conv_graph import evaluate

    with torch.inference_mode():
        return [span(value) for value in evaluate(graph, images())[:-1]]


def images() -> Tensor:
    """Return the synthetic images, `(8, 3, 160, 160)` float32 in [0, 1], the same in each call."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(_IMAGES):
        level = 0.2 + 0.6 * number / (_IMAGES - 1)
        luma = _noise(0.8 + 0.1 * number, generator) * _CONTRAST + level
        if number % 2:
            luma = luma + _EDGES * torch.sign(_noise(1.6, generator))
        color = torch.cat([_noise(1.5, generator) for _ in range(3)])
        made.append((luma + color * _CHROMA).clamp(0, 1))
    return torch.stack(made)


def _noise(slope: float, generator: torch.Generator) -> Tensor:
    """Return `(1, 160, 160)` noise of mean 0 and deviation 1 whose amplitude is frequency to the power
    -slope.

    NumPy computes it on one thread: with two, torch's last bits differed from call to call.
    """
    across, down = np.fft.rfftfreq(_SIDE), np.fft.fftfreq(_SIDE)
    frequency = np.hypot(across[None], down[:, None]).clip(1 / _SIDE)
    spectrum = torch.randn(1, _SIDE, len(across), generator=generator, dtype=torch.cfloat).numpy()
    made = np.fft.irfft2(spectrum / frequency**slope, s=(_SIDE, _SIDE))
    return torch.from_numpy((made - made.mean()) / made.std(ddof=1)).float()


def span(values: Tensor) -> float:
    """Return the magnitude that no value exceeds except the outliers on both sides."""
    flat = values.numpy().ravel()
    rest = int(len(flat) * _OUTLIERS)
    places = rest, len(flat) - 1 - rest
    ordered = np.partition(flat, places)  # sorting 13 million values takes ten times as long
    low, high = (float(ordered[place]) for place in places)
    return float(torch.tensor(max(-low, high, 1e-3)).half())
