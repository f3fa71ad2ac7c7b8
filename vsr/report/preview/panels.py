"""The panels of a preview: the bicubic filter, and each model at each strength."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vsr.errors import ConfigError
from vsr.models.catalog import MODELS, resolve
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.report import Report
from vsr.pipeline.queue.names import own_scale
from vsr.settings.schema import UpscaleSettings

BASELINE = "bicubic"
"""What every preview shows first."""
MOST = 24
"""Panels of a picture."""
_STEPS = re.compile(r"([\d.]+):([\d.]+):([\d.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model at a strength."""

    model: str
    strength: float | None = None
    """None takes the model as it is."""


def strengths_in(text: str) -> tuple[float, ...]:
    """Return the strengths of a text: `0.5`, `0,0.5,1`, or from, to and step as in `0:1:0.25`.

    Raises:
        ConfigError: it is something else, or a strength is not from 0 to 1.
    """
    steps = _STEPS.fullmatch(text.strip())
    try:
        found = (
            _stepped(*map(Fraction, steps.groups())) if steps else [Fraction(one) for one in text.split(",")]
        )
    except (ValueError, ZeroDivisionError):
        found = []
    if not found or not all(0 <= one <= 1 for one in found):
        raise ConfigError(
            f"`strengths` {text!r} are no numbers from 0 to 1; use for example 0.5, or 0,0.5,1, or 0:1:0.25, "
            "which is from, to and step"
        )
    return tuple(float(one) for one in found)


def _stepped(first: Fraction, last: Fraction, step: Fraction) -> list[Fraction]:
    count = (last - first) / step
    return [first + number * step for number in range(min(int(count), MOST) + 1)] if count >= 0 else []


def variants_of(
    models: Sequence[str], strengths: Sequence[float], settings: UpscaleSettings
) -> list[Variant]:
    """Return the panels: the baseline, and each model at each strength; once where it has no partner.

    Args:
        models: Names or weight files.
        strengths: None or more; without one, that of the settings counts.
        settings: Of the run; the scale decides which model of a family is meant.
    """
    found = [Variant(model=BASELINE)]
    for model in models:
        pair = settings.partner is not None or _has_partner(model, settings.scale)
        if strengths and pair:
            found += [Variant(model=model, strength=strength) for strength in strengths]
        else:
            found.append(Variant(model=model, strength=settings.strength if pair else None))
    return list(dict.fromkeys(found))


def _has_partner(model: str, scale: Fraction | None) -> bool:
    entry = resolve(model, scale).entry
    return entry is not None and entry.partner is not None


def of_one_size(settings: UpscaleSettings, models: Sequence[str]) -> UpscaleSettings:
    """Return settings that give the results of all models one size: the largest scale among them, if neither
    scale nor size is set.
    """
    if settings.scale is not None or settings.height is not None:
        return settings
    return replace(settings, scale=Fraction(max(own_scale(model) for model in models)))


def settings_for(variant: Variant, chosen: ChosenSettings) -> ChosenSettings:
    """Return the settings of a run that makes a panel."""
    is_filter = variant.model in MODELS and MODELS[variant.model].family == "resample"
    partner = None if is_filter else chosen.settings.partner
    settings = replace(
        chosen.settings, model=variant.model, strength=variant.strength, partner=partner, start=None, end=None
    )
    return replace(chosen, settings=settings)


def labels_of(reports: Sequence[Report]) -> list[str]:
    """Return the names of panels; weight files of one name get their folders."""
    names = [str(report.model["name"]) for report in reports]
    paths = [Path(str(report.model["path"] or name)) for report, name in zip(reports, names, strict=True)]
    labels = []
    for report, name, path in zip(reports, names, paths, strict=True):
        same = {other for one, other in zip(names, paths, strict=True) if one == name}
        strength = report.model["strength"]
        label = f"{path.parent.name}/{path.name}" if len(same) > 1 else name
        labels.append(label if strength is None else f"{label}, strength {float(strength):g}")
    return labels
