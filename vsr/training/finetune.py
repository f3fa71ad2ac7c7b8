"""A short training run on a user's own footage."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vsr.errors import InputError, ModelError
from vsr.models.interpolate import interpolate
from vsr.models.load import LoadedModel, load_generator
from vsr.training.crf_estimate import Compression, estimate_compression
from vsr.training.data.datasets import VIDEO_SUFFIXES
from vsr.training.data.image_folder import is_material
from vsr.training.degrade.degradation import CodecRange, Degradation
from vsr.training.generators import GeneratorSettings
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run.checkpoint import forget, save_weights
from vsr.training.run.evaluate import make_trials, measure, upscaled
from vsr.training.run.loop import Run, TrainProgress, material_for, stopped_early, train_on
from vsr.training.run.origin import origin_of
from vsr.training.run.samples import save_columns
from vsr.training.run.state import State, new_state

logger = logging.getLogger(__name__)

_SPREAD = 2
"""CRF below and above the estimate that clips are coded with: wider, and it learns what is not there."""
_FALLBACK_CRF = 22.0
"""Where the footage says nothing about its own compression: between x264's default and what discs have."""

SHARES = (1.0, 0.75, 0.5, 0.25)
"""Shares of what was learnt that are tried on the footage held out. Between a network and what it was tuned
to lie some that have learnt and not forgotten: Wortsman et al., "Robust fine-tuning", arXiv 2109.01903."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneReport:
    """What fine-tuning did, on footage that was held out."""

    before: Mapping[str, float]
    """Figures of the model that was started from, see `evaluate.measure`."""
    after: Mapping[str, float]
    crf: float
    """How compressed the footage is, as an x264 CRF."""
    share: float
    """Of what was learnt, that is in the result; see `SHARES`."""
    picture: Path
    """Before, after and the truth, side by side."""

    @property
    def gain(self) -> float:
        """dB of Y-PSNR, the mean over the conditions."""
        return self.after["gain"] - self.before["gain"]


def finetune(
    footage: Sequence[Path],
    *,
    model: str | Path,
    output: Path,
    minutes: float = 20,
    scale: int | None = None,
    recipe: Recipe | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[TrainProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> FinetuneReport:
    """Adapt a generator to footage.

    The footage itself is the HR side; LR is made from it and coded about as strongly as the footage is, so
    that the result undoes what this material suffers from.

    Args:
        footage: Video files, or folders of videos or pictures.
        model: Name or weight file to start from.
        output: Weight file to write.
        minutes: Longest time to train.
        scale: HR side over LR side, where `model` names a family.
        recipe: Of the run; None is `pipelines/train/finetune.toml`. Its generator is the model's.
        device: Where to train.
        on_step: Called after each step.
        stop: Asked before each step.

    Raises:
        ModelError: the result is not better on what was held out; `output` is not written.
        StoppedEarlyError: `stop` said so; there is a checkpoint.
        VsrError: see `vsr.errors`.
    """
    loaded = load_generator(model, scale=scale, fold=False)
    crf = typical_crf(_compressions(footage))
    settings = recipe_for(recipe or read_recipe("finetune"), loaded, crf)
    known, held_out = material_for(settings, footage)
    trials = make_trials(held_out, settings)
    start = loaded.network.state_dict()
    state = new_state(settings, device=device, start=start)
    before = measure(state.average, trials, settings, state.device)
    logger.info("before: %s", ", ".join(f"{name} {value:+.3f}" for name, value in before.items()))
    state.best = before["gain"]  # nothing is written that is not better
    run = Run(
        recipe=settings,
        output=output,
        trials=trials,
        head=_head(loaded, crf),
        minutes=minutes,
        on_step=on_step,
        stop=stop,
        origin=origin_of(footage, start, None),
    )
    train_on(run, state, known)
    outcome = finish(run, state, start, before, crf)
    forget(output)
    return outcome


def finish(
    run: Run, state: State, start: Mapping[str, Tensor], before: Mapping[str, float], crf: float
) -> FinetuneReport:
    """Write the best mixture of what was there and what was learnt, and show it.

    Raises:
        ModelError: none of them is better than what was there.
        StoppedEarlyError: the run was asked to stop; its last checkpoint is still there.
    """
    tuned = dict(state.average.state_dict())
    if state.best is not None and state.best > before["gain"]:  # else training wrote nothing
        tuned = dict(load_generator(run.output, fold=False).network.state_dict())
    share, after = _best_share(run, state, start, tuned)
    if after["gain"] <= before["gain"]:
        run.output.unlink(missing_ok=True)
        forget(run.output)
        raise ModelError(
            f"{run.output}: not written, the model did not become better on the footage held out"
            f" ({before['gain']:+.2f} dB over bicubic before); give more footage or more `minutes`"
        )
    state.average.load_state_dict(interpolate(start, tuned, share))
    words = {name: f"{value:+.3f}" for name, value in after.items()}
    save_weights(
        run.output, state, run.recipe, {**run.head, "learnt": f"{share:g}", "measured": json.dumps(words)}
    )
    picture = _picture(run, state, start)
    return FinetuneReport(before=before, after=after, crf=crf, share=share, picture=picture)


def _best_share(
    run: Run, state: State, start: Mapping[str, Tensor], tuned: Mapping[str, Tensor]
) -> tuple[float, dict[str, float]]:
    """The share of what was learnt that is best on the footage held out, and its figures."""
    found = {}
    for share in SHARES:
        if run.stop is not None and run.stop():
            raise stopped_early(run, state)
        state.average.load_state_dict(interpolate(start, tuned, share))
        found[share] = measure(state.average, run.trials, run.recipe, state.device)
        logger.info("with %g of what was learnt: gain %+.3f", share, found[share]["gain"])
    best = max(found, key=lambda share: found[share]["gain"])
    return best, found[best]


def _picture(run: Run, state: State, start: Mapping[str, Tensor]) -> Path:
    """Draw before, after and the truth for a few pictures that were held out."""
    first = new_state(run.recipe, device=state.device, start=start)
    shown = [trial for trial in run.trials if trial.condition == run.trials[-1].condition][:3]
    columns = [
        [upscaled(s.average, trial, run.recipe, s.device) for s in (first, state)] + [trial.hr]
        for trial in shown
    ]
    path = run.output.with_suffix(".png")
    save_columns(columns, path)
    return path


def _compressions(footage: Sequence[Path]) -> list[Compression]:
    """Of each video; one of a folder that cannot be opened is left out and named by `open_material`."""
    found = []
    for path in videos_in(footage):
        try:
            found.append(estimate_compression(path))
        except InputError:
            if path in footage:
                raise
    return found


def videos_in(paths: Sequence[Path]) -> list[Path]:
    """The videos among the paths and in the folders among them, by name."""
    inside = [[path] if path.is_file() else sorted(path.iterdir()) for path in paths if path.exists()]
    files = [path for some in inside for path in some if path in paths or is_material(path)]
    return [path for path in files if path in paths or path.suffix.lower() in VIDEO_SUFFIXES]


def typical_crf(found: Sequence[Compression]) -> float:
    """The median CRF of the files that have one."""
    known = sorted(c.crf for c in found if c.crf is not None)
    return known[len(known) // 2] if known else _FALLBACK_CRF


def recipe_for(recipe: Recipe, loaded: LoadedModel, crf: float) -> Recipe:
    """A recipe with a loaded model's network, and LR coded about as strongly as `crf`.

    Raises:
        ModelError: the model cannot be trained.
    """
    family = loaded.family.lower()
    try:
        generator = GeneratorSettings(**{family: loaded.config})
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{loaded.name}: a {loaded.family} has no weights to train; use a network"
        ) from error
    return replace(recipe, generator=generator, degrade=coded_like(recipe.degrade, crf))


def coded_like(degrade: Degradation, crf: float) -> Degradation:
    """The same degradation with every CRF range around `crf`."""
    middle = min(max(round(crf), 8 + _SPREAD), 45 - _SPREAD)
    codecs = tuple(_around(codec, middle - _SPREAD, middle + _SPREAD) for codec in degrade.codecs)
    return replace(degrade, codecs=codecs)


def _around(codec: CodecRange, low: int, high: int) -> CodecRange:
    """x264's CRF and x265's are of one scale (to about 2); other encoders keep the recipe's."""
    return replace(codec, quality=(low, high)) if codec.encoder in ("libx264", "libx265") else codec


def _head(loaded: LoadedModel, crf: float) -> dict[str, str]:
    return {"started_from": f"{loaded.name} {loaded.sha256 or ''}".strip(), "footage_crf": f"{crf:.1f}"}
