"""Validation: the gain over classical filters on held-out clips.

It measures luma, chroma, the grid of a pixel shuffle, flicker, and the perceptual loss if the recipe has one,
separately for each kind of content.
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
from vsr.training.data.datasets import Dataset, Sample
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
"""For each condition in the log, the coding of the LR clip."""
OWN = "own"
"""Name of the condition with LR made by the recipe's own degradation, or taken from a pair's LR file."""
SAMPLES = 12
"""Number of validation clips."""
MIN_PER_KIND = 2
"""Smallest number of clips of each kind of content, beyond `SAMPLES` if necessary."""
MAX_DRAWS = 200
"""Largest number of draws to find them."""
PERCEPTUAL_FRAMES = 6
"""Number of frames for the perceptual loss, which takes ten times as long as all other measurements."""
MAX_FRAMES = 4
"""Largest number of frames of a clip that are coded."""
_HIGHEST = 60.0
"""Upper limit of PSNR in dB: rounding to 8 bits alone gives 10 lg(12 * 255^2) = 58.9. A constant image can
have an infinite PSNR, and the difference of two infinite values is undefined."""


class Scores(NamedTuple):
    """PSNR in dB, at most `_HIGHEST`."""

    luma: float
    rgb: float
    chroma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationCase:
    """A frame to upscale, the frame before it, and the references for both."""

    condition: str
    lr: Tensor
    """`(1, 3, H, W)` float32."""
    hr: Tensor
    """`(3, H * scale, W * scale)` float32, [0, 1]."""
    bicubic: Scores
    """Scores of bicubic interpolation."""
    lanczos: float
    """Y-PSNR of Lanczos interpolation."""
    kind: str = ""
    """Kind of content, see `Sample.kind`."""
    before: tuple[Tensor, Tensor] | None
    """LR and HR of the frame before; None if the clip has only one frame."""
    shift: tuple[int, int] | None
    """HR pixels that the window moved between the two frames; None if the motion is unknown."""


def make_cases(held_out: Dataset, recipe: Recipe) -> list[ValidationCase]:
    """Draw held-out clips, and make each under every condition; the clips are always the same."""
    return [case for i, sample in enumerate(_samples(held_out)) for case in _cases_of(sample, recipe, i)]


def _samples(held_out: Dataset) -> list[Sample]:
    """Draw `SAMPLES` clips in proportion, and more until there are
    `MIN_PER_KIND` of each kind that occurs."""
    samples = [held_out.draw(random.Random(f"held out/{i}")) for i in range(SAMPLES)]
    found = Counter(sample.kind for sample in samples)
    for i in range(SAMPLES, MAX_DRAWS if len(held_out.kinds) > 1 else 0):
        if all(found[kind] >= MIN_PER_KIND for kind in held_out.kinds):
            break
        sample = held_out.draw(random.Random(f"held out/{i}"))
        if found[sample.kind] < MIN_PER_KIND:
            found[sample.kind] += 1
            samples.append(sample)
    return samples


def _cases_of(sample: Sample, recipe: Recipe, i: int) -> list[ValidationCase]:
    hr = sample.hr[:MAX_FRAMES]
    if sample.lr is not None:
        return [_make_case(OWN, sample.lr[:MAX_FRAMES] / 255, hr, sample, recipe.scale)]
    lr = reduce(hr, recipe.scale)
    seen = {name: transcode(lr, coding) if coding else lr / 255 for name, coding in CONDITIONS.items()}
    cases = [_make_case(name, images, hr, sample, recipe.scale) for name, images in seen.items()]
    if OWN in recipe.judged_by or recipe.degrade.orders or recipe.degrade.final != Final():
        rng = random.Random(f"own/{i}")
        clip = degrade_clip(hr, recipe.degrade, scale=recipe.scale, kept=len(hr), rng=rng, shift=sample.shift)
        cases.append(_make_case(OWN, clip.lr.float(), clip.plain, sample, recipe.scale))  # in its colours
    return cases


def _make_case(condition: str, lr: Tensor, hr: Tensor, sample: Sample, scale: int) -> ValidationCase:
    last, target = lr[-1:], hr[-1] / 255
    return ValidationCase(
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
    """Bicubic interpolation with a = -0.5, as MATLAB and PIL: `(1, 3,
    H, W)` to `(3, H * scale, W * scale)`."""
    # antialias selects a = -0.5; it has no other effect when upscaling
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True)[0]


def _lanczos(lr: Tensor, scale: int) -> Tensor:
    height, width = lr.shape[-2] * scale, lr.shape[-1] * scale
    return resize(lr, height=height, width=width, kind="lanczos")[0]


def _scores(sr: Tensor, hr: Tensor, scale: int) -> Scores:
    sr = _eight_bit(sr)
    return Scores(*(min(of(sr, hr, border=scale), _HIGHEST) for of in (psnr_y, psnr, psnr_chroma)))


def _eight_bit(image: Tensor) -> Tensor:
    return image.float().clamp(0, 1).mul(255).round().div(255)


def upscaled(network: nn.Module, case: ValidationCase, recipe: Recipe, device: torch.device) -> Tensor:
    """Return the output of a network, `(3, H * scale, W * scale)` float32, on the CPU."""
    return _run(network, case.lr, recipe, device)


def _run(network: nn.Module, lr: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    images = lr.to(device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(recipe, device):
        sr: Tensor = network(images)
    return sr[0].float().cpu()


def measure(
    network: nn.Module,
    cases: Sequence[ValidationCase],
    recipe: Recipe,
    device: torch.device,
    features: nn.Module | None = None,
) -> dict[str, float]:
    """Measure a network.

    Args:
        network: A generator in any mode.
        cases: Validation cases from `make_cases`.
        recipe: Recipe of the run.
        device: The network's device.
        features: A perceptual loss to evaluate as well.

    Returns:
        For each condition, the mean gain over bicubic in dB of Y-PSNR. `gain` is the mean over the conditions
        of `judged_by`, and `gain_KIND` that of each kind of content if there are several. `over_lanczos` is
        the gain over Lanczos, `gain_rgb` that of RGB-PSNR, `gain_chroma` that of Cb and Cr,
        `gain_chroma_clean` the same for uncoded LR. `grid_excess` is in dB, see `metrics.grid`. `flicker`
        requires clips with known motion. `features` is the perceptual loss relative to that of bicubic.
    """
    results = [_result(network, case, recipe, device) for case in cases]
    judging = [r for r in results if r.case.condition in recipe.judged_by] or results
    figures = {
        name: _mean([r.gain.luma for r in results if r.case.condition == name])
        for name in dict.fromkeys(case.condition for case in cases)
    }
    figures["gain"] = _mean_of_conditions(judging)
    figures["over_lanczos"] = _mean([r.scores.luma - r.case.lanczos for r in results])
    figures["gain_rgb"] = _mean([r.gain.rgb for r in judging])
    figures["gain_chroma"] = _mean([r.gain.chroma for r in judging])
    figures |= _mean_if_any(
        "gain_chroma_clean", [r.gain.chroma for r in results if r.case.condition == "clean"]
    )
    figures |= _of_kinds(judging) | _grid(results, recipe.scale)
    figures |= _mean_if_any("flicker", [r.flicker for r in results if r.flicker is not None])
    return figures | (_features(results, recipe, device, features) if features is not None else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    case: ValidationCase
    sr: Tensor
    scores: Scores
    flicker: float | None

    @property
    def gain(self) -> Scores:
        """Gain over bicubic in dB."""
        return Scores(*(a - b for a, b in zip(self.scores, self.case.bicubic, strict=True)))


def _result(network: nn.Module, case: ValidationCase, recipe: Recipe, device: torch.device) -> _Result:
    sr, measured = _run(network, case.lr, recipe, device), None
    if case.before is not None and case.shift is not None:
        pair = torch.stack([_run(network, case.before[0], recipe, device), sr])
        measured = flicker(pair, torch.stack([case.before[1], case.hr]), case.shift)
    return _Result(case=case, sr=sr, scores=_scores(sr, case.hr, recipe.scale), flicker=measured)


def _mean_of_conditions(results: Sequence[_Result]) -> float:
    """Return the mean over the conditions, each with the same weight for any number of clips."""
    names = dict.fromkeys(r.case.condition for r in results)
    return _mean([_mean([r.gain.luma for r in results if r.case.condition == name]) for name in names])


def _of_kinds(results: Sequence[_Result]) -> dict[str, float]:
    kinds = sorted({r.case.kind for r in results})
    if len(kinds) < 2:
        return {}
    return {
        f"gain_{kind or 'other'}": _mean([r.gain.luma for r in results if r.case.kind == kind])
        for kind in kinds
    }


def _grid(results: Sequence[_Result], scale: int) -> dict[str, float]:
    """Measure the grid under the condition that `samples` shows, moderately coded."""
    shown = shown_condition([r.case for r in results])
    chosen = [r for r in results if r.case.condition == shown]
    if scale < 2:
        return {}
    found = grid([_eight_bit(r.sr) for r in chosen], [r.case.hr for r in chosen], scale=scale)
    return {} if found is None else {"grid_excess": found}


def shown_condition(cases: Sequence[ValidationCase]) -> str:
    """Return the condition to show to people: moderately coded if it is measured."""
    conditions = [case.condition for case in cases]
    return "crf23" if "crf23" in conditions else conditions[-1]


def _features(
    results: Sequence[_Result], recipe: Recipe, device: torch.device, features: nn.Module
) -> dict[str, float]:
    shown = shown_condition([r.case for r in results])
    chosen = [r for r in results if r.case.condition == shown][:PERCEPTUAL_FRAMES]
    sums = [0.0, 0.0]
    for r in chosen:
        for i, image in enumerate((r.sr, enlarge(r.case.lr, recipe.scale))):
            with torch.inference_mode(), autocast(recipe, device):
                pair = (x[None].to(device) for x in (_eight_bit(image), r.case.hr))
                sums[i] += float(features(*pair))
    return {"features": sums[0] / sums[1]} if sums[1] else {}


def _mean_if_any(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: _mean(values)} if values else {}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
