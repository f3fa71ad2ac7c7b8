"""Digests of the data that a run is trained on.

A checkpoint contains them, so that a run does not resume with other data unnoticed. Only names, sizes, and
the first and last bytes of files are read, so a folder of 100,000 files takes seconds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.reader import identity_of
from vsr.reading import open_file
from vsr.training.data.datasets import VIDEO_SUFFIXES
from vsr.training.data.image_folder import HOLDOUT, SOURCES, is_visible_file
from vsr.training.data.images import SUFFIXES
from vsr.training.data.pairs.image_pairs import find_pair
from vsr.training.data.sources import ShardList, Source

Origin = Mapping[str, Any]
"""`data` is a list of tables with `name`, `files` and `sha256`; `start` and `vgg` are digests or None."""

_ENDS = 4096
"""Number of bytes at the beginning and at the end of a file that are read."""
_ASKED = 16
"""Number of shards of a list that are compared by more than their names."""


def origin_of(data: Sequence[Source], start: Mapping[str, Tensor] | None, vgg: Path | None) -> Origin:
    """Compute the digests of a run's data, initial weights and VGG19.

    Raises:
        InputError: A file cannot be read.
    """
    return {
        "data": [_source(path) for path in data],
        "start": None if start is None else digest(start),
        "vgg": None if vgg is None else _digest_of_files([vgg]),
    }


def differences(then: Origin, now: Origin) -> list[str]:
    """Describe the differences between two origins; sources are compared in order, wherever they are stored.

    Initial weights are not compared, because a resumed run does not use them.
    """
    words = ["VGG19's weights are different"] if then.get("vgg") != now.get("vgg") else []
    before, after = then.get("data", []), now.get("data", [])
    if len(before) != len(after):
        return [*words, f"there are {len(after)} data sources, not {len(before)}"]
    for old, new in zip(before, after, strict=True):
        if old["files"] != new["files"]:
            words.append(f"{shown(new['name'])} contains {new['files']} files, not {old['files']}")
        elif old["sha256"] != new["sha256"]:
            words.append(f"{shown(new['name'])} contains different files")
    return words


def digest(tensors: Mapping[str, Tensor], before: bytes = b"") -> str:
    """Return the SHA-256 of some bytes followed by tensors with their names."""
    found = hashlib.sha256(before)
    for name in sorted(tensors):
        found.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        found.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _source(path: Source) -> dict[str, Any]:
    if isinstance(path, ShardList):
        return {"name": path.name, "files": len(path.shards), "sha256": _digest_of_shards(path.shards)}
    files = _files_of(path)
    return {"name": path.name, "files": len(files), "sha256": _digest_of_files(files)}


def _files_of(path: Path) -> list[Path]:
    """Return the files of a source that training reads, sorted by name."""
    if not path.is_dir():
        return [path]
    pair = find_pair(path)
    if pair is not None:
        return [file for half in pair for file in _files_of(half)]
    return sorted(file for file in path.iterdir() if is_visible_file(file) and _is_read(file))


def _is_read(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES or file.name in (SOURCES, HOLDOUT)


def _digest_of_shards(shards: Sequence[Path]) -> str:
    """Return a digest of all names, and of the size and version of some shards: each costs a request."""
    found = hashlib.sha256("\n".join(shard.name for shard in shards).encode("utf-8", "surrogateescape"))
    for shard in shards[:: max(1, len(shards) // _ASKED)]:
        facts = identity_of(shard)
        if facts is None:
            found.update(_digest_of_files([shard]).encode())
        else:
            found.update(f"{shard.name} {facts.size} {facts.version}".encode("utf-8", "surrogateescape"))
        close_blocks(shard)
    return found.hexdigest()


def _digest_of_files(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        try:
            with open_file(path) as file:
                size = os.fstat(file.fileno()).st_size
                found.update(f"{len(path.name)} {path.name} {size} ".encode("utf-8", "surrogateescape"))
                found.update(file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                found.update(file.read(_ENDS))
        except OSError as error:
            raise InputError(f"{shown(path)} cannot be read ({error.strerror or error})") from error
    return found.hexdigest()
