"""The names of results: a pattern, and the suffix of a container that vsr writes."""

from __future__ import annotations

import os
import string
from collections.abc import Iterable, Sequence
from pathlib import Path

from vsr.errors import ConfigError
from vsr.media.formats.containers import CONTAINERS
from vsr.media.pictures.kinds import TARGETS, is_picture
from vsr.media.remote.places import below, beside, name_of
from vsr.models import catalog
from vsr.pipeline.queue.inputs import Input
from vsr.settings.schema import UpscaleSettings

PATTERN = "{stem}-{size}{suffix}"
"""`film.avi` becomes `film-2x.mkv`, `photo.jpg` becomes `photo-2x.jpg`."""
FIELDS = ("stem", "suffix", "size", "scale", "model")
_PICTURE_OTHERWISE = ".png"
"""The suffix where vsr does not write the format of a still picture: PNG loses nothing."""
_OTHERWISE = ".mkv"
"""The suffix where the input's container is not one that vsr writes: Matroska holds everything."""


def targets_of(
    inputs: Sequence[Input], settings: UpscaleSettings, *, folder: Path | None, pattern: str
) -> list[Path]:
    """The path of each result.

    Args:
        inputs: The files to upscale.
        settings: Those of the run; they say what `{size}`, `{scale}` and `{model}` stand for.
        folder: Where the results go; None puts each beside its input.
        pattern: A file name with the fields of `FIELDS` in braces.

    Raises:
        ConfigError: an unknown field, a pattern with folders in it, or two inputs whose results have one
            name.
    """
    check_pattern(pattern)
    targets = [_target(one, settings, folder, pattern) for one in inputs]
    _check_distinct(inputs, targets)
    return targets


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that cannot name a file.

    Raises:
        ConfigError: it names an unknown field or a folder, or is empty.
    """
    try:
        parts = [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
    except ValueError as error:
        raise ConfigError(
            f"`name` {pattern!r} is not a pattern ({error}); use for example {PATTERN}"
        ) from error
    for field in parts:
        if field not in FIELDS:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise ConfigError(f"`name` {pattern!r}: {{{field}}} is unknown; use {known}")
    if not pattern.strip() or "/" in pattern or os.sep in pattern:
        raise ConfigError(f"`name` {pattern!r} is not a file name; folders are set by `to`")


def _target(one: Input, settings: UpscaleSettings, folder: Path | None, pattern: str) -> Path:
    values = {
        "stem": one.path.stem,
        "suffix": _suffix(one.path),
        "size": _size(settings),
        "scale": _scale(settings),
        "model": Path(settings.model).stem,
    }
    name = pattern.format(**values)
    if Path(name).suffix.lower() not in {**CONTAINERS, **TARGETS}:
        name += values["suffix"]
    return beside(one.path, name) if folder is None else below(folder, *one.folder.parts, name)


def _suffix(source: Path) -> str:
    """The suffix of a result: that of the input if vsr writes such files."""
    if is_picture(source):
        return source.suffix if source.suffix.lower() in TARGETS else _PICTURE_OTHERWISE
    return source.suffix if source.suffix.lower() in CONTAINERS else _OTHERWISE


def _size(settings: UpscaleSettings) -> str:
    if settings.width is not None:
        return f"{settings.width}x{settings.height}"
    return f"{_scale(settings)}x" if settings.height is None else f"{settings.height}p"


def _scale(settings: UpscaleSettings) -> str:
    if settings.scale is not None:
        return f"{float(settings.scale):g}"
    return str(_own_scale(settings.model))


def _own_scale(model: str) -> int:
    """The scale of a model; only a user's own file has to be loaded for it."""
    found = catalog.resolve(model)
    if found.entry is not None:
        return found.entry.scale or int(catalog.DEFAULT_SCALE)
    from vsr.models.load import load_generator

    return int(load_generator(model).scale)


def _check_distinct(inputs: Iterable[Input], targets: Iterable[Path]) -> None:
    seen: dict[str, Path] = {}
    for one, target in zip(inputs, targets, strict=True):
        place = os.path.normcase(target)
        if place in seen:
            raise ConfigError(
                f"{name_of(seen[place])} and {name_of(one.path)} would both become {name_of(target)};"
                " give a `name` that tells them apart"
            )
        seen[place] = one.path
