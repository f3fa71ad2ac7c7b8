"""Layers that generators share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ConfigError, ModelError

ENLARGEMENTS = (1, 2, 3, 4, 8, 16)
"""By how much a network may enlarge in all its stages: published ones double, again and again, or are x3."""


def upsampling_stages(factor: int) -> tuple[int, ...]:
    """Split an enlargement into the stages that published networks use: 8 is 2, 2, 2; 3 is 3; 1 is none.

    Raises:
        ConfigError: `factor` is not one of `ENLARGEMENTS`.
    """
    if factor not in ENLARGEMENTS:
        raise ConfigError(f"a network cannot enlarge {factor} times; use one of {ENLARGEMENTS}")
    return (3,) if factor == 3 else (2,) * (factor.bit_length() - 1)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend `(N, C, H, W)` at its right and bottom until both sides are multiples; mirrored where it is
    large enough, as Real-ESRGAN does, else by its last pixel."""
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return x
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, down), mode=mode)


def last_conv(conv: nn.Conv2d, h: Tensor, dtype: torch.dtype) -> Tensor:
    """Apply the convolution that makes the picture, with a result as fine as `dtype` holds.

    Note [Two roundings]: bf16 keeps 8 bits, so a picture of bf16 numbers has steps of 1/256 in its bright
    half: 8-bit video shows them, 10-bit video all the more. Convolutions add up in fp32 and round once at
    the end; a second one, which is also given minus the first's rounded result, rounds only what the first
    had lost. Their sum has 16 bits, for half the time of an fp32 convolution on a CPU with bf16 (measured).
    The 11 bits of fp16 are enough without.

    Args:
        conv: With a bias, and as many zeros at the border as keep the size.
        h: `(N, C, H, W)` in the convolution's dtype.
        dtype: Of the result.
    """
    rounded = conv(h)
    if h.dtype != torch.bfloat16 or dtype == h.dtype:
        return rounded.to(dtype)
    minus = torch.zeros_like(conv.weight[:, : conv.out_channels])
    minus[..., minus.shape[-2] // 2, minus.shape[-1] // 2] = -torch.eye(
        len(minus), dtype=h.dtype, device=h.device
    )
    weight = torch.cat((conv.weight, minus), 1).contiguous(memory_format=torch.channels_last)
    lost = F.conv2d(torch.cat((h, rounded), 1), weight, conv.bias, padding=conv.padding)
    return rounded.to(dtype).add_(lost)


def equal_places_(conv: nn.Module, scale: int) -> None:
    """Give all places of the pixel shuffle that follows a convolution the weights of the first, in place.

    Nothing then repeats with the places at the start, so no grid has to be unlearnt. Aitken et al.,
    "Checkerboard artifact free sub-pixel convolution", arXiv 1707.02937, section 2.3.
    """
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        for numbers in (conv.weight, conv.bias):
            if numbers is not None:
                places = numbers.unflatten(0, (-1, scale * scale))
                places.copy_(places[:, :1].expand_as(places).clone())


def require(family: str, state: Mapping[str, Tensor], *layers: str) -> None:
    """Refuse weights that are a family's, but without some layers.

    Args:
        family: Its name, for the message.
        state: Under the family's own names.
        layers: Each a name, or several names with `|` between them, of which one is enough.

    Raises:
        ModelError: names what is missing.
    """
    missing = [layer for layer in layers if not any(f"{name}.weight" in state for name in layer.split("|"))]
    if missing:
        names = ", ".join(" or ".join(f"{name}.weight" for name in layer.split("|")) for layer in missing)
        raise ModelError(f"{family} without {names}; incomplete, or a variant that is unknown")
