"""The settings of a run, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vsr.color.spec import ColorSpec
from vsr.media.encode.encoder_change import default_for, is_lossy, kept_for, left_out
from vsr.media.encode.encoder_table import ENCODERS, USUAL
from vsr.media.encode.usual_encoder import usual_in
from vsr.media.files.stdio import is_pipe
from vsr.media.formats.containers import container_of
from vsr.reading import read_file
from vsr.settings.field import settings_of
from vsr.settings.overrides import with_overrides
from vsr.settings.presets import names, path_of, read_pipeline
from vsr.settings.schema import EncoderSettings, UpscaleSettings
from vsr.settings.toml import MAX_TOML_BYTES, read_table

Origin = Literal["default", "preset", "pipeline file", "program", "flag", "keyword"]
"""Where a value comes from; `program` is an object of settings that a Python program passed."""

_TABLES = ("encoder.options", "color")
"""Settings of several values, each of which has its own origin."""
_NO_TAG = "UNSPECIFIED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenSettings:
    """The settings of a run and their history."""

    settings: UpscaleSettings
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By the key in a pipeline file, as `encoder.crf`; `default` where a key is missing. Options of the
    encoder and colour tags have a key each, as `encoder.options.tune`."""
    pipeline: Mapping[str, str] | None = None
    """Name, path and SHA-256 of the preset or pipeline file; None without one."""
    replaced: tuple[str, ...] = ()
    """A sentence for each setting of a preset that another flag or keyword made meaningless."""

    def rows(self) -> dict[str, tuple[Any, Origin]]:
        """Return each setting with its origin, by the key in a pipeline file."""
        return {
            key: (value, self.origins.get(key, "default")) for key, value in _values(self.settings).items()
        }


def choose_settings(
    pipeline: str | Path | None,
    settings: UpscaleSettings | None,
    overrides: Mapping[str, Any],
    *,
    where: str,
    origin: Origin,
) -> ChosenSettings:
    """Return a preset, or settings of a program, with single settings over them.

    Args:
        pipeline: Name of a preset or path of a pipeline file.
        settings: Settings to start from, if there is no pipeline.
        overrides: Values by keyword; None leaves a setting as it is.
        where: The start of an error message.
        origin: Of the overrides.

    Raises:
        ConfigError: the pipeline cannot be read, or a setting is unknown or of the wrong type.
    """
    base = read_pipeline(pipeline) if pipeline is not None else settings or UpscaleSettings()
    made = with_overrides(base, overrides, where=where, encoder_change=kept_for)
    given = {name for name, value in overrides.items() if value is not None}
    return ChosenSettings(
        settings=made,
        origins=_origins(base, made, pipeline, overrides, origin),
        pipeline=None if pipeline is None else _facts(pipeline),
        replaced=left_out(base.encoder, made.encoder, given) if "encoder" in given else (),
    )


def fitted(chosen: ChosenSettings, target: Path) -> ChosenSettings:
    """Return the settings with the default encoder of the target's container, if that does not support the
    encoder of a preset, and without a pixel format of a preset that the container's default encoders lack.

    What a flag or a keyword names stays, and so does a lossless encoder; both are refused later.

    Raises:
        ConfigError: no container has this suffix.
    """
    before = chosen.settings.encoder
    if is_pipe(target):
        return chosen
    if before.encoder is None:
        return _with_usual_format(chosen, target)
    if not _is_of_pipeline(chosen, "encoder") or not is_lossy(before.encoder):
        return chosen
    container = container_of(target)
    if container.muxer in ENCODERS[before.encoder].muxers:
        return chosen
    given = [name for name in ("crf", "preset", "pixel_format") if _is_given(chosen, name)]
    encoder = default_for(before, given)
    keys = {f"encoder.{name}" for name in settings_of(EncoderSettings)} - {
        f"encoder.{name}" for name in given
    }
    lost = left_out(before, replace(encoder, encoder="the default encoder"), given)
    origins = {
        key: origin
        for key, origin in chosen.origins.items()
        if key not in keys and not key.startswith("encoder.options.")
    }
    return replace(
        chosen,
        settings=replace(chosen.settings, encoder=encoder),
        origins=origins,
        replaced=(*chosen.replaced, *(f"in {container.name}, {line}" for line in lost)),
    )


def _with_usual_format(chosen: ChosenSettings, target: Path) -> ChosenSettings:
    before, wanted = chosen.settings.encoder, chosen.settings.encoder.pixel_format
    if wanted not in ENCODERS[USUAL[0]].pixel_formats or not _is_of_pipeline(chosen, "pixel_format"):
        return chosen
    container = container_of(target)
    here = usual_in(container)
    if any(wanted in ENCODERS[name].pixel_formats for name in here):
        return chosen
    line = f"in {container.name}, pixel_format {wanted} is left out: {' and '.join(here)} do not have it"
    return replace(
        chosen,
        settings=replace(chosen.settings, encoder=replace(before, pixel_format=None)),
        origins={key: origin for key, origin in chosen.origins.items() if key != "encoder.pixel_format"},
        replaced=(*chosen.replaced, line),
    )


def _is_of_pipeline(chosen: ChosenSettings, name: str) -> bool:
    """Return whether a preset or a pipeline file sets this setting of the encoder."""
    return chosen.origins.get(f"encoder.{name}") in ("preset", "pipeline file")


def _is_given(chosen: ChosenSettings, name: str) -> bool:
    """Return whether a flag or a keyword sets this setting of the encoder."""
    return chosen.origins.get(f"encoder.{name}") in ("flag", "keyword")


def unchanged(settings: UpscaleSettings) -> ChosenSettings:
    """Return the settings of a program with their history: the program set what is no default."""
    return choose_settings(None, settings, {}, where="settings", origin="program")


def is_preset(pipeline: str | Path) -> bool:
    """Return whether a pipeline is a preset of the package and not a user's file."""
    return str(pipeline) in names()


def _facts(pipeline: str | Path) -> dict[str, str]:
    path = path_of(pipeline)
    import hashlib  # loads OpenSSL, which most commands do not need

    digest = hashlib.sha256(read_file(path, most_bytes=MAX_TOML_BYTES)).hexdigest()
    return {"name": str(pipeline), "path": str(path.absolute()), "sha256": digest}


def _origins(
    base: UpscaleSettings,
    made: UpscaleSettings,
    pipeline: str | Path | None,
    overrides: Mapping[str, Any],
    origin: Origin,
) -> dict[str, Origin]:
    before, given = _values(base), _keys(overrides)
    if pipeline is None:
        of_base: Origin = "program"
        usual = _values(UpscaleSettings())
        stated = {key for key, value in before.items() if value != usual.get(key)}
    else:
        of_base = "preset" if is_preset(pipeline) else "pipeline file"
        stated = _keys(read_table(path_of(pipeline)))
    kept = {key for key, value in _values(made).items() if key in stated and before.get(key) == value}
    return dict.fromkeys(sorted(kept), of_base) | dict.fromkeys(sorted(given), origin)


def _keys(table: Mapping[str, Any]) -> set[str]:
    """Return the keys of `_values` that a pipeline file, or a set of keywords, sets."""
    found = set()
    of_encoder = settings_of(EncoderSettings)
    for name, value in table.items():
        if name == "encoder" and isinstance(value, Mapping):
            found |= _keys(value)
        elif value is not None:
            key = f"encoder.{name}" if name in of_encoder else name
            found |= {f"{key}.{part}" for part in _parts(value)} if key in _TABLES else {key}
    return found


def _parts(value: Any) -> list[str]:
    """Return the names in a table of options or colour tags, however it is written."""
    if isinstance(value, ColorSpec):
        return [tag for tag, member in asdict(value).items() if member.name != _NO_TAG]
    return [str(part) for part in (value if isinstance(value, Mapping) else dict(value))]


def _values(settings: UpscaleSettings) -> dict[str, Any]:
    """Return the values by key; each option of the encoder and each colour tag has its own."""
    found = {name: getattr(settings, name) for name in settings_of(UpscaleSettings)}
    found |= {f"encoder.{name}": getattr(settings.encoder, name) for name in settings_of(EncoderSettings)}
    tables = {"color": asdict(settings.color), "encoder.options": dict(settings.encoder.options)}
    for key, table in tables.items():
        del found[key]
        found |= {f"{key}.{part}": value for part, value in table.items() if _is_set(value)}
    return found


def _is_set(value: Any) -> bool:
    return getattr(value, "name", "") != _NO_TAG
