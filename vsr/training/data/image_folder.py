"""The photographs of a training folder: which there are, which are held out, their pixels, and clips of them.

A picture that cannot be decoded is left out with a warning; when there are many, the folder is refused.
"""

from __future__ import annotations

import csv
import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.training.data.augmentation import varied
from vsr.training.data.drawing import Geometry, Sample, cut_pan, draw_pan
from vsr.training.data.images import SUFFIXES, UnsupportedPictureError, header_size, read_image

logger = logging.getLogger(__name__)

SOURCES = "SOURCES.tsv"
"""Optional table in the folder; its columns `file`, `repository` and `path` tell what a tile was cut from."""
HOLDOUT = "HOLDOUT.tsv"
"""Optional table in the folder; its column `file` names what is held out, instead of one in so many."""
_UNREAD = """
heic heif avif jxl jp2 j2k tga exr hdr psd dng cr2 cr3 nef arw orf raf rw2 svg ico pbm pgm ppm pnm pam qoi
"""
_UNREAD_SUFFIXES = frozenset(f".{name}" for name in _UNREAD.split())
"""Of pictures that are not read."""
MAX_UNREADABLE = 0.01
"""Share of the pictures that may be unreadable; a single one always may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file, and the photograph that it shows a part of."""

    path: Path
    photograph: str
    kind: str = "photo"
    """As the folder's table calls it."""
    size: tuple[int, int] = (0, 0)
    """Height and width in pixels; zeros where nobody has looked yet."""


class Quarantine:
    """The pictures of a folder that turned out unreadable: each is named in one warning and left out."""

    def __init__(self, total: int) -> None:
        """Start with none of `total` pictures."""
        self._total = total
        self._errors: dict[Path, InputError] = {}

    def __len__(self) -> int:
        return len(self._errors)

    def __contains__(self, path: Path) -> bool:
        return path in self._errors

    def check(self, paths: Iterable[Path]) -> None:
        """Raise InputError if all of these are left out: there is nothing to draw from."""
        if all(path in self._errors for path in paths):
            first = next(iter(self._errors.values()))
            raise InputError(f"no picture is left to draw from. {first}") from first

    def add(self, path: Path, error: InputError) -> None:
        """Leave a picture out; one of a kind that is not read is no sign of damage, and does not count.

        Raises:
            InputError: that makes more than one, and more than `MAX_UNREADABLE` of the folder; or all of it.
        """
        if path in self._errors:
            return
        self._errors[path] = error
        if len(self._errors) >= self._total:
            raise error
        bad = sum(not isinstance(error, UnsupportedPictureError) for error in self._errors.values())
        if bad > 1 and bad > MAX_UNREADABLE * self._total:
            limit = f"more than one and over {MAX_UNREADABLE:.0%}"
            raise InputError(
                f"{bad} of {self._total} pictures are unreadable or do not fit ({limit}). {error}"
            ) from error
        logger.warning("left out (%d of %d so far): %s", len(self._errors), self._total, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Pans over the photographs of a folder; a `Material`."""

    name: str
    licences: str
    pictures: tuple[Picture, ...]
    geometry: Geometry
    quarantine: Quarantine = field(repr=False)

    @property
    def pixels(self) -> int:
        return sum(height * width for height, width in (picture.size for picture in self.pictures))

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(picture.kind for picture in self.pictures)

    def draw(self, rng: random.Random) -> Sample:
        shape = self.geometry
        picture, image = self._read(rng)
        if shape.vary is not None and rng.random() < shape.vary.probability:
            side = shape.size + shape.speed * (shape.frames - 1)
            image = varied(image, shape.vary, side=min(side, *image.shape[1:]), rng=rng)
        room = [side - shape.size for side in image.shape[1:]]
        pan = draw_pan(room, shape.frames, shape.speed, rng)
        hr = cut_pan(image, pan, (shape.size, shape.size), shape.frames)
        return Sample(hr=hr, shift=pan.step, kind=picture.kind)

    def _read(self, rng: random.Random) -> tuple[Picture, Tensor]:
        """Draw until a picture can be read: an unreadable one costs the same draws in every run."""
        while True:
            picture = rng.choice(self.pictures)
            if picture.path in self.quarantine:
                self.quarantine.check(picture.path for picture in self.pictures)
                continue
            try:
                return picture, read_image(picture.path)
            except InputError as error:
                self.quarantine.add(picture.path, error)


def open_photographs(folder: Path, geometry: Geometry, holdout: int) -> tuple[Photographs, Photographs]:
    """The photographs of a folder to train on, and those held out: what its `HOLDOUT` names, else one
    photograph in `holdout`.

    Raises:
        InputError: no picture, too many unreadable ones, none large enough, or nothing on one of the sides.
    """
    found = find_pictures(folder)
    quarantine = Quarantine(len(found))
    usable = large_enough(found, geometry.size, quarantine)
    named = held_out_files(folder)
    halves = split(usable, holdout) if named is None else split_by_name(usable, named, folder)
    known, held_out = (
        Photographs(
            name=f"{shown(folder.name)} ({len(half)} pictures)",
            licences=licences(folder),
            pictures=tuple(half),
            geometry=shape,
            quarantine=quarantine,
        )
        for half, shape in zip(halves, (geometry, replace(geometry, vary=None)), strict=True)
    )
    return known, held_out


def find_pictures(folder: Path) -> list[Picture]:
    """List the pictures of a folder, by name.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; `data` takes a folder of pictures")
    table = _sources(folder)
    files = sorted(folder.iterdir())
    paths = [path for path in files if path.suffix.lower() in SUFFIXES and is_material(path)]
    _name_left_out(folder, [path for path in files if path not in set(paths)])
    if not paths:
        raise InputError(f"{folder}: holds no picture ({', '.join(sorted(SUFFIXES))})")
    return [
        Picture(path=path, photograph=_photograph(table, path), kind=_kind(table, path)) for path in paths
    ]


def is_material(path: Path) -> bool:
    """Whether a path is a file that a user put there: systems keep hidden ones beside them (`._a.jpg`)."""
    return path.is_file() and not path.name.startswith(".")


def _name_left_out(folder: Path, files: Sequence[Path]) -> None:
    """Say in one warning which files have a picture's name and are not read."""
    names = [shown(path.name) for path in files if path.suffix.lower() in SUFFIXES | _UNREAD_SUFFIXES]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        logger.warning(
            "%s: left out: %s%s (hidden, no files, or of a kind that is not read; save pictures as PNG)",
            shown(folder),
            ", ".join(names[:3]),
            more,
        )


def licences(folder: Path) -> str:
    """The licences of a folder's pictures as its table states them; empty where it has none."""
    return "; ".join(sorted({row["licence"] for row in _sources(folder).values() if row.get("licence")}))


def _photograph(table: dict[str, dict[str, str]], path: Path) -> str:
    """Where the table says that a tile was cut from; a file that it does not name is its own photograph."""
    row = table.get(path.name)
    return f"{row['repository']}:{row['path']}" if row else path.stem


def _kind(table: dict[str, dict[str, str]], path: Path) -> str:
    return table.get(path.name, {}).get("kind") or "photo"


def _sources(folder: Path) -> dict[str, dict[str, str]]:
    """The folder's table by file name; empty where there is none."""
    path = folder / SOURCES
    rows = _table(path) or []
    if rows and not {"file", "repository", "path"} <= rows[0].keys():
        raise InputError(f"{path}: needs the columns file, repository and path")
    return {row["file"]: row for row in rows}


def _table(path: Path) -> list[dict[str, str]] | None:
    """The rows of a table with tabs between its columns; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error


def large_enough(
    pictures: Sequence[Picture], side: int, quarantine: Quarantine | None = None
) -> list[Picture]:
    """Leave out, with one warning, the pictures with a side below `side` pixels, and those without a header.

    Args:
        pictures: To look at; decoding them is left to `read_image`.
        side: In pixels.
        quarantine: Takes those that cannot be opened; None makes one for this call.

    Returns:
        The others, with their sizes.

    Raises:
        InputError: too many cannot be opened, or none is large enough.
    """
    quarantine = Quarantine(len(pictures)) if quarantine is None else quarantine
    known = []
    for picture in pictures:
        try:
            known.append(sized(picture))
        except InputError as error:
            quarantine.add(picture.path, error)
    kept = [picture for picture in known if min(picture.size) >= side]
    if not kept:
        largest = max(min(picture.size) for picture in known)
        raise InputError(f"no picture has {side} pixels on each side, the best {largest}; lower degrade.size")
    if len(kept) < len(known):
        left_out = len(known) - len(kept)
        logger.warning("%d of %d pictures left out: below %d pixels", left_out, len(known), side)
    return kept


def sized(picture: Picture) -> Picture:
    """The picture with its size, read from its header.

    Raises:
        InputError: it cannot be opened, or is larger than `vsr.media.files.opening.MAX_PIXELS`.
    """
    return replace(picture, size=header_size(picture.path))


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


def held_out_files(folder: Path) -> frozenset[str] | None:
    """The names that a folder's `HOLDOUT` lists; None where it has none.

    Raises:
        InputError: it cannot be read, or has no column `file`.
    """
    rows = _table(folder / HOLDOUT)
    if rows is None:
        return None
    if not all("file" in row for row in rows):
        raise InputError(f"{shown(folder / HOLDOUT)}: needs the column file")
    return frozenset(row["file"] for row in rows)


def split_by_name(
    pictures: Sequence[Picture], names: frozenset[str], folder: Path
) -> tuple[list[Picture], list[Picture]]:
    """Part the pictures to train on from those held out: the photographs of files named, with all tiles.

    Raises:
        InputError: nothing is left on one of the sides.
    """
    out = {picture.photograph for picture in pictures if picture.path.name in names}
    halves = (
        [picture for picture in pictures if picture.photograph not in out],
        [picture for picture in pictures if picture.photograph in out],
    )
    if not all(halves):
        what = "all pictures" if halves[1] else "no picture that is there"
        raise InputError(f"{shown(folder / HOLDOUT)}: names {what}; name some, not all, or remove it")
    return halves
