"""Layers and checks that several families of generators share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ConfigError, ModelError

ENLARGEMENTS = (1, 2, 3, 4, 8, 16)
"""Supported scales of all stages of a network together: published networks double repeatedly, or have x3."""


def upsampling_stages(factor: int) -> tuple[int, ...]:
    """Split a scale into the stages that published networks use: 8 into 2, 2, 2; 3 into 3; 1 into none.

    Raises:
        ConfigError: `factor` is not one of `ENLARGEMENTS`.
    """
    if factor not in ENLARGEMENTS:
        raise ConfigError(f"a network cannot enlarge {factor} times; use one of {ENLARGEMENTS}")
    return (3,) if factor == 3 else (2,) * (factor.bit_length() - 1)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad `(N, C, H, W)` at the right and bottom until both sides are multiples.

    The padding is mirrored, as in Real-ESRGAN, or repeats the last pixel if the image is too small for that.
    """
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return x
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, down), mode=mode)


def last_conv(conv: nn.Conv2d, h: Tensor, dtype: torch.dtype) -> Tensor:
    """Apply the convolution that makes the image, with a result that uses the precision of `dtype`.

    Note [Two roundings]: bf16 has 8 bits of precision, so an image in bf16 has steps of 1/256 in its bright
    half, which are visible in 8-bit video and more so in 10-bit video. Convolutions sum in fp32 and round
    once at the end. A second convolution that also reads the negated rounded result of the first one computes
    only the rounding error. The sum of both has 16 bits and takes half the time of an fp32 convolution on a
    CPU with bf16 (measured). For fp16 its 11 bits are enough.

    Args:
        conv: A convolution with a bias, and with zero padding that keeps the size.
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


@torch.no_grad()
def scaled_kaiming_init_(conv: nn.Conv2d, gain: float) -> None:
    """Initialise a convolution with Kaiming's normal weights times `gain` and a bias of zero, in place."""
    nn.init.kaiming_normal_(conv.weight)
    conv.weight.mul_(gain)
    assert conv.bias is not None
    conv.bias.zero_()


def equal_places_(conv: nn.Module, scale: int) -> None:
    """Give all phases of the pixel shuffle after a convolution the weights of the first phase, in place.

    Then the untrained network makes no grid pattern that training would have to remove. Aitken et al.,
    "Checkerboard artifact free sub-pixel convolution", arXiv 1707.02937, section 2.3.
    """
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        for numbers in (conv.weight, conv.bias):
            if numbers is not None:
                places = numbers.unflatten(0, (-1, scale * scale))
                places.copy_(places[:, :1].expand_as(places).clone())


def require(family: str, state: Mapping[str, Tensor], *layers: str) -> None:
    """Check that the weights of a family have some layers.

    Args:
        family: Name of the family, for the message.
        state: Weights with the family's names.
        layers: Names of layers; `a|b` means that one of the two is enough.

    Raises:
        ModelError: a layer is missing; the message has its name.
    """
    missing = [layer for layer in layers if not any(f"{name}.weight" in state for name in layer.split("|"))]
    if missing:
        names = ", ".join(" or ".join(f"{name}.weight" for name in layer.split("|")) for layer in missing)
        raise ModelError(f"{family} without {names}; incomplete, or an unknown variant")
