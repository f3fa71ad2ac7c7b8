"""How much better than the classical filters a network is, on material that it was not trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.color.spec import Matrix
from vsr.metrics import flicker, psnr_y
from vsr.models.archs.resample import resize
from vsr.train.codec import Coding, transcode
from vsr.train.degradation import Final
from vsr.train.degrade import degrade_clip, reduce
from vsr.train.material import Material, Sample
from vsr.train.recipe import Recipe
from vsr.train.steps import autocast

CONDITIONS: dict[str, Coding | None] = {
    "clean": None,
    **{
        f"crf{crf}": Coding(encoder="libx264", quality=crf, preset="medium", matrix=Matrix.SMPTE170M)
        for crf in (18, 23, 28)
    },
}
"""Name in the log to what the LR clip went through."""
OWN = "own"
"""Condition: LR as the recipe's own degradations make it, or as a pair's LR file has it."""
SAMPLES = 12
"""Clips that are measured."""
MOST = 4
"""Pictures of a clip that are coded for it."""
_HIGHEST = 60.0
"""dB that count: rounding to 8 bits alone gives 10 lg(12 * 255^2) = 58.9. A flat picture has infinitely many,
and the difference of two such is no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A picture to upscale, the one before it, and what they are compared with."""

    condition: str
    lr: Tensor
    """`(1, 3, H, W)` float32."""
    hr: Tensor
    """`(3, H * scale, W * scale)` float32, [0, 1]."""
    bicubic: float
    """Y-PSNR of the bicubic enlargement, in dB."""
    lanczos: float
    """The same of Lanczos' filter."""
    before: tuple[Tensor, Tensor] | None
    """LR and HR of the picture before; None where the clip has one picture."""
    shift: tuple[int, int] | None
    """HR pixels by which the window moved since; None where the motion is unknown."""


def make_trials(held_out: Material, recipe: Recipe) -> list[Trial]:
    """Draw clips from the material held out, and make each under every condition; always the same ones."""
    trials = []
    for i in range(SAMPLES):
        sample = held_out.draw(random.Random(f"held out/{i}"))
        trials += _trials(sample, recipe, i)
    return trials


def _trials(sample: Sample, recipe: Recipe, i: int) -> list[Trial]:
    hr = sample.hr[:MOST]
    if sample.lr is not None:
        return [_trial(OWN, sample.lr[:MOST] / 255, hr, sample, recipe.scale)]
    lr = reduce(hr, recipe.scale)
    seen = {name: transcode(lr, coding) if coding else lr / 255 for name, coding in CONDITIONS.items()}
    trials = [_trial(name, images, hr, sample, recipe.scale) for name, images in seen.items()]
    if OWN in recipe.judged_by or recipe.degrade.orders or recipe.degrade.final != Final():
        rng = random.Random(f"own/{i}")
        clip = degrade_clip(hr, recipe.degrade, scale=recipe.scale, kept=len(hr), rng=rng, shift=sample.shift)
        trials.append(_trial(OWN, clip.lr.float(), clip.plain, sample, recipe.scale))  # in its colours
    return trials


def _trial(condition: str, lr: Tensor, hr: Tensor, sample: Sample, scale: int) -> Trial:
    last, target = lr[-1:], hr[-1] / 255
    return Trial(
        condition=condition,
        lr=last,
        hr=target,
        bicubic=_score(enlarge(last, scale), target, scale),
        lanczos=_score(_lanczos(last, scale), target, scale),
        before=(lr[-2:-1], hr[-2] / 255) if len(hr) > 1 else None,
        shift=sample.shift,
    )


def enlarge(lr: Tensor, scale: int) -> Tensor:
    """Bicubic with a = -0.5, the kernel of MATLAB and PIL: `(1, 3, H, W)` to `(3, H * scale, W * scale)`."""
    # antialias selects that kernel; it filters nothing when enlarging
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True)[0]


def _lanczos(lr: Tensor, scale: int) -> Tensor:
    height, width = lr.shape[-2] * scale, lr.shape[-1] * scale
    return resize(lr, height=height, width=width, kind="lanczos")[0]


def _score(sr: Tensor, hr: Tensor, scale: int) -> float:
    return min(psnr_y(_eight_bit(sr), hr, border=scale), _HIGHEST)


def _eight_bit(image: Tensor) -> Tensor:
    return image.float().clamp(0, 1).mul(255).round().div(255)


def upscaled(network: nn.Module, trial: Trial, recipe: Recipe, device: torch.device) -> Tensor:
    """`(3, H * scale, W * scale)` on the host, float32, as the network makes it."""
    return _run(network, trial.lr, recipe, device)


def _run(network: nn.Module, lr: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    images = lr.to(device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(recipe, device):
        sr: Tensor = network(images)
    return sr[0].float().cpu()


def measure(
    network: nn.Module, trials: Sequence[Trial], recipe: Recipe, device: torch.device
) -> dict[str, float]:
    """Measure a network.

    Returns:
        By condition the mean gain over bicubic in dB of Y-PSNR, `gain` for the mean over what judges,
        `over_lanczos` for that over Lanczos' filter, and `flicker` where a clip's motion is known.
    """
    found: dict[str, list[float]] = {}
    over_lanczos, flickers = list[float](), list[float]()
    for trial in trials:
        sr = _run(network, trial.lr, recipe, device)
        score = _score(sr, trial.hr, recipe.scale)
        found.setdefault(trial.condition, []).append(score - trial.bicubic)
        over_lanczos.append(score - trial.lanczos)
        if trial.before is not None and trial.shift is not None:
            pair = torch.stack([_run(network, trial.before[0], recipe, device), sr])
            flickers.append(flicker(pair, torch.stack([trial.before[1], trial.hr]), trial.shift))
    gains = {name: _mean(values) for name, values in found.items()}
    judged = [gains[name] for name in recipe.judged_by if name in gains]  # of pairs there is only their own
    figures = {**gains, "gain": _mean(judged or list(gains.values())), "over_lanczos": _mean(over_lanczos)}
    return {**figures, "flicker": _mean(flickers)} if flickers else figures


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
