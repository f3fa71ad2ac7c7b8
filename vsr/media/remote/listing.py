"""The files that a URL stands for: one, those in a folder, or those that a pattern with wildcards matches."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError
from vsr.media.remote.failures import patiently
from vsr.media.remote.places import Remote
from vsr.media.remote.store import file_system
from vsr.media.remote.traffic import note


def is_folder_url(remote: Remote) -> bool:
    """Return whether a URL says itself that it is a folder."""
    return remote.writable and remote.url.endswith("/")


def has_wildcards(remote: Remote) -> bool:
    """Return whether the URL of an object is a pattern such as `s3://bucket/*.mkv`."""
    return remote.writable and glob.has_magic(remote.url)


def files_below(remote: Remote, *, recursive: bool) -> list[tuple[str, str]]:
    """Return the URLs of the files in a folder, each with its path inside the folder.

    Args:
        remote: The folder.
        recursive: Whether folders inside it are searched, too.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        InputError: the store does not answer.
    """
    system, place = file_system(remote)
    top = place.rstrip("/")
    depth = None if recursive else 1
    names = patiently(lambda: _found(system, top, depth), name=remote.shown)
    return [(_url(remote, name), name[len(top) :].lstrip("/")) for name in names]


def matches(remote: Remote) -> list[str]:
    """Return the URLs of the objects that a pattern matches; itself if an object has this very name.

    Raises:
        ConfigError: nothing matches, the network is not allowed, or a package is missing.
        InputError: the store does not answer.
    """
    system, place = file_system(remote)

    def look() -> list[str]:
        system.invalidate_cache()
        return (
            [place]
            if system.exists(place)
            else [n for n, f in system.glob(place, detail=True).items() if _is_file(f)]
        )

    names = patiently(look, name=remote.shown)
    if not names:
        raise ConfigError(f"{remote.shown}: no file matches this pattern")
    return [_url(remote, name) for name in sorted(names)]


def download(urls: Sequence[str], remote: Remote, folder: Path) -> list[Path]:
    """Copy files of a store into a local folder, and return their paths there.

    Args:
        urls: The files, as `files_below` returns them; their names must differ.
        remote: Says whether the network may be used.
        folder: An empty folder.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        InputError: the store does not answer, or the disk refuses.
    """
    system, _ = file_system(remote)
    copies = []
    for url in urls:
        place, copy = system._strip_protocol(url), folder / url.rpartition("/")[2]
        patiently(partial(system.get_file, place, str(copy)), name=url)
        note(copy.stat().st_size)
        copies.append(copy)
    return copies


def _found(system: Any, top: str, depth: int | None) -> list[str]:
    system.invalidate_cache()
    return list(system.find(top, maxdepth=depth))


def _is_file(facts: Any) -> bool:
    return bool(facts.get("type") == "file")


def _url(remote: Remote, name: str) -> str:
    return f"{remote.scheme}://{name.lstrip('/')}"
