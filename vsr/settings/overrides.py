"""Replaces single settings of a preset by the values of flags or keywords."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.color.spec import ColorSpec
from vsr.errors import ConfigError
from vsr.settings.field import settings_of, types_of
from vsr.settings.schema import EncoderSettings, UpscaleSettings
from vsr.settings.toml import typed

_ENCODER = frozenset(settings_of(EncoderSettings))
KEYWORDS = _ENCODER | frozenset(settings_of(UpscaleSettings))
"""The names of all settings: the fields of `UpscaleSettings` and those of its `EncoderSettings`."""
_TYPES = types_of(UpscaleSettings) | types_of(EncoderSettings)

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
        where: The beginning of the message about an unknown keyword.
        encoder_change: Converts the settings for one encoder to those for another one.

    Raises:
        ConfigError: a keyword is unknown, or a value has the wrong type or is out of range; the message names
            the keyword.
    """
    unknown = [word for word in overrides if word not in KEYWORDS]
    if unknown:
        raise ConfigError(f"{where}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(KEYWORDS))}")
    given = {
        word: typed(_plain(value), _TYPES[word], where=f"`{word}`")
        for word, value in overrides.items()
        if value is not None
    }
    changed = {word: value for word, value in given.items() if word not in _ENCODER}
    of_encoder = {word: value for word, value in given.items() if word in _ENCODER}
    if "color" in given:
        changed["color"] = given["color"].over(settings.color)
    if "model" in given:
        changed = {"strength": None, "partner": None} | changed
    if "scale" in given:
        changed = {"width": None, "height": None} | changed
    if "height" in given:
        changed = {"scale": None, "width": None} | changed
    before = settings.encoder
    if given.get("encoder", before.encoder) != before.encoder:
        before = encoder_change(before, given["encoder"])
    return replace(settings, **changed, encoder=_encoder(before, of_encoder))


def _encoder(before: EncoderSettings, given: Mapping[str, Any]) -> EncoderSettings:
    if "options" not in given:
        return replace(before, **given)
    changed = dict(given)
    changed["options"] = tuple({**dict(before.options), **dict(given["options"])}.items())
    return replace(before, **changed)


def _plain(value: Any) -> Any:
    """Return a value in the form that it has in a TOML file."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, ColorSpec):
        return asdict(value)
    return str(value) if isinstance(value, Fraction | Path) else value
