"""Validation: gain over the classical filters on held-out clips.

Measured are luma and colour, what repeats with the places of a pixel shuffle, flicker, and features where a
recipe compares them; each kind of material apart.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.color.spec import Matrix
from vsr.metrics import flicker, grid, psnr, psnr_chroma, psnr_y
from vsr.models.archs.resample import resize
from vsr.training.data.datasets import Material, Sample
from vsr.training.degrade.clips import degrade_clip, reduce
from vsr.training.degrade.codec import Coding, transcode
from vsr.training.degrade.degradation import Final
from vsr.training.recipe import Recipe
from vsr.training.run.steps import autocast

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
OF_A_KIND = 2
"""Clips of each kind of material at least, beyond `SAMPLES` where need be."""
TRIED = 200
"""Draws at most to find them."""
JUDGED = 6
"""Pictures whose features are compared: that takes ten times as long as the rest."""
MOST = 4
"""Pictures of a clip that are coded for it."""
_HIGHEST = 60.0
"""dB that count: rounding to 8 bits alone gives 10 lg(12 * 255^2) = 58.9. A flat picture has infinitely many,
and the difference of two such is no figure."""


class Scores(NamedTuple):
    """PSNR in dB, at most `_HIGHEST`."""

    luma: float
    rgb: float
    chroma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A picture to upscale, the one before it, and what they are compared with."""

    condition: str
    lr: Tensor
    """`(1, 3, H, W)` float32."""
    hr: Tensor
    """`(3, H * scale, W * scale)` float32, [0, 1]."""
    bicubic: Scores
    """Of the bicubic enlargement."""
    lanczos: float
    """Y-PSNR of that by Lanczos' filter."""
    kind: str = ""
    """Of material, see `Sample.kind`."""
    before: tuple[Tensor, Tensor] | None
    """LR and HR of the picture before; None where the clip has one picture."""
    shift: tuple[int, int] | None
    """HR pixels by which the window moved since; None where the motion is unknown."""


def make_trials(held_out: Material, recipe: Recipe) -> list[Trial]:
    """Draw clips from the material held out, and make each under every condition; always the same ones."""
    return [trial for i, sample in enumerate(_samples(held_out)) for trial in _trials(sample, recipe, i)]


def _samples(held_out: Material) -> list[Sample]:
    """`SAMPLES` clips in proportion, and more until there are `OF_A_KIND` of each kind that turns up."""
    samples = [held_out.draw(random.Random(f"held out/{i}")) for i in range(SAMPLES)]
    found = Counter(sample.kind for sample in samples)
    for i in range(SAMPLES, TRIED if len(held_out.kinds) > 1 else 0):
        if all(found[kind] >= OF_A_KIND for kind in held_out.kinds):
            break
        sample = held_out.draw(random.Random(f"held out/{i}"))
        if found[sample.kind] < OF_A_KIND:
            found[sample.kind] += 1
            samples.append(sample)
    return samples


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
        bicubic=_scores(enlarge(last, scale), target, scale),
        lanczos=_scores(_lanczos(last, scale), target, scale).luma,
        kind=sample.kind,
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


def _scores(sr: Tensor, hr: Tensor, scale: int) -> Scores:
    sr = _eight_bit(sr)
    return Scores(*(min(of(sr, hr, border=scale), _HIGHEST) for of in (psnr_y, psnr, psnr_chroma)))


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
    network: nn.Module,
    trials: Sequence[Trial],
    recipe: Recipe,
    device: torch.device,
    features: nn.Module | None = None,
) -> dict[str, float]:
    """Measure a network.

    Args:
        network: In any mode.
        trials: See `make_trials`.
        recipe: Of the run.
        device: The network's.
        features: A perceptual loss, to compare features, too.

    Returns:
        By condition the mean gain over bicubic in dB of Y-PSNR; `gain` for the mean over what judges, and
        `gain_KIND` for each kind of material where there are several; `over_lanczos` for that over Lanczos'
        filter; `gain_rgb` of RGB-PSNR; `gain_chroma` and `gain_chroma_clean` of Cb and Cr, the latter of LR
        that was not coded; `grid_excess` in dB, see `metrics.grid`; `flicker` where a clip's motion is known;
        `features` for the perceptual loss over bicubic's.
    """
    results = [_result(network, trial, recipe, device) for trial in trials]
    judging = [r for r in results if r.trial.condition in recipe.judged_by] or results
    figures = {
        name: _mean([r.gain.luma for r in results if r.trial.condition == name])
        for name in dict.fromkeys(trial.condition for trial in trials)
    }
    figures["gain"] = _mean_of_conditions(judging)
    figures["over_lanczos"] = _mean([r.scores.luma - r.trial.lanczos for r in results])
    figures["gain_rgb"] = _mean([r.gain.rgb for r in judging])
    figures["gain_chroma"] = _mean([r.gain.chroma for r in judging])
    figures |= _where_there_are(
        "gain_chroma_clean", [r.gain.chroma for r in results if r.trial.condition == "clean"]
    )
    figures |= _of_kinds(judging) | _grid(results, recipe.scale)
    figures |= _where_there_are("flicker", [r.flicker for r in results if r.flicker is not None])
    return figures | (_features(results, recipe, device, features) if features is not None else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    trial: Trial
    sr: Tensor
    scores: Scores
    flicker: float | None

    @property
    def gain(self) -> Scores:
        """Over bicubic."""
        return Scores(*(a - b for a, b in zip(self.scores, self.trial.bicubic, strict=True)))


def _result(network: nn.Module, trial: Trial, recipe: Recipe, device: torch.device) -> _Result:
    sr, restless = _run(network, trial.lr, recipe, device), None
    if trial.before is not None and trial.shift is not None:
        pair = torch.stack([_run(network, trial.before[0], recipe, device), sr])
        restless = flicker(pair, torch.stack([trial.before[1], trial.hr]), trial.shift)
    return _Result(trial=trial, sr=sr, scores=_scores(sr, trial.hr, recipe.scale), flicker=restless)


def _mean_of_conditions(results: Sequence[_Result]) -> float:
    """Each condition counts the same, however many clips it has."""
    names = dict.fromkeys(r.trial.condition for r in results)
    return _mean([_mean([r.gain.luma for r in results if r.trial.condition == name]) for name in names])


def _of_kinds(results: Sequence[_Result]) -> dict[str, float]:
    kinds = sorted({r.trial.kind for r in results})
    if len(kinds) < 2:
        return {}
    return {
        f"gain_{kind or 'other'}": _mean([r.gain.luma for r in results if r.trial.kind == kind])
        for kind in kinds
    }


def _grid(results: Sequence[_Result], scale: int) -> dict[str, float]:
    """Of what is seen most: moderately coded, as `samples` are."""
    shown = shown_condition([r.trial for r in results])
    chosen = [r for r in results if r.trial.condition == shown]
    if scale < 2:
        return {}
    found = grid([_eight_bit(r.sr) for r in chosen], [r.trial.hr for r in chosen], scale=scale)
    return {} if found is None else {"grid_excess": found}


def shown_condition(trials: Sequence[Trial]) -> str:
    """The condition that tells most to an eye: moderately coded, where it is measured."""
    conditions = [trial.condition for trial in trials]
    return "crf23" if "crf23" in conditions else conditions[-1]


def _features(
    results: Sequence[_Result], recipe: Recipe, device: torch.device, features: nn.Module
) -> dict[str, float]:
    shown = shown_condition([r.trial for r in results])
    chosen = [r for r in results if r.trial.condition == shown][:JUDGED]
    sums = [0.0, 0.0]
    for r in chosen:
        for i, image in enumerate((r.sr, enlarge(r.trial.lr, recipe.scale))):
            with torch.inference_mode(), autocast(recipe, device):
                pair = (x[None].to(device) for x in (_eight_bit(image), r.trial.hr))
                sums[i] += float(features(*pair))
    return {"features": sums[0] / sums[1]} if sums[1] else {}


def _where_there_are(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: _mean(values)} if values else {}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
