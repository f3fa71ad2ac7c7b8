"""Pixel, colour and adversarial losses.

Perceptual losses are in `features.py`, temporal losses in `temporal.py`. All losses are computed in fp32 for
any input precision, and are means, so that a weight has the same effect at any size.
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
Mean = Callable[[Tensor], Tensor]
"""Returns the mean of logits; of several processes, that of the whole batch."""

CHARBONNIER_EPSILON = 1e-3
"""In units of an image in [0, 1]: Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017, section 3.2."""
TONE_SIDE = 16
"""Block side in HR pixels: more than any detail that a x4 network may
invent, less than half of a usual crop."""
GRID_SIDE = 8
"""Block side in LR pixels, smaller than a crop, to detect a grid whose strength varies with the content."""
SIGMOID_EPSILON = 1e-7
"""Smallest distance of a probability from 0 and 1: Keras'
`backend.epsilon`, by which its cross entropy clamps."""


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean absolute difference: scalar, fp32. The arguments have
    the same shape and device, any range."""
    return F.l1_loss(*_in_memory_order(sr.float(), hr.float()))


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean squared difference: scalar, fp32. The arguments have
    the same shape and device, any range."""
    return F.mse_loss(*_in_memory_order(sr.float(), hr.float()))


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean of sqrt(d^2 + epsilon^2) with `CHARBONNIER_EPSILON`, a smooth L1: scalar, fp32."""
    sr, hr = _in_memory_order(sr.float(), hr.float())
    difference = sr - hr
    return (difference**2 + CHARBONNIER_EPSILON**2).sqrt().mean()


def _in_memory_order(sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Permute images that are channels_last to their order in memory.

    Otherwise the gradient of a mean, an expanded scalar, has another memory layout, and torch reads both with
    large strides, which takes four times as long on a CPU.
    """
    last = all(x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) for x in (sr, hr))
    return (sr.permute(0, 2, 3, 1), hr.permute(0, 2, 3, 1)) if last else (sr, hr)


def tone(sr: Tensor, hr: Tensor) -> Tensor:
    """Low-frequency colour loss: L1 between the means of blocks of `TONE_SIDE` pixels, independent of detail.

    The arguments have the same shape `(N, C, H, W)` and device, any range. The result is a scalar, fp32.
    Incomplete blocks at the right and at the bottom are ignored.
    """
    return l1(*(F.avg_pool2d(image.float(), TONE_SIDE) for image in (sr, hr)))


def chroma(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 loss on Cb and Cr (BT.601); in a loss on R, G and B, errors of luma outweigh those of chroma.

    The arguments have the same shape `(N, 3, H, W)` and device, any range. The result is a scalar, fp32, in
    units of an image in [0, 1].
    """
    red, green, blue = (sr.float() - hr.float()).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return ((blue - luma) / 1.772).abs().mean() / 2 + ((red - luma) / 1.402).abs().mean() / 2


def grid(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """Grid loss: the differences in mean error between the positions of a pixel shuffle, visible as a grid.

    The mean error is computed in blocks of `GRID_SIDE` LR pixels, separately for each of the `scale * scale`
    HR pixels of an LR pixel. The loss is the L1 norm of their deviations from their common mean.

    Args:
        sr: `(N, C, H * scale, W * scale)`, any range and device. Only complete blocks count; images smaller
            than `GRID_SIDE` are one block.
        hr: The same shape.
        scale: HR side / LR side.

    Returns:
        Scalar, fp32.
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
    """The two losses of a discriminator, which is trained on their sum."""

    real: Tensor
    """Scalar, fp32: the loss for real images classified as generated."""
    fake: Tensor
    """Scalar, fp32: the loss for generated images classified as real."""


def generator_loss(
    kind: AdversarialKind, real: Tensor | None, fake: Tensor, mean: Mean = torch.mean
) -> Tensor:
    """Return the adversarial loss of the generator.

    Args:
        kind: Kind of the loss, see `ADVERSARIAL`.
        real: Logits of real images, any shape (one an image, or a map), any float dtype, treated as
            constants. Only the relativistic kinds need them, see `needs_real`.
        fake: Logits of generated images, of the same shape.
        mean: How the relativistic kinds take a mean of logits.

    Returns:
        Scalar, fp32. Usual weights are 1e-3 (SRGAN), 5e-3 (ESRGAN) and 0.1 (Real-ESRGAN).

    Raises:
        ValueError: The kind needs `real`, but it is None or has another shape than `fake`.
    """
    if not ADVERSARIAL[kind].relative:
        return ADVERSARIAL[kind].generator(fake.float(), fake.float(), mean)
    if real is None:
        raise ValueError(f"{kind} compares with real images. Give their logits")
    _check_shapes(real, fake)
    return ADVERSARIAL[kind].generator(real.detach().float(), fake.float(), mean)


def discriminator_losses(
    kind: AdversarialKind, real: Tensor, fake: Tensor, mean: Mean = torch.mean
) -> DiscriminatorLosses:
    """Return the discriminator's losses for real and for generated images.

    Args:
        kind: Kind of the loss, see `ADVERSARIAL`.
        real: Logits of real images, any shape, any float dtype.
        fake: Logits of generated images, of the same shape; the images must be detached.
        mean: How the relativistic kinds take a mean of logits.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(real, fake)
    return ADVERSARIAL[kind].discriminator(real.float(), fake.float(), mean)


def needs_real(kind: AdversarialKind) -> bool:
    """Return whether the generator's loss needs the logits of real
    images, which cost another forward pass."""
    return ADVERSARIAL[kind].relative


def _check_shapes(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        raise ValueError(f"logits must have the same shape, not {tuple(real.shape)} and {tuple(fake.shape)}")


def _is_real(logits: Tensor) -> Tensor:
    """Return the binary cross entropy with label 1."""
    return F.softplus(-logits).mean()


def _is_fake(logits: Tensor) -> Tensor:
    """Return the binary cross entropy with label 0."""
    return F.softplus(logits).mean()


def _vanilla_generator(_: Tensor, fake: Tensor, __: Mean) -> Tensor:
    """-log D(fake), the non-saturating loss of Goodfellow et al., arXiv 1406.2661, section 3."""
    return _is_real(fake)


def _vanilla_discriminator(real: Tensor, fake: Tensor, _: Mean) -> DiscriminatorLosses:
    return DiscriminatorLosses(_is_real(real), _is_fake(fake))


def _relativistic_generator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """RaGAN (Jolicoeur-Martineau, arXiv 1807.00734) as in ESRGAN: the mean of both directions."""
    return (_is_fake(real - mean(fake)) + _is_real(fake - mean(real))) / 2


def _relativistic_discriminator(real: Tensor, fake: Tensor, mean: Mean) -> DiscriminatorLosses:
    """As in BasicSR's ESRGAN: each half has gradients through its own
    logits; the other's mean is a constant."""
    return DiscriminatorLosses(
        _is_real(real - mean(fake.detach())) / 2, _is_fake(fake - mean(real.detach())) / 2
    )


def _sigmoid_generator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """RaGAN on clamped probabilities, the sum of both directions, as in ESRGAN implementations for Keras."""
    return _cross_entropy(real - mean(fake), 0) + _cross_entropy(fake - mean(real), 1)


def _sigmoid_discriminator(real: Tensor, fake: Tensor, mean: Mean) -> DiscriminatorLosses:
    """Unlike `relativistic`, the gradient passes through both means, so the halves share their graph."""
    return DiscriminatorLosses(_cross_entropy(real - mean(fake), 1), _cross_entropy(fake - mean(real), 0))


def _cross_entropy(logits: Tensor, label: int) -> Tensor:
    """Return the binary cross entropy of a clamped probability; a
    probability at the limits has no gradient."""
    probability = logits.sigmoid().clamp(SIGMOID_EPSILON, 1 - SIGMOID_EPSILON)
    return -torch.log(probability if label else 1 - probability).mean()


def _square_generator(_: Tensor, fake: Tensor, __: Mean) -> Tensor:
    """Least squares with the labels 0 and 1: Mao et al., arXiv
    1611.04076, equation 9, without its factors 1/2."""
    return ((fake - 1) ** 2).mean()


def _square_discriminator(real: Tensor, fake: Tensor, _: Mean) -> DiscriminatorLosses:
    return DiscriminatorLosses(((real - 1) ** 2).mean(), (fake**2).mean())


def _hinge_generator(_: Tensor, fake: Tensor, __: Mean) -> Tensor:
    """Lim and Ye, "Geometric GAN", arXiv 1705.02894."""
    return -fake.mean()


def _hinge_discriminator(real: Tensor, fake: Tensor, _: Mean) -> DiscriminatorLosses:
    return DiscriminatorLosses(F.relu(1 - real).mean(), F.relu(1 + fake).mean())


@dataclass(frozen=True, slots=True)
class _AdversarialLoss:
    """The generator's and the discriminator's part of an adversarial loss."""

    generator: Callable[[Tensor, Tensor, Mean], Tensor]
    discriminator: Callable[[Tensor, Tensor, Mean], DiscriminatorLosses]
    relative: bool = False
    """Whether the generator's loss needs the logits of real images."""


ADVERSARIAL: Mapping[AdversarialKind, _AdversarialLoss] = {
    "vanilla": _AdversarialLoss(_vanilla_generator, _vanilla_discriminator),
    "relativistic": _AdversarialLoss(_relativistic_generator, _relativistic_discriminator, relative=True),
    "relativistic-sigmoid": _AdversarialLoss(_sigmoid_generator, _sigmoid_discriminator, relative=True),
    "lsgan": _AdversarialLoss(_square_generator, _square_discriminator),
    "hinge": _AdversarialLoss(_hinge_generator, _hinge_discriminator),
}
