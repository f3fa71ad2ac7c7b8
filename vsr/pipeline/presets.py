"""Presets: settings under a name, from TOML files.

Here is only how they are found and read; what a key means is a field of `vsr.config.UpscaleSettings`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vsr.config import UpscaleSettings, read_toml
from vsr.errors import ConfigError


def folder() -> Path:
    """Where they are: inside the package where it is installed, else the checkout's `pipelines`."""
    package = Path(str(resources.files("vsr")))
    inside = package / "_pipelines"
    return inside if inside.is_dir() else package.parent / "pipelines"


def names() -> list[str]:
    """Of all that are shipped."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def read_pipeline(name: str | Path) -> UpscaleSettings:
    """The settings of a ready pipeline, or of a file of one's own.

    Args:
        name: Of a shipped one, or the path of a .toml file.

    Raises:
        ConfigError: no such pipeline; the file cannot be read; a key that is unknown, or of the wrong type.
    """
    if str(name) in names():
        return read_toml(folder() / f"{name}.toml", UpscaleSettings)
    path = Path(name).expanduser()
    if path.suffix != ".toml":
        raise ConfigError(
            f"no pipeline is called {str(name)!r}; ready are {', '.join(names())}; a path must end in .toml"
        )
    settings = read_toml(path, UpscaleSettings)
    if settings.encoder.allow_files:  # who sends a pipeline is not who runs it
        raise ConfigError(f"{path.name}: no pipeline can set encoder.allow_files; --allow-files does")
    return settings
