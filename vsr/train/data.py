"""The photographs of a training folder: which there are, which are held out, and their pixels."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from torch import Tensor

from vsr.errors import InputError
from vsr.media.opening import open_media

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SOURCES = "SOURCES.tsv"
"""Optional table in the folder; its columns `file`, `repository` and `path` tell what a tile was cut from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file, and the photograph that it shows a part of."""

    path: Path
    photograph: str


def find_pictures(folder: Path) -> list[Picture]:
    """List the pictures of a folder, by name.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; --data takes a folder of pictures")
    table = _sources(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: holds no picture ({', '.join(sorted(SUFFIXES))})")
    return [Picture(path=path, photograph=_photograph(table, path)) for path in paths]


def licences(folder: Path) -> str:
    """The licences of a folder's pictures as its table states them; empty where it has none."""
    return "; ".join(sorted({row["licence"] for row in _sources(folder).values() if row.get("licence")}))


def _photograph(table: dict[str, dict[str, str]], path: Path) -> str:
    """Where the table says that a tile was cut from; a file that it does not name is its own photograph."""
    row = table.get(path.name)
    return f"{row['repository']}:{row['path']}" if row else path.stem


def _sources(folder: Path) -> dict[str, dict[str, str]]:
    """The folder's table by file name; empty where there is none."""
    path = folder / SOURCES
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    if rows and not {"file", "repository", "path"} <= rows[0].keys():
        raise InputError(f"{path}: needs the columns file, repository and path")
    return {row["file"]: row for row in rows}


def large_enough(pictures: Sequence[Picture], side: int) -> list[Picture]:
    """Leave out, with one warning, the pictures with a side below `side` pixels.

    Raises:
        InputError: one cannot be opened.
    """
    kept = [picture for picture in pictures if min(_size(picture.path)) >= side]
    if len(kept) < len(pictures):
        left_out = len(pictures) - len(kept)
        logger.warning("%d of %d pictures left out: below %d pixels", left_out, len(pictures), side)
    return kept


def _size(path: Path) -> tuple[int, int]:
    try:
        with open_media(path) as container:
            stream = container.streams.video[0]
            size = stream.height, stream.width
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: cannot be opened as a picture ({error}); remove it") from error
    if 0 in size:
        raise InputError(f"{path}: holds no picture; remove it")
    return size


def split(pictures: Sequence[Picture], one_in: int) -> tuple[list[Picture], list[Picture]]:
    """Part the pictures to train on from those held out: every `one_in`-th photograph, with all its tiles.

    Raises:
        InputError: there are fewer than two photographs.
    """
    photographs = sorted({picture.photograph for picture in pictures})
    if len(photographs) < 2:
        raise InputError("one photograph only; training needs at least one more, held out to measure on")
    out = set(photographs[one_in // 2 % len(photographs) :: one_in])
    return (
        [picture for picture in pictures if picture.photograph not in out],
        [picture for picture in pictures if picture.photograph in out],
    )


def read_image(path: Path) -> Tensor:
    """Decode the first picture of a file.

    Returns:
        `(3, H, W)` uint8, R'G'B', full range.

    Raises:
        InputError: it cannot be decoded.
    """
    try:
        with open_media(path) as container:
            frame = next(container.decode(video=0))
            return torch.from_numpy(frame.reformat(format="rgb24", threads=1).to_ndarray()).permute(2, 0, 1)
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise InputError(f"{path}: cannot be decoded as a picture ({error}); remove it") from error
