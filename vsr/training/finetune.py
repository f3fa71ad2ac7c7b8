"""Fine-tuning: a short training run on a user's own footage."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsr.errors import InputError, ModelError
from vsr.models.interpolate import interpolate
from vsr.models.load import LoadedModel, load_generator
from vsr.training.crf_estimate import Compression, estimate_compression
from vsr.training.data.datasets import VIDEO_SUFFIXES
from vsr.training.data.image_folder import is_visible_file
from vsr.training.degrade.degradation import CodecRange, Degradation
from vsr.training.generators import GeneratorSettings
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run.checkpoint import remove_checkpoints, save_weights
from vsr.training.run.evaluate import make_cases, measure, upscaled
from vsr.training.run.loop import Run, TrainProgress, datasets_for, stopped_early, train_on
from vsr.training.run.origin import origin_of
from vsr.training.run.records.page import ended, write_page
from vsr.training.run.records.samples import save_columns
from vsr.training.run.state import State, new_state
from vsr.training.start import facts_of_start

logger = logging.getLogger(__name__)

_SPREAD = 2
"""Clips are coded with CRFs from this much below the estimate to this much above. A wider range would teach
the network degradations that the footage does not have."""
_FALLBACK_CRF = 22.0
"""CRF to assume if the footage gives no estimate: between x264's default and that of typical discs."""

SHARES = (1.0, 0.75, 0.5, 0.25)
"""Weights of the interpolation between the original (0) and the tuned network (1) that are compared on the
held-out footage. A network between the two can have learnt the footage without forgetting other content:
Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneReport:
    """Result of fine-tuning, measured on held-out footage."""

    before: Mapping[str, float]
    """Metrics of the model before fine-tuning, see `evaluate.measure`."""
    after: Mapping[str, float]
    crf: float
    """Estimated compression of the footage, as a CRF of x264."""
    share: float
    """Weight of the tuned network in the interpolation, see `SHARES`."""
    picture: Path
    """PNG that shows the output before, the output after and the ground truth side by side."""

    @property
    def gain(self) -> float:
        """Increase of Y-PSNR in dB, averaged over the validation conditions."""
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

    The footage is the HR side. LR is made from it and coded about as strongly as the footage is, so that the
    network learns to remove the degradation of this footage.

    Args:
        footage: Video files, or folders of videos or images.
        model: Name or weight file of the model to start from.
        output: Weight file to write.
        minutes: Maximum training time.
        scale: HR side / LR side, needed if `model` names a family.
        recipe: Recipe of the run; None reads `pipelines/train/finetune.toml`.
            The model's network replaces its generator.
        device: Device to train on.
        on_step: Called after each step.
        stop: Called before each step; training stops if it returns True.

    Raises:
        ModelError: The result is not better on the held-out footage; `output` is not written.
        StoppedEarlyError: `stop` returned True; a checkpoint exists.
        VsrError: See `vsr.errors`.
    """
    loaded = load_generator(model, scale=scale, fold=False)
    crf = typical_crf(_compressions(footage))
    settings = recipe_for(recipe or read_recipe("finetune"), loaded, crf)
    known, held_out = datasets_for(settings, footage)
    cases = make_cases(held_out, settings)
    start = loaded.network.state_dict()
    state = new_state(settings, device=device, start=start)
    before = measure(state.average, cases, settings, state.device)
    logger.info("before: %s", ", ".join(f"{name} {value:+.3f}" for name, value in before.items()))
    state.best = before["gain"]  # only a better network is written
    run = Run(
        recipe=settings,
        output=output,
        cases=cases,
        head=_head(loaded, crf),
        minutes=minutes,
        on_step=on_step,
        stop=stop,
        origin=origin_of(footage, start, None),
    )
    train_on(run, state, known)
    outcome = finish(run, state, start, before, crf)
    remove_checkpoints(output)
    return outcome


def finish(
    run: Run, state: State, start: Mapping[str, Tensor], before: Mapping[str, float], crf: float
) -> FinetuneReport:
    """Write the best interpolation of the original and the tuned network, and an image that compares them.

    Raises:
        ModelError: No interpolation is better than the original.
        StoppedEarlyError: The run was asked to stop; its last checkpoint is kept.
    """
    tuned, share = dict(state.average.state_dict()), None
    if state.best is not None and state.best > before["gain"]:  # otherwise training has written no file
        tuned = dict(load_generator(run.output, fold=False).network.state_dict())
        share = _written_share(run.output, state)
    if share is None:
        share, after = _write_best(run, state, start, before, tuned)
    else:
        state.average.load_state_dict(tuned)
        after = measure(state.average, run.cases, run.recipe, state.device)
    picture = _comparison_image(run, state, start)
    gains = f"{before['gain']:+.2f} dB over bicubic before, {after['gain']:+.2f} dB after"
    status = ended(f"Finished with {share:g} of what was learnt: {gains}.")
    write_page(run.output, run.about(state.device), status, before=before)
    return FinetuneReport(before=before, after=after, crf=crf, share=share, picture=picture)


def _written_share(output: Path, state: State) -> float | None:
    """Return the weight of the interpolation that a run has written before it was killed; None if it had not
    come so far. Such a file must not be interpolated again."""
    with suppress(OSError, SafetensorError, ValueError), safe_open(output, framework="pt") as file:
        head = file.metadata() or {}
        if "learnt" in head and head.get("steps") == str(state.step):
            return float(head["learnt"])
    return None


def _write_best(
    run: Run,
    state: State,
    start: Mapping[str, Tensor],
    before: Mapping[str, float],
    tuned: Mapping[str, Tensor],
) -> tuple[float, dict[str, float]]:
    """Write the best interpolation; return the weight of the tuned network in it, and its metrics."""
    share, after = _best_share(run, state, start, tuned)
    if after["gain"] <= before["gain"]:
        run.output.unlink(missing_ok=True)
        remove_checkpoints(run.output)
        status = ended("No weights were written: the model did not improve.")
        write_page(run.output, run.about(state.device), status, before=before)
        raise ModelError(
            f"{run.output} was not written: the model did not improve on the held-out footage"
            f" ({before['gain']:+.2f} dB over bicubic before). Give more footage or a larger `minutes`"
        )
    state.average.load_state_dict(interpolate(start, tuned, share))
    words = {name: f"{value:+.3f}" for name, value in after.items()}
    save_weights(
        run.output, state, run.recipe, {**run.head, "learnt": f"{share:g}", "measured": json.dumps(words)}
    )
    return share, after


def _best_share(
    run: Run, state: State, start: Mapping[str, Tensor], tuned: Mapping[str, Tensor]
) -> tuple[float, dict[str, float]]:
    """Return the interpolation weight that is best on the held-out
    footage, and the metrics of that network."""
    found = {}
    for share in SHARES:
        if run.stop is not None and run.stop():
            raise stopped_early(run, state)
        state.average.load_state_dict(interpolate(start, tuned, share))
        found[share] = measure(state.average, run.cases, run.recipe, state.device)
        logger.info("with %g of what was learnt: gain %+.3f", share, found[share]["gain"])
    best = max(found, key=lambda share: found[share]["gain"])
    return best, found[best]


def _comparison_image(run: Run, state: State, start: Mapping[str, Tensor]) -> Path:
    """Save the output before, the output after and the ground truth for a few held-out images."""
    first = new_state(run.recipe, device=state.device, start=start)
    shown = [case for case in run.cases if case.condition == run.cases[-1].condition][:3]
    columns = [
        [upscaled(s.average, case, run.recipe, s.device) for s in (first, state)] + [case.hr]
        for case in shown
    ]
    path = run.output.with_suffix(".png")
    save_columns(columns, path)
    return path


def _compressions(footage: Sequence[Path]) -> list[Compression]:
    """Estimate each video; an unreadable file of a folder is left out
    here, and `open_datasets` reports it."""
    found = []
    for path in videos_in(footage):
        try:
            found.append(estimate_compression(path))
        except InputError:
            if path in footage:
                raise
    return found


def videos_in(paths: Sequence[Path]) -> list[Path]:
    """Return the videos among the paths and in the folders among them, sorted by name in each folder."""
    inside = [[path] if path.is_file() else sorted(path.iterdir()) for path in paths if path.exists()]
    files = [path for some in inside for path in some if path in paths or is_visible_file(path)]
    return [path for path in files if path in paths or path.suffix.lower() in VIDEO_SUFFIXES]


def typical_crf(found: Sequence[Compression]) -> float:
    """Return the median of the known CRFs, or `_FALLBACK_CRF` if there is none."""
    known = sorted(c.crf for c in found if c.crf is not None)
    return known[len(known) // 2] if known else _FALLBACK_CRF


def recipe_for(recipe: Recipe, loaded: LoadedModel, crf: float) -> Recipe:
    """Return the recipe with a loaded model's network and with LR coded about as strongly as `crf`.

    Raises:
        ModelError: The model cannot be trained.
    """
    family = loaded.family.lower()
    try:
        generator = GeneratorSettings(**{family: loaded.config})
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{loaded.name}: a {loaded.family} model has no weights to train. Choose a neural network"
        ) from error
    return replace(recipe, generator=generator, degrade=coded_like(recipe.degrade, crf))


def coded_like(degrade: Degradation, crf: float) -> Degradation:
    """Return the degradation with the CRF range of its codecs centred on `crf`."""
    middle = min(max(round(crf), 8 + _SPREAD), 45 - _SPREAD)
    codecs = tuple(_around(codec, middle - _SPREAD, middle + _SPREAD) for codec in degrade.codecs)
    return replace(degrade, codecs=codecs)


def _around(codec: CodecRange, low: int, high: int) -> CodecRange:
    """Return the codec with a new CRF range. Only x264 and x265 share
    this scale (to about 2); others stay."""
    return replace(codec, quality=(low, high)) if codec.encoder in ("libx264", "libx265") else codec


def _head(loaded: LoadedModel, crf: float) -> dict[str, str]:
    return {**facts_of_start(loaded), "footage_crf": f"{crf:.1f}"}
