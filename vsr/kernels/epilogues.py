"""Epilogues of a convolution, that is, what follows its sums, as both kernels for CPUs emit them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Residual:
    """An epilogue `y = base + factor * sums`, and `outer + factor * y` if `twice`."""

    pixel: int
    """From one pixel to the next, the same in the results and in the addends: in bytes for AMX, whose results
    are bfloat16, and in channels for Winograd."""
    factor: float
    twice: bool = False


@dataclass(frozen=True)
class Image:
    """An epilogue that shuffles the sums to `scale` rows of float32 in each of three planes.

    Output channels form groups of `scale` that are adjacent in the image.
    """

    scale: int
    adds_image: bool
    """Whether the LR image, enlarged by the nearest neighbour, is added."""

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Plane and row of each group, in the order of the channels."""
        return [(plane, row) for plane in range(3) for row in range(self.scale)]
