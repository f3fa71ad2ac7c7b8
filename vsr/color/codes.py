"""Offsets and steps of integer codes, and luma weights (ITU-T H.273)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vsr.color.spec import Matrix, Range

if TYPE_CHECKING:
    import torch

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020_NCL: (0.2627, 0.0593),
}
"""Kr and Kb of each matrix that can be converted (H.273, table 4). Kg is 1 - Kr - Kb."""


ROUND = 0.5
"""Added before floats are converted to integer codes, because the conversion truncates."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Offsets and steps of integer codes: `code = offset + step * value`."""

    luma_offset: float
    luma_step: float
    """Codes from black to white; also for R', G' and B'."""
    chroma_offset: float
    chroma_step: float
    """Codes from the smallest Cb or Cr, -0.5, to the largest, 0.5."""
    peak: int
    """The largest code."""

    @property
    def dtype(self) -> torch.dtype:
        import torch  # imported late, because a comparison of files does not need it

        return torch.uint8 if self.peak < 256 else torch.uint16


def codes_of(range_: Range, bit_depth: int) -> Codes:
    """Return the offsets and steps of a range at 8 to 16 bits (H.273, section 8.3, quantisation)."""
    peak, middle = (1 << bit_depth) - 1, 1 << (bit_depth - 1)
    if range_ is Range.FULL:
        return Codes(0, peak, middle, peak, peak)
    unit = 1 << (bit_depth - 8)  # limited range is defined at 8 bits and shifted for more
    return Codes(16 * unit, 219 * unit, middle, 224 * unit, peak)
