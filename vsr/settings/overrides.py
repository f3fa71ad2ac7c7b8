"""Single settings over those of a preset or of a program: what flags and keywords give."""

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
"""The settings by one name each: the fields of `UpscaleSettings` and of its `EncoderSettings` in one row."""

EncoderChange = Callable[[EncoderSettings, str], EncoderSettings]
"""Settings for one encoder and the name of another one, to the settings for that."""


def _nothing_kept(_: EncoderSettings, encoder: str) -> EncoderSettings:
    return EncoderSettings(encoder=encoder)


def with_overrides(
    settings: UpscaleSettings,
    overrides: Mapping[str, Any],
    *,
    where: str,
    encoder_change: EncoderChange = _nothing_kept,
) -> UpscaleSettings:
    """The settings with some of them replaced.

    A size replaces a scale and a scale replaces a size. Another model drops the strength and the partner of
    the first one, another encoder drops what `encoder_change` drops. Encoder options and colour tags are
    added to those that are there.

    Args:
        settings: Those to start from.
        overrides: Values by keyword as in `Overrides`; None leaves a setting as it is.
        where: The start of an error message.
        encoder_change: Says what of the settings for one encoder means the same for another.

    Raises:
        ConfigError: an unknown keyword or a value of the wrong type; the message names it.
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
    """A value as a TOML file would have it."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, ColorSpec):
        return asdict(value)
    return str(value) if isinstance(value, Fraction | Path) else value
