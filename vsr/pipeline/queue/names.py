"""Makes the file names of results from a pattern; the suffix is always that of a supported container."""

from __future__ import annotations

import os
import string
from collections.abc import Iterable, Sequence
from pathlib import Path

from vsr.errors import ConfigError
from vsr.media.formats.containers import CONTAINERS
from vsr.media.pictures.kinds import ANIMATED, SUFFIXES, TARGETS, is_picture
from vsr.media.remote.places import below, beside, name_of, remote_of
from vsr.models import catalog
from vsr.pipeline.queue.inputs import Input
from vsr.settings.schema import UpscaleSettings

PATTERN = "{stem}-{size}{suffix}"
"""`film.avi` becomes `film-2x.mkv`, `photo.jpg` becomes `photo-2x.jpg`."""
FIELDS = ("stem", "suffix", "size", "scale", "model")
_PICTURE_OTHERWISE = ".png"
"""The suffix where vsr does not write the format of a still picture: PNG loses nothing."""
_OTHERWISE = ".mkv"
"""The suffix of a result if `vsr` cannot write the input's container. Matroska supports every codec."""


def targets_of(
    inputs: Sequence[Input], settings: UpscaleSettings, *, folder: Path | None, pattern: str
) -> list[Path]:
    """Return the path of each result.

    Args:
        inputs: The files to upscale.
        settings: Settings of the run, for the values of `{size}`, `{scale}` and `{model}`.
        folder: Folder of the results; None puts each result beside its input.
        pattern: A file name with the fields of `FIELDS` in braces.

    Raises:
        ConfigError: the pattern has an unknown field or names a folder, or two results would have the same
            path.
    """
    check_pattern(pattern)
    targets = [_target(one, settings, folder, pattern) for one in inputs]
    _check_distinct(inputs, targets)
    return targets


def check_pattern(pattern: str) -> None:
    """Check that a pattern gives a file name.

    Raises:
        ConfigError: the pattern is empty, has an unknown field, or names a folder.
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
        raise ConfigError(f"`name` {pattern!r} is not a file name; `to` sets the folder")


def _target(one: Input, settings: UpscaleSettings, folder: Path | None, pattern: str) -> Path:
    values = {
        "stem": one.path.stem if one.pictures is None else one.pictures.name,
        "suffix": _suffix(one.path) if one.pictures is None else _OTHERWISE,
        "size": _size(settings),
        "scale": _scale(settings),
        "model": Path(settings.model).stem,
    }
    name = pattern.format(**values)
    if Path(name).suffix.lower() not in {*CONTAINERS, *TARGETS, *ANIMATED}:
        name += values["suffix"]
    if folder is None and one.is_stored:
        raise ConfigError(f"{name_of(one.path)}: its result needs a name; name an OUTPUT, or use `to`")
    if folder is None and one.pictures is not None:
        return one.pictures.with_name(name)
    return beside(one.path, name) if folder is None else below(folder, *one.folder.parts, name)


def _suffix(source: Path) -> str:
    """The suffix of a result: that of the input if vsr writes such files."""
    is_local = remote_of(source) is None  # a network is not asked for each file of a folder
    if is_picture(source) if is_local else source.suffix.lower() in SUFFIXES:
        return source.suffix if source.suffix.lower() in TARGETS else _PICTURE_OTHERWISE
    return source.suffix if source.suffix.lower() in CONTAINERS else _OTHERWISE


def _size(settings: UpscaleSettings) -> str:
    if settings.width is not None:
        return f"{settings.width}x{settings.height}"
    return f"{_scale(settings)}x" if settings.height is None else f"{settings.height}p"


def _scale(settings: UpscaleSettings) -> str:
    if settings.scale is not None:
        return f"{float(settings.scale):g}"
    return str(own_scale(settings.model))


def own_scale(model: str) -> int:
    """Return the scale of a model. Only a weight file of the user must be loaded for this."""
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
                f"the results of {name_of(seen[place])} and {name_of(one.path)} would both be"
                f" {name_of(target)}; use a `name` that gives them different names"
            )
        seen[place] = one.path
