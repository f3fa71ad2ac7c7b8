"""Settings by keyword, which flags and Python calls give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict

from vsr.color.spec import ColorSpec
from vsr.config import (
    Backend,
    Deinterlace,
    EncoderSettings,
    Hwaccel,
    PipeFormat,
    Precision,
    UpscaleSettings,
    from_table,
)
from vsr.errors import ConfigError


class Wishes(TypedDict, total=False):
    """Fields of `UpscaleSettings` and `EncoderSettings` in one row; what is absent or None stays as it is."""

    model: str | Path | None
    scale: Fraction | float | str | None
    width: int | None
    height: int | None
    strength: float | None
    partner: str | Path | None
    device: str | None
    precision: Precision | None
    backend: Backend | None
    hwaccel: Hwaccel | None
    tile: int | None
    batch: int | None
    encoder: str | None
    crf: float | None
    preset: str | None
    options: Mapping[str, str] | None
    """The encoder's, as FFmpeg names them; added to those that are there."""
    pixel_format: str | None
    threads: int | None
    allow_files: bool | None
    """Whether the encoder's options may name files to write or read."""
    format: PipeFormat | None
    filters_before: Sequence[str] | None
    """Instead of those that are there; none with an empty list."""
    filters_after: Sequence[str] | None
    color: Mapping[str, str] | ColorSpec | None
    """Tags of the source; by name, `{"matrix": "bt709", "range": "full"}`; added to those that are there."""
    deinterlace: Deinterlace | None
    start: Fraction | float | str | None
    end: Fraction | float | str | None
    video_stream: int | None
    reuse: bool | None
    max_pixels: int | None
    strict: bool | None
    resume: bool | None
    restart: bool | None
    segment_seconds: Fraction | float | str | None


_ENCODER = frozenset(field.name for field in fields(EncoderSettings))


def with_wishes(settings: UpscaleSettings, wishes: Mapping[str, Any], *, where: str) -> UpscaleSettings:
    """`settings` with all that is wished for; a size replaces a scale, a scale a size, a model its strength.

    Args:
        settings: What to start from.
        wishes: As in `Wishes`.
        where: Starts the error message.

    Raises:
        ConfigError: an unknown word, or a value of the wrong type; the message names it.
    """
    unknown = [word for word in wishes if word not in Wishes.__annotations__]
    if unknown:
        known = ", ".join(sorted(Wishes.__annotations__))
        raise ConfigError(f"{where}: unknown setting {unknown[0]!r}; known are {known}")
    given = {word: _plain(value) for word, value in wishes.items() if value is not None}
    ours = {word: value for word, value in given.items() if word not in _ENCODER}
    theirs = {word: value for word, value in given.items() if word in _ENCODER}
    checked = from_table(ours | {"encoder": theirs}, UpscaleSettings, where=where)
    changed = {word: getattr(checked, word) for word in ours}
    if "color" in ours:
        changed["color"] = checked.color.over(settings.color)
    if "model" in ours:  # what was mixed into another model means nothing for this one
        changed = {"strength": None, "partner": None} | changed
    if "scale" in ours:
        changed = {"width": None, "height": None} | changed
    if "height" in ours:
        changed = {"scale": None, "width": None} | changed
    return replace(settings, **changed, encoder=_encoder(settings.encoder, checked.encoder, theirs))


def _encoder(before: EncoderSettings, checked: EncoderSettings, given: Mapping[str, Any]) -> EncoderSettings:
    """Another encoder takes nothing over of what was said to the first: its words mean other things."""
    if "encoder" in given and checked.encoder != before.encoder:
        before = EncoderSettings()
    changed = {word: getattr(checked, word) for word in given}
    if "options" in given:
        changed["options"] = tuple({**dict(before.options), **dict(checked.options)}.items())
    return replace(before, **changed)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):  # as the settings themselves have it
        return list(value)
    if isinstance(value, ColorSpec):
        return asdict(value)
    return str(value) if isinstance(value, Fraction | Path) else value
