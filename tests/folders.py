"""Lists what a run has left in a folder, besides the record of finished results that runs keep there."""

from __future__ import annotations

from pathlib import Path

from vsr.pipeline.queue.record import NAME


def names_in(folder: Path) -> list[str]:
    """Return the sorted names of what is in a folder, without the record."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(NAME))
