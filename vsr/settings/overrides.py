"""Replaces single settings of a preset by the values of flags or keywords."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.color.spec import ColorSpec
from vsr.errors import ConfigError
from vsr.settings.field import settings_of
from vsr.settings.schema import EncoderSettings, UpscaleSettings
from vsr.settings.toml import from_table

_ENCODER = frozenset(settings_of(EncoderSettings))
KEYWORDS = _ENCODER | frozenset(settings_of(UpscaleSettings))
"""The names of all settings: the fields of `UpscaleSettings` and those of its `EncoderSettings`."""

EncoderChange = Callable[[EncoderSettings, str], EncoderSettings]
"""Converts the settings for one encoder to those for the encoder of the given name."""


def _nothing_kept(_: EncoderSettings, encoder: str) -> EncoderSettings:
    return EncoderSettings(encoder=encoder)


def with_overrides(
    settings: UpscaleSettings,
    overrides: Mapping[str, Any],
    *,
    where: str,
    encoder_change: EncoderChange = _nothing_kept,
) -> UpscaleSettings:
    """Return the settings with some of them replaced.

    A size also removes the scale, and a scale removes the size. Another model also removes the strength and
    the partner; another encoder removes what `encoder_change` removes. Encoder options and colour tags are
    added to the existing ones.

    Args:
        settings: The settings to start from.
        overrides: Values by keyword as in `Overrides`; None does not change a setting.
        where: The beginning of error messages.
        encoder_change: Converts the settings for one encoder to those for another one.

    Raises:
        ConfigError: a keyword is unknown, or a value has the wrong type; the message names it.
    """
    unknown = [word for word in overrides if word not in KEYWORDS]
    if unknown:
        raise ConfigError(f"{where}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(KEYWORDS))}")
    given = {word: _plain(value) for word, value in overrides.items() if value is not None}
    ours = {word: value for word, value in given.items() if word not in _ENCODER}
    of_encoder = {word: value for word, value in given.items() if word in _ENCODER}
    checked = from_table(ours | {"encoder": of_encoder}, UpscaleSettings, where=where)
    changed = {word: getattr(checked, word) for word in ours}
    if "color" in ours:
        changed["color"] = checked.color.over(settings.color)
    if "model" in ours:
        changed = {"strength": None, "partner": None} | changed
    if "scale" in ours:
        changed = {"width": None, "height": None} | changed
    if "height" in ours:
        changed = {"scale": None, "width": None} | changed
    before = settings.encoder
    if checked.encoder.encoder not in (None, before.encoder):
        before = encoder_change(before, str(checked.encoder.encoder))
    return replace(settings, **changed, encoder=_encoder(before, checked.encoder, of_encoder))


def _encoder(before: EncoderSettings, checked: EncoderSettings, given: Mapping[str, Any]) -> EncoderSettings:
    changed = {word: getattr(checked, word) for word in given}
    if "options" in given:
        changed["options"] = tuple({**dict(before.options), **dict(checked.options)}.items())
    return replace(before, **changed)


def _plain(value: Any) -> Any:
    """Return a value in the form that it has in a TOML file."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, ColorSpec):
        return asdict(value)
    return str(value) if isinstance(value, Fraction | Path) else value
