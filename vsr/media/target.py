"""The place where the output goes: may it be written, under which name meanwhile, and is it on the disk."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from vsr.errors import ConfigError, OutputError
from vsr.media.opening import shown


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse a target that would destroy something.

    Raises:
        ConfigError: it is the source, a folder, or exists without `overwrite`.
        OutputError: its folder is missing.
    """
    name = shown(target)
    if target.is_dir():
        raise ConfigError(f"{name}: is a folder; name a file in it")
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"{name}: is the input itself; write to another file")
    if not target.parent.is_dir():
        raise OutputError(f"{name}: the folder {shown(target.parent)} does not exist; make it first")
    if target.exists() and not overwrite:
        raise ConfigError(f"{name}: exists already; -y replaces it")


def temporary_beside(target: Path) -> Path:
    """A new, hidden, empty file beside the target; its short name fits wherever the target's does.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = target.parent / f".vsr-{secrets.token_hex(6)}.tmp"
    try:
        path.touch(exist_ok=False)  # the mode follows the umask
        if len(os.fsencode(target.name)) > os.pathconf(target.parent, "PC_NAME_MAX"):
            path.unlink()
            raise ConfigError(
                f"{shown(target.name)[:40]}...: the name is too long for its folder; shorten it"
            )
    except OSError as error:
        raise OutputError(
            f"{shown(target)}: cannot be written there ({error.strerror}); choose another folder"
        ) from error
    return path


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_space(folder: Path) -> str:
    """What is left on the disk of a folder, for people."""
    try:
        left = os.statvfs(folder)
    except OSError:
        return "unknown"
    return f"{left.f_bavail * left.f_frsize / 1e6:.0f} MB"
