"""Ranges of activations, which 8-bit integers have to span.

They are found on pictures that are made up here, with the statistics of photographs, so that no picture has
to be shipped or asked for: noise whose power falls with frequency as in nature (D. J. Field, J. Opt. Soc. Am.
A 4, 1987), edges, dark to bright, with little colour. On Kodak's photographs they do as well as spans that
were found on a photograph (docs/benchmarks.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph

_PICTURES, _SIDE = 8, 160
_CONTRAST, _CHROMA, _EDGES = 0.22, 0.12, 0.3
_OUTLIERS = 1e-4
"""Share of the numbers beyond a range: those are clipped, and all others get finer steps. Measured: 0.1 dB
better than none, and than ten times as many."""


def ranges(graph: ConvGraph) -> list[float]:
    """The largest magnitude that reaches each convolution.

    Args:
        graph: Whose convolutions each read the value before.

    Returns:
        One for each convolution, rounded to what half precision has: the last bits depend on the number of
        threads, and a run that is resumed must find the same.
    """
    from vsr.kernels.conv_graph import evaluate

    with torch.inference_mode():
        return [_span(value) for value in evaluate(graph, pictures())[:-1]]


def pictures() -> Tensor:
    """`(8, 3, 160, 160)` float32 in [0, 1], the same each time."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(_PICTURES):
        level = 0.2 + 0.6 * number / (_PICTURES - 1)
        luma = _noise(0.8 + 0.1 * number, generator) * _CONTRAST + level
        if number % 2:
            luma = luma + _EDGES * torch.sign(_noise(1.6, generator))
        color = torch.cat([_noise(1.5, generator) for _ in range(3)])
        made.append((luma + color * _CHROMA).clamp(0, 1))
    return torch.stack(made)


def _noise(slope: float, generator: torch.Generator) -> Tensor:
    """`(1, 160, 160)` of mean 0 and deviation 1, amplitude falling as frequency to the power of `slope`.

    By numpy, on one thread: on two, torch's last bits differed from call to call.
    """
    across, down = np.fft.rfftfreq(_SIDE), np.fft.fftfreq(_SIDE)
    frequency = np.hypot(across[None], down[:, None]).clip(1 / _SIDE)
    spectrum = torch.randn(1, _SIDE, len(across), generator=generator, dtype=torch.cfloat).numpy()
    made = np.fft.irfft2(spectrum / frequency**slope, s=(_SIDE, _SIDE))
    return torch.from_numpy((made - made.mean()) / made.std(ddof=1)).float()


def _span(values: Tensor) -> float:
    """Magnitude that all but the outliers on either side stay below."""
    flat = values.numpy().ravel()
    rest = int(len(flat) * _OUTLIERS)
    places = rest, len(flat) - 1 - rest
    ordered = np.partition(flat, places)  # sorting them, 13 million, takes ten times as long
    low, high = (float(ordered[place]) for place in places)
    return float(torch.tensor(max(-low, high, 1e-3)).half())
