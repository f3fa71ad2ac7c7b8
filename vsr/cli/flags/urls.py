"""The flags for URLs: whether the network may be used, and where results are made before an upload."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from vsr.cli.ending import until_the_end
from vsr.media.files.stdio import place_of
from vsr.media.remote.blocks import hold, release
from vsr.media.remote.places import forget, permit, remote_of

ALLOW_NETWORK = typer.Option("--allow-network", metavar=" ", help="Allow URLs that need the network.")
WORK_FOLDER = typer.Option(
    "--work-folder", metavar="FOLDER", help="For unfinished results of URLs.", parser=place_of
)


_held: list[Path] = []


def permit_urls(paths: Iterable[Path], *, allow_network: bool, work_folder: Path | None = None) -> None:
    """Set what the use of the URLs among some paths may do, and keep them until the command ends."""
    until_the_end.callback(_release_urls)
    if work_folder is not None:
        permit(work_folder, allow_network=allow_network, work_folder=None)
        hold(work_folder)
        _held.append(work_folder)
    for path in paths:
        permit(path, allow_network=allow_network, work_folder=work_folder)
        hold(path)
        _held.append(path)


def _release_urls() -> None:
    while _held:
        path = _held.pop()
        release(path)
        if remote_of(path) is None:
            forget(path)
