"""The flags for URLs: whether the network may be used, and where results are made before an upload."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from vsr.media.remote.blocks import hold, release
from vsr.media.remote.places import permit

ALLOW_NETWORK = typer.Option("--allow-network", metavar=" ", help="Allow URLs that need the network.")
WORK_FOLDER = typer.Option("--work-folder", metavar="FOLDER", help="For unfinished results of URLs.")


_held: list[Path] = []


def permit_urls(paths: Iterable[Path], *, allow_network: bool, work_folder: Path | None = None) -> None:
    """Set what the use of the URLs among some paths may do, and keep them until the command ends."""
    for path in paths:
        permit(path, allow_network=allow_network, work_folder=work_folder)
        hold(path)
        _held.append(path)


def release_urls() -> None:
    """Release what `permit_urls` has kept; at the end of a command."""
    while _held:
        release(_held.pop())
