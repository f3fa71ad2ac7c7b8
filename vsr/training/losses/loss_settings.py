"""Losses between tensors, and their settings.

Losses of features are in `features.py`, those of time in `temporal.py`. All are computed in fp32, whatever
the precision of what they are given, and are means, so that a weight means the same at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PixelKind = Literal["l1", "mse", "charbonnier"]
AdversarialKind = Literal["vanilla", "relativistic", "relativistic-sigmoid", "lsgan", "hinge"]

CHARBONNIER_EPSILON = 1e-3
"""In units of a picture in [0, 1]: Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017, section 3.2."""
TONE_SIDE = 16
"""HR pixels: more than any detail that a network at x4 may invent, less than half of a usual crop."""
GRID_SIDE = 8
"""LR pixels: a grid that comes and goes with what it lies on is seen, too, so not the whole crop."""
SIGMOID_EPSILON = 1e-7
"""How near to 0 and 1 a probability may come: Keras' `backend.epsilon`, which its cross entropy clamps by."""


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference: fp32, no dimensions. The arguments have one shape, any range and device."""
    return F.l1_loss(*_in_order(sr.float(), hr.float()))


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared difference: fp32, no dimensions. The arguments have one shape, any range and device."""
    return F.mse_loss(*_in_order(sr.float(), hr.float()))


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2), L1 with a round bottom: fp32, no dimensions; `CHARBONNIER_EPSILON`."""
    sr, hr = _in_order(sr.float(), hr.float())
    difference = sr - hr
    return (difference**2 + CHARBONNIER_EPSILON**2).sqrt().mean()


def _in_order(sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures that are channels_last, with their dimensions in the order in which they lie in memory.

    Else the gradient of a mean, a number for all, is laid out another way, and torch walks through both in
    leaps: on a processor four times as long.
    """
    last = all(x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) for x in (sr, hr))
    return (sr.permute(0, 2, 3, 1), hr.permute(0, 2, 3, 1)) if last else (sr, hr)


def tone(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 between the means of blocks of `TONE_SIDE` pixels: colour and brightness, whatever the detail.

    The arguments have one shape `(N, C, H, W)`, any range and device; fp32, no dimensions. What is left over
    at the right and at the bottom is not counted.
    """
    return l1(*(F.avg_pool2d(image.float(), TONE_SIDE) for image in (sr, hr)))


def chroma(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 of Cb and Cr: what an error in all of R, G and B hides, since most of it is of luma.

    The arguments have one shape `(N, 3, H, W)`, any range and device; fp32, no dimensions. BT.601, in
    units of a picture in [0, 1].
    """
    red, green, blue = (sr.float() - hr.float()).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return ((blue - luma) / 1.772).abs().mean() / 2 + ((red - luma) / 1.402).abs().mean() / 2


def grid(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """How far the error differs between the places of a pixel shuffle: what an eye sees as a grid.

    The error's mean is taken in blocks of `GRID_SIDE` LR pixels, once for each of the `scale * scale` places
    that an LR pixel becomes; all should be equal, and L1 of what they differ by is the figure.

    Args:
        sr: `(N, C, H * scale, W * scale)`, any range and device. Of H and W multiples of
            `GRID_SIDE` are counted, or all of them below it.
        hr: Of the same shape.
        scale: HR side over LR side.

    Returns:
        fp32, no dimensions.
    """
    places = F.pixel_unshuffle(sr.float() - hr.float(), scale).unflatten(1, (-1, scale * scale))
    means = F.avg_pool2d(places.flatten(1, 2), min(GRID_SIDE, *places.shape[-2:]))
    means = means.unflatten(1, (-1, scale * scale))
    return (means - means.mean(2, keepdim=True)).abs().mean()


PIXEL: Mapping[PixelKind, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1,
    "mse": mse,
    "charbonnier": charbonnier,
}


class DiscriminatorLosses(NamedTuple):
    """A discriminator is trained by their sum; apart, they say on which side it fails."""

    real: Tensor
    """fp32, no dimensions: originals that were taken for made."""
    fake: Tensor
    """fp32, no dimensions: made pictures that were taken for originals."""


def generator_loss(kind: AdversarialKind, real: Tensor | None, fake: Tensor) -> Tensor:
    """What the generator pays for being found out.

    Args:
        kind: Of the loss, see `ADVERSARIAL`.
        real: Logits of the originals, any shape (one a picture, or a map), any float dtype; taken as
            constants. Only the relativistic kinds read them, see `needs_real`.
        fake: Logits of what was made, of the same shape.

    Returns:
        fp32, no dimensions. The usual weights are 1e-3 (SRGAN), 5e-3 (ESRGAN) and 0.1 (Real-ESRGAN).

    Raises:
        ValueError: The kind needs `real`, and it is not there, or not of fake's shape.
    """
    if not ADVERSARIAL[kind].relative:
        return ADVERSARIAL[kind].generator(fake.float(), fake.float())
    if real is None:
        raise ValueError(f"{kind} compares with the originals; give their logits")
    _check_shapes(real, fake)
    return ADVERSARIAL[kind].generator(real.detach().float(), fake.float())


def discriminator_loss(kind: AdversarialKind, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator is trained by: the sum of its `discriminator_losses`."""
    losses = discriminator_losses(kind, real, fake)
    return losses.real + losses.fake


def discriminator_losses(kind: AdversarialKind, real: Tensor, fake: Tensor) -> DiscriminatorLosses:
    """What the discriminator pays for its mistakes on either side.

    Args:
        kind: Of the loss, see `ADVERSARIAL`.
        real: Logits of the originals, any shape, any float dtype.
        fake: Logits of what was made, of the same shape; the pictures must have been detached.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(real, fake)
    return ADVERSARIAL[kind].discriminator(real.float(), fake.float())


def needs_real(kind: AdversarialKind) -> bool:
    """Whether the generator's loss reads the originals' logits, which cost a run of the discriminator."""
    return ADVERSARIAL[kind].relative


def _check_shapes(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        raise ValueError(f"logits of {tuple(real.shape)} and {tuple(fake.shape)}; same shape needed")


def _is_real(logits: Tensor) -> Tensor:
    """Binary cross entropy against 1."""
    return F.softplus(-logits).mean()


def _is_fake(logits: Tensor) -> Tensor:
    """Binary cross entropy against 0."""
    return F.softplus(logits).mean()


def _vanilla_generator(_: Tensor, fake: Tensor) -> Tensor:
    """-log D(fake): Goodfellow et al., arXiv 1406.2661, section 3, which does not saturate."""
    return _is_real(fake)


def _vanilla_discriminator(real: Tensor, fake: Tensor) -> DiscriminatorLosses:
    return DiscriminatorLosses(_is_real(real), _is_fake(fake))


def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """RaGAN (Jolicoeur-Martineau, arXiv 1807.00734) as ESRGAN trains with it: half of both directions."""
    return (_is_fake(real - fake.mean()) + _is_real(fake - real.mean())) / 2


def _relativistic_discriminator(real: Tensor, fake: Tensor) -> DiscriminatorLosses:
    """As BasicSR's ESRGAN: each half goes back through its own logits, the other's mean is a constant."""
    return DiscriminatorLosses(
        _is_real(real - fake.detach().mean()) / 2, _is_fake(fake - real.detach().mean()) / 2
    )


def _sigmoid_generator(real: Tensor, fake: Tensor) -> Tensor:
    """RaGAN on clamped probabilities, both directions added, as the Keras ESRGANs have it."""
    return _cross_entropy(real - fake.mean(), 0) + _cross_entropy(fake - real.mean(), 1)


def _sigmoid_discriminator(real: Tensor, fake: Tensor) -> DiscriminatorLosses:
    """Unlike `relativistic`, the gradient goes through both means: the halves share their graph."""
    return DiscriminatorLosses(_cross_entropy(real - fake.mean(), 1), _cross_entropy(fake - real.mean(), 0))


def _cross_entropy(logits: Tensor, label: int) -> Tensor:
    """Binary cross entropy of a clamped probability: where the clamp holds, there is no gradient."""
    probability = logits.sigmoid().clamp(SIGMOID_EPSILON, 1 - SIGMOID_EPSILON)
    return -torch.log(probability if label else 1 - probability).mean()


def _square_generator(_: Tensor, fake: Tensor) -> Tensor:
    """Least squares to the labels 0 and 1: Mao et al., arXiv 1611.04076, equation 9, without its halves."""
    return ((fake - 1) ** 2).mean()


def _square_discriminator(real: Tensor, fake: Tensor) -> DiscriminatorLosses:
    return DiscriminatorLosses(((real - 1) ** 2).mean(), (fake**2).mean())


def _hinge_generator(_: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye, "Geometric GAN", arXiv 1705.02894."""
    return -fake.mean()


def _hinge_discriminator(real: Tensor, fake: Tensor) -> DiscriminatorLosses:
    return DiscriminatorLosses(F.relu(1 - real).mean(), F.relu(1 + fake).mean())


@dataclass(frozen=True, slots=True)
class _Game:
    """The two sides of an adversarial loss."""

    generator: Callable[[Tensor, Tensor], Tensor]
    discriminator: Callable[[Tensor, Tensor], DiscriminatorLosses]
    relative: bool = False
    """Whether the generator's side reads the originals' logits."""


ADVERSARIAL: Mapping[AdversarialKind, _Game] = {
    "vanilla": _Game(_vanilla_generator, _vanilla_discriminator),
    "relativistic": _Game(_relativistic_generator, _relativistic_discriminator, relative=True),
    "relativistic-sigmoid": _Game(_sigmoid_generator, _sigmoid_discriminator, relative=True),
    "lsgan": _Game(_square_generator, _square_discriminator),
    "hinge": _Game(_hinge_generator, _hinge_discriminator),
}
