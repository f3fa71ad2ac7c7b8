"""Facts about a run for its report: time, machine and software."""

from __future__ import annotations

import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import av

from vsr.system.host import processor_name, total_memory

_PACKAGES = {"vsr": "vsr-pipeline", "pyav": "av", "torch": "torch", "numpy": "numpy"}
"""Names in the report, and those of the distributions."""


def now() -> str:
    """Return the local time with its zone as ISO 8601, in milliseconds: `2026-11-30T03:00:45.120+01:00`."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def host() -> dict[str, Any]:
    """Return the name, system, processor and memory (bytes) of this machine."""
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "memory_bytes": total_memory(),
    }


def software() -> dict[str, str]:
    """Return the versions of `vsr`, Python and the libraries that decide a result."""
    found = {"python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:  # it was put on the path without being installed
            found[name] = "unknown"
    return found | {"ffmpeg": av.ffmpeg_version_info}
