"""One step's source, destination and residuals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Residual:
    """Features to add to a result."""

    features: Tensor
    """`(N, H, W, outputs)`, the last dimension dense."""
    gain: float


@dataclass(frozen=True, slots=True)
class Work:
    """`dst = gain * activation(layer(src)) + base + under`, each residual times its gain."""

    src: Tensor
    """`(N, H, W, channels)`, a row behind the other, a pixel's channels dense; zero outside."""
    dst: Tensor
    """`(N, H, W, outputs)` in any strides; not what `src` shows. On a picture, its fine pixels."""
    gain: float = 1.0
    base: Residual | None = None
    under: Residual | None = None
    picture: Tensor | None = None
    """`(N, 3, H, W)` float32, dense: results are shuffled to fine pixels on top of its nearest neighbour."""
