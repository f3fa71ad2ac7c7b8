"""What a program names as an input or an output: a path, a URL or a file object, for the time of a call."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsr.media.files.stdio import place_of
from vsr.media.remote.blocks import hold, release
from vsr.media.remote.places import forget, permit, remote_of

Named = str | Path | BinaryIO
"""A path, a URL as text, or a file object that is open in binary mode."""


@contextmanager
def paths_of(
    *named: Named, allow_network: bool = False, work_folder: str | Path | None = None, suffix: str = ""
) -> Generator[list[Path], None, None]:
    """Yield the paths that stand for what a program named, and release them at the end.

    Args:
        named: Paths, URLs and file objects.
        allow_network: Whether the network may be used for the URLs.
        work_folder: Where a result is made before it is uploaded; None is a folder in the user's cache. A
            URL is where finished segments are kept.
        suffix: Of the paths of file objects whose name has none.

    Raises:
        ConfigError: a file object is open as text, or a URL cannot be read.
    """
    folder = None if work_folder is None else place_of(work_folder, allow_network=allow_network)
    paths: list[Path] = []
    try:
        if folder is not None:
            hold(folder)
        for one in named:
            path = place_of(one, allow_network=allow_network, work_folder=folder, suffix=suffix)
            hold(path)
            paths.append(path)
            if folder is not None and remote_of(path) is None:
                permit(path, allow_network=allow_network, work_folder=folder)
        yield paths
    finally:
        for path in paths:
            release(path)
            if remote_of(path) is None:
                forget(path)
        if folder is not None:
            release(folder)
