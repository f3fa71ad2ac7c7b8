"""Gives transparent pixels the colours of their visible neighbours.

A transparent pixel is often stored as black. A generator or a filter would mix that black into the visible
pixels beside it, as a dark edge.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def spread(image: Tensor, alpha: Tensor) -> Tensor:
    """Replace the colours of fully transparent pixels by smooth ones that continue the visible colours.

    Averages over squares of 2, 4, 8 ... pixels, weighted by alpha, fill what has no visible pixel nearer
    (the pull-push algorithm of Gortler et al., "The Lumigraph", 1996).

    Args:
        image: `(3, H, W)` float, R'G'B' that is not multiplied by alpha; not changed.
        alpha: `(1, H, W)` float in [0, 1], on the same device.

    Returns:
        `(3, H, W)`; pixels with any opacity are unchanged. The image itself if it has no transparent pixel,
        or no visible one.
    """
    hidden = alpha == 0
    if image.device.type == "cpu" and not hidden.any():
        return image
    return torch.where(hidden, _filled((image * alpha)[None], alpha[None])[0], image)


def _filled(weighted: Tensor, weight: Tensor) -> Tensor:
    """Return colours for all pixels: weighted means where there is weight, else those of a coarser level."""
    height, width = weight.shape[-2:]
    mean = weighted / weight.clamp(min=1e-12)
    if max(height, width) == 1:
        return mean
    coarse = _filled(_halved(weighted), _halved(weight))
    around = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(weight > 0, mean, around[..., :height, :width])


def _halved(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)
