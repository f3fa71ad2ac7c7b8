"""Makes LR clips from HR clips: changes the target's colour, sharpens it, degrades, downscales and encodes.

A network that was trained on clean frames only is no better than a classical filter on strongly compressed
video. Clips are therefore encoded and decoded by real codecs, with motion. All random values are drawn first,
from one `random.Random` (`draw_plan`), so that the same seed gives the same clip; then the plan is executed.
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
from vsr.training.degrade.blur_kernels import FrameGroup
from vsr.training.degrade.codec import MATRICES, Coding, draw_codings, stored, transcode
from vsr.training.degrade.degradation import Augment, Degradation, Final
from vsr.training.degrade.stages import Chain, Sizes, apply_chains, draw_chains


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Some frames of a clip, before and after degradation."""

    hr: Tensor
    """`(T, 3, H, W)` uint8: the target, sharpened if the degradation says so."""
    lr: Tensor
    """`(T, 3, H / scale, W / scale)` float16, nominally [0, 1], not clipped."""
    plain: Tensor
    """`hr` without sharpening; the same tensor if nothing is sharpened."""
    chosen: tuple[int, ...]
    """Numbers of these frames in the clip, in increasing order."""
    shift: tuple[int, int] | None = None
    """HR pixels (down, right) that the window moves from one frame of
    the clip to the next; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All random values of a clip."""

    colours: dict[str, float] | None
    """Arguments of `operations.recolour`."""
    chains: list[Chain] | None
    """Degradation steps of each frame; None for bicubic downscaling alone."""
    noise: int
    """Seed of the noise."""
    codings: tuple[Coding, ...]
    chosen: tuple[int, ...]
    stored: Matrix | None
    """Matrix with which a clean clip is converted to Y'CbCr 4:4:4; None keeps it as R'G'B'."""
    soft_chroma: bool
    """Whether the chroma of HR and LR has half the resolution."""


def degrade_clip(
    hr: Tensor,
    degradation: Degradation,
    *,
    scale: int,
    kept: int,
    rng: random.Random,
    shift: tuple[int, int] | None = None,
) -> Clip:
    """Make a training clip.

    Args:
        hr: `(T, 3, H, W)` uint8; sides are multiples of `scale`, and of `2 * scale` with codecs. Everything
            except codecs is computed on its device.
        degradation: Ranges of the random values.
        scale: HR side / LR side.
        kept: Largest number of frames to return.
        rng: Source of all random values.
        shift: Motion of the clip, which is passed on to the result.
    """
    plan = draw_plan(hr, degradation, scale, kept, rng)
    index = list(plan.chosen)
    if not plan.codings:  # then each frame can be processed alone
        hr, index = hr[index], list(range(len(index)))
        plan = replace(plan, chains=[plan.chains[i] for i in plan.chosen] if plan.chains else None)
    plain = recoloured(hr, plan.colours)
    plain = with_half_chroma(plain) if plan.soft_chroma else plain
    target = sharpened(plain, degradation)
    lr = _to_lr(target, scale, plan)
    seen = _coded(lr, plan)
    same = target is plain
    return Clip(
        hr=(first := target[index]),
        lr=seen[index].half(),
        plain=first if same else plain[index],
        chosen=plan.chosen,
        shift=shift,
    )


def _coded(lr: Tensor, plan: Plan) -> Tensor:
    """Return an LR clip, uint8, after its codecs: float32, nominally [0, 1]."""
    if plan.codings:
        return transcode(lr, *plan.codings)
    return stored(lr, plan.stored) if plan.stored is not None else lr / 255


def draw_plan(hr: Tensor, degradation: Degradation, scale: int, kept: int, rng: random.Random) -> Plan:
    """Draw all random values of `degrade_clip`; they do not depend on the image."""
    clean = rng.random() < degradation.clean
    colours = draw_colours(degradation.augment, rng)
    chains = None
    if not clean and not is_plain(degradation):
        chains = draw_chains(degradation, _sizes(hr, scale), FrameGroup(len(hr), degradation.drift), rng)
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
    """Choose frames of a clip whose LR frames already exist; both are `(T, 3, H, W)` uint8."""
    chosen = _choose(len(hr), kept, rng)
    index = list(chosen)
    target = hr[index]
    return Clip(hr=target, lr=(lr[index] / 255).half(), plain=target, chosen=chosen)


def degrade_batch(
    hr: Tensor, degradation: Degradation, *, scale: int, rng: random.Random
) -> tuple[Tensor, Tensor]:
    """Degrade unrelated images together on their device, as Real-ESRGAN does during training.

    Kernels, noise and JPEG quality differ between the images; sizes, kinds of steps and `clean` are common.

    Args:
        hr: `(N, 3, H, W)` uint8; sides are multiples of `scale`.
        degradation: A degradation without codecs, which require clips on the CPU.
        scale: HR side / LR side.
        rng: Source of all random values.

    Returns:
        LR `(N, 3, H / scale, W / scale)` and the target `(N, 3, H, W)`, both uint8.

    Raises:
        ValueError: The degradation has codecs.
    """
    if degradation.codecs:
        raise ValueError(f"{len(degradation.codecs)} codecs cannot be batched. Use degrade_clip")
    clean = rng.random() < degradation.clean
    target = sharpened(recoloured(hr, draw_colours(degradation.augment, rng)), degradation)
    if clean or is_plain(degradation):
        return reduce(target, scale), target
    chains = draw_chains(degradation, _sizes(hr, scale), FrameGroup(len(hr), None), rng)
    return _degraded(target, chains, rng.getrandbits(63)), target


def is_plain(degradation: Degradation) -> bool:
    """Return whether bicubic downscaling is the only step before the codecs."""
    final = degradation.final
    return not degradation.orders and replace(final, after_jpeg=0.0, sizes=Final().sizes) == Final()


def draw_colours(augment: Augment | None, rng: random.Random) -> dict[str, float] | None:
    """Draw the arguments of `operations.recolour`; None keeps the colours."""
    if augment is None or rng.random() >= augment.probability:
        return None
    names = [f.name for f in fields(augment) if f.name != "probability"]
    return {name: rng.uniform(*getattr(augment, name)) for name in names}


def recoloured(hr: Tensor, colours: dict[str, float] | None) -> Tensor:
    """Change the colours of `(T, 3, H, W)` uint8."""
    return hr if colours is None else eight_bit(op.recolour(hr / 255, **colours))


def with_half_chroma(hr: Tensor) -> Tensor:
    """Halve the resolution of Cb and Cr as 4:2:0 does, and upsample them
    again: `(T, 3, H, W)` uint8, even sides."""
    rgb = hr.float()
    luma = (rgb * rgb.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    # R, G and B minus Y are linear in Cb and Cr, so they contain the same information.
    colour = F.avg_pool2d(rgb - luma, 2)
    colour = F.interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
    return (luma + colour).round_().clamp_(0, 255).to(torch.uint8)


def sharpened(hr: Tensor, degradation: Degradation) -> Tensor:
    """Sharpen `(T, 3, H, W)` uint8 if the degradation sharpens targets."""
    return hr if degradation.usm is None else eight_bit(op.sharpen(hr / 255, degradation.usm))


def eight_bit(images: Tensor) -> Tensor:
    """Convert [0, 1] to 8-bit code values, uint8."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _to_lr(hr: Tensor, scale: int, plan: Plan) -> Tensor:
    return reduce(hr, scale) if plan.chains is None else _degraded(hr, plan.chains, plan.noise)


def _degraded(hr: Tensor, chains: Sequence[Chain], seed: int) -> Tensor:
    generator = torch.Generator(hr.device).manual_seed(seed)
    return eight_bit(apply_chains(hr / 255, chains, generator))


def _sizes(hr: Tensor, scale: int) -> Sizes:
    height, width = hr.shape[-2:]
    return Sizes(hr=(height, width), lr=(height // scale, width // scale))


def _choose(frames: int, kept: int, rng: random.Random) -> tuple[int, ...]:
    return tuple(sorted(rng.sample(range(frames), min(kept, frames))))


def reduce(hr: Tensor, scale: int) -> Tensor:
    """Downscale to LR by antialiased bicubic interpolation (a = -0.5, as MATLAB and PIL), rounded to 8 bits.

    Args:
        hr: `(T, 3, H, W)` uint8.
        scale: HR side / LR side.
    """
    size = (hr.shape[-2] // scale, hr.shape[-1] // scale)
    if hr.device.type == "cpu":
        return F.interpolate(hr, size=size, mode="bicubic", antialias=True)
    return eight_bit(op.resize(hr / 255, size, "bicubic", antialias=True))  # only the CPU resizes uint8
