"""Where workers run: on this machine, or wherever a plugin starts them (entry points of `vsr.workers`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vsr.engine.device_list import split
from vsr.errors import ConfigError, PluginError
from vsr.pipeline.crew.crew import Crew, local_crew

GROUP = "vsr.workers"
"""Entry-point group; the name of an entry is what `--on` takes, its object has two functions of `Host`."""
LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A way to run workers."""

    devices: Callable[[str], tuple[str, ...]]
    """Returns the device of each worker for the setting `device`."""
    crew: Callable[[Sequence[str]], Crew]
    """Returns workers for these devices."""
    is_local: bool


def host_of(on: str) -> Host:
    """Return where the workers of a run are.

    Args:
        on: `local`, or the name of a plugin, with `://` and an address if it needs one.

    Raises:
        ConfigError: no plugin has that name.
        PluginError: the plugin cannot be imported.
    """
    if on == LOCAL:
        return Host(devices=split, crew=local_crew, is_local=True)
    name, _, address = on.partition("://")
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join([LOCAL, *sorted(found)])
        raise ConfigError(
            f"`on={on!r}`: workers can run on {known}; another name needs its plugin, such as vsr-ray"
        )
    plugin = _loaded(found[name])
    return Host(
        devices=lambda device: tuple(plugin.devices(address, device)),
        crew=lambda devices: plugin.crew(address, devices),
        is_local=False,
    )


def _loaded(point: EntryPoint) -> Any:
    owner = f"{point.dist.name if point.dist else point.value} ({GROUP}: {point.name})"
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:
        first = str(error).partition("\n")[0]
        raise PluginError(f"{owner}: cannot be imported ({first}); install it again, or remove it") from error
    missing = [name for name in ("devices", "crew") if not callable(getattr(plugin, name, None))]
    if missing:
        raise PluginError(f"{owner}: has no {' and no '.join(missing)}; install another version of it")
    return plugin
