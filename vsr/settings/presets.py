"""Reads presets: named settings in TOML files, for `--pipeline`.

A key of such a file is a field of `vsr.settings.schema.UpscaleSettings`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vsr.errors import ConfigError
from vsr.settings.field import settings_of
from vsr.settings.schema import UpscaleSettings
from vsr.settings.toml import read_toml


def folder() -> Path:
    """Return the folder of the presets: inside the installed package, or `pipelines` in a checkout."""
    package = Path(str(resources.files("vsr")))
    inside = package / "_pipelines"
    return inside if inside.is_dir() else package.parent / "pipelines"


def names() -> list[str]:
    """Return the names of the presets in the package."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def path_of(name: str | Path) -> Path:
    """The file of a preset in the package, or a user's path; nothing is checked."""
    return folder() / f"{name}.toml" if str(name) in names() else Path(name).expanduser()


def read_pipeline(name: str | Path) -> UpscaleSettings:
    """Read the settings of a preset or of a user's file.

    Args:
        name: Name of a preset, or path of a .toml file.

    Raises:
        ConfigError: there is no such preset, the file cannot be read, or a key is unknown or of the wrong
            type.
    """
    path = path_of(name)
    if str(name) in names():
        return read_toml(path, UpscaleSettings)
    if path.suffix != ".toml":
        raise ConfigError(
            f"no pipeline is called {str(name)!r}; use one of {', '.join(names())},"
            " or a path that ends in .toml"
        )
    settings = read_toml(path, UpscaleSettings)
    _check_harmless(settings, path.name)
    return settings


def _check_harmless(settings: UpscaleSettings, file: str) -> None:
    """Refuse what only the person who runs the command may set, because a file may come from others."""
    for table, found in {"": settings, "encoder.": settings.encoder}.items():
        for name, facts in settings_of(found).items():
            if not facts.in_files and getattr(found, name) != getattr(type(found)(), name):
                raise ConfigError(f"{file}: no pipeline can set {table}{name}; give `{name}` yourself")
