"""LR clips from HR clips: sharpening and colour of the target, orders of degradation, reduction, real codecs.

A network that has seen clean pictures only gains nothing over a classical filter on strongly compressed
video. So clips are really encoded and decoded, with motion in them. All that is random is drawn first, from
one `random.Random` (`draw_plan`), so that the same seed gives the same clip; then the plan is carried out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.color.spec import Matrix
from vsr.training.degrade import operations as op
from vsr.training.degrade.blur_kernels import Pace
from vsr.training.degrade.codec import MATRICES, Coding, draw_codings, stored, transcode
from vsr.training.degrade.degradation import Augment, Degradation, Final
from vsr.training.degrade.stages import Chain, Sizes, carry_out, draw_chains


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A few pictures of a clip, before and after."""

    hr: Tensor
    """`(T, 3, H, W)` uint8: the target, sharpened where the degradation says so."""
    lr: Tensor
    """`(T, 3, H / scale, W / scale)` float16, nominally [0, 1], not clipped."""
    plain: Tensor
    """`hr` without sharpening; the same tensor where there is none."""
    chosen: tuple[int, ...]
    """Numbers of these pictures in the clip, rising."""
    shift: tuple[int, int] | None = None
    """HR pixels (down, right) that the window moves from a picture of the clip to the next; None if
    unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is drawn for a clip."""

    colours: dict[str, float] | None
    """Arguments of `operations.recolour`."""
    chains: list[Chain] | None
    """Of each picture; None for plain bicubic reduction."""
    noise: int
    """Seed of the noise."""
    codings: tuple[Coding, ...]
    chosen: tuple[int, ...]
    stored: Matrix | None
    """Of a clean clip that becomes Y'CbCr 4:4:4; None leaves it R'G'B'."""
    soft_chroma: bool
    """Whether colours have half the resolution."""


def degrade_clip(
    hr: Tensor,
    degradation: Degradation,
    *,
    scale: int,
    kept: int,
    rng: random.Random,
    shift: tuple[int, int] | None = None,
) -> Clip:
    """Make a clip to train on.

    Args:
        hr: `(T, 3, H, W)` uint8; sides are multiples of `scale`, and of `2 * scale` where there are codecs.
            What needs no codec is computed on its device.
        degradation: What to draw from.
        scale: HR side over LR side.
        kept: Pictures of the clip that are returned, at most.
        rng: All that is drawn is drawn from it.
        shift: For the result.
    """
    plan = draw_plan(hr, degradation, scale, kept, rng)
    index = list(plan.chosen)
    if not plan.codings:  # then pictures do not depend on each other
        hr, index = hr[index], list(range(len(index)))
        plan = replace(plan, chains=[plan.chains[i] for i in plan.chosen] if plan.chains else None)
    plain = recoloured(hr, plan.colours)
    plain = softened(plain) if plan.soft_chroma else plain
    target = sharpened(plain, degradation)
    lr = _reduced(target, scale, plan)
    seen = _seen(lr, plan)
    same = target is plain
    return Clip(
        hr=(first := target[index]),
        lr=seen[index].half(),
        plain=first if same else plain[index],
        chosen=plan.chosen,
        shift=shift,
    )


def _seen(lr: Tensor, plan: Plan) -> Tensor:
    """An LR clip after codecs: uint8 to float32, nominally [0, 1]."""
    if plan.codings:
        return transcode(lr, *plan.codings)
    return stored(lr, plan.stored) if plan.stored is not None else lr / 255


def draw_plan(hr: Tensor, degradation: Degradation, scale: int, kept: int, rng: random.Random) -> Plan:
    """Draw all that `degrade_clip` does; the picture itself plays no part."""
    clean = rng.random() < degradation.clean
    colours = draw_colours(degradation.augment, rng)
    chains = None
    if not clean and not is_plain(degradation):
        chains = draw_chains(degradation, _sizes(hr, scale), Pace(len(hr), degradation.drift), rng)
    return Plan(
        colours=colours,
        chains=chains,
        noise=rng.getrandbits(63) if chains else 0,
        codings=() if clean else draw_codings(degradation, rng),
        chosen=_choose(len(hr), kept, rng),
        stored=rng.choice(MATRICES) if clean and rng.random() < degradation.clean_yuv else None,
        soft_chroma=rng.random() < degradation.soft_chroma,
    )


def pair_clip(hr: Tensor, lr: Tensor, kept: int, rng: random.Random) -> Clip:
    """Choose pictures of a clip whose LR side exists already: both `(T, 3, H, W)` uint8."""
    chosen = _choose(len(hr), kept, rng)
    index = list(chosen)
    target = hr[index]
    return Clip(hr=target, lr=(lr[index] / 255).half(), plain=target, chosen=chosen)


def degrade_batch(
    hr: Tensor, degradation: Degradation, *, scale: int, rng: random.Random
) -> tuple[Tensor, Tensor]:
    """Degrade unrelated pictures together on their device, as Real-ESRGAN does while training.

    Kernels, noise and JPEG quality differ between the pictures; sizes and kinds of steps are the batch's, and
    so is `clean`.

    Args:
        hr: `(N, 3, H, W)` uint8; sides are multiples of `scale`.
        degradation: Without codecs: these need clips and the host.
        scale: HR side over LR side.
        rng: All that is drawn is drawn from it.

    Returns:
        LR `(N, 3, H / scale, W / scale)` and the target `(N, 3, H, W)`, both uint8.

    Raises:
        ValueError: the degradation has codecs.
    """
    if degradation.codecs:
        raise ValueError(f"{len(degradation.codecs)} codecs cannot be batched; use degrade_clip")
    clean = rng.random() < degradation.clean
    target = sharpened(recoloured(hr, draw_colours(degradation.augment, rng)), degradation)
    if clean or is_plain(degradation):
        return reduce(target, scale), target
    chains = draw_chains(degradation, _sizes(hr, scale), Pace(len(hr), None), rng)
    return _through(target, chains, rng.getrandbits(63)), target


def is_plain(degradation: Degradation) -> bool:
    """Whether nothing but bicubic reduction happens before the codecs."""
    final = degradation.final
    return not degradation.orders and replace(final, after_jpeg=0.0, sizes=Final().sizes) == Final()


def draw_colours(augment: Augment | None, rng: random.Random) -> dict[str, float] | None:
    """Draw arguments of `operations.recolour`; None leaves the colours alone."""
    if augment is None or rng.random() >= augment.probability:
        return None
    names = [f.name for f in fields(augment) if f.name != "probability"]
    return {name: rng.uniform(*getattr(augment, name)) for name in names}


def recoloured(hr: Tensor, colours: dict[str, float] | None) -> Tensor:
    """`(T, 3, H, W)` uint8 in other colours."""
    return hr if colours is None else eight_bit(op.recolour(hr / 255, **colours))


def softened(hr: Tensor) -> Tensor:
    """`(T, 3, H, W)` uint8 with even sides, its Cb and Cr halved and enlarged again: 4:2:0."""
    rgb = hr.float()
    luma = (rgb * rgb.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    # R, G and B less Y carry the same as Cb and Cr, linearly.
    colour = F.avg_pool2d(rgb - luma, 2)
    colour = F.interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
    return (luma + colour).round_().clamp_(0, 255).to(torch.uint8)


def sharpened(hr: Tensor, degradation: Degradation) -> Tensor:
    """`(T, 3, H, W)` uint8 as targets are."""
    return hr if degradation.usm is None else eight_bit(op.sharpen(hr / 255, degradation.usm))


def eight_bit(images: Tensor) -> Tensor:
    """[0, 1] to codes, uint8."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _reduced(hr: Tensor, scale: int, plan: Plan) -> Tensor:
    return reduce(hr, scale) if plan.chains is None else _through(hr, plan.chains, plan.noise)


def _through(hr: Tensor, chains: Sequence[Chain], seed: int) -> Tensor:
    generator = torch.Generator(hr.device).manual_seed(seed)
    return eight_bit(carry_out(hr / 255, chains, generator))


def _sizes(hr: Tensor, scale: int) -> Sizes:
    height, width = hr.shape[-2:]
    return Sizes(hr=(height, width), lr=(height // scale, width // scale))


def _choose(frames: int, kept: int, rng: random.Random) -> tuple[int, ...]:
    return tuple(sorted(rng.sample(range(frames), min(kept, frames))))


def reduce(hr: Tensor, scale: int) -> Tensor:
    """Make LR pictures: antialiased bicubic (a = -0.5, as MATLAB and PIL have it), rounded to 8 bits.

    Args:
        hr: `(T, 3, H, W)` uint8.
        scale: HR side over LR side.
    """
    size = (hr.shape[-2] // scale, hr.shape[-1] // scale)
    if hr.device.type == "cpu":
        return F.interpolate(hr, size=size, mode="bicubic", antialias=True)
    return eight_bit(
        op.resize(hr / 255, size, "bicubic", antialias=True)
    )  # 8-bit resizing is the CPU's alone


def pan(image: Tensor, size: int, frames: int, start: tuple[int, int], speed: tuple[int, int]) -> Tensor:
    """Move a window over `image` `(3, H, W)`: `(T, 3, size, size)`; pairs are (vertical, horizontal)."""
    corners = [(start[0] + speed[0] * i, start[1] + speed[1] * i) for i in range(frames)]
    return torch.stack([image[:, y : y + size, x : x + size] for y, x in corners])
