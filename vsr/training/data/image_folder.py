"""The photographs of a training folder: finds and sizes them, splits them, and draws clips from them.

An image that cannot be decoded is skipped with a warning. If there are many, the folder is rejected.
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
from vsr.media.pictures.file import read_size
from vsr.media.pictures.kinds import UnsupportedPictureError
from vsr.training.data.augmentation import augmented
from vsr.training.data.drawing import Geometry, Sample, cut_pan, draw_pan
from vsr.training.data.images import SUFFIXES, read_image

logger = logging.getLogger(__name__)

SOURCES = "SOURCES.tsv"
"""Optional table in the folder; its columns `file`, `repository` and `path`
say which photograph a tile comes from."""
HOLDOUT = "HOLDOUT.tsv"
"""Optional table in the folder; its column `file` lists the images to
hold out, instead of one in `holdout`."""
_UNREAD = """
heic heif jxl jp2 j2k tga exr hdr psd dng cr2 cr3 nef arw orf raf rw2 svg ico pbm pgm ppm pnm pam qoi
"""
_UNREAD_SUFFIXES = frozenset(f".{name}" for name in _UNREAD.split())
"""Suffixes of image formats that are not supported."""
MAX_UNREADABLE = 0.01
"""Largest fraction of a folder's images that may be unreadable; a single one is always allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image file, and the photograph that it shows a part of."""

    path: Path
    photograph: str
    kind: str = "photo"
    """Kind of content as the folder's table names it."""
    size: tuple[int, int] = (0, 0)
    """Height and width in pixels; zeros if they are not known yet."""


class Quarantine:
    """The unreadable images of a folder: each is reported in one warning and skipped."""

    def __init__(self, total: int) -> None:
        """Create an empty set for a folder of `total` images."""
        self._total = total
        self._errors: dict[Path, InputError] = {}

    def __len__(self) -> int:
        return len(self._errors)

    def __contains__(self, path: Path) -> bool:
        return path in self._errors

    def check(self, paths: Iterable[Path]) -> None:
        """Raise InputError if all these images are unreadable, so none can be drawn."""
        if all(path in self._errors for path in paths):
            first = next(iter(self._errors.values()))
            raise InputError(f"no readable image is left. {first}") from first

    def add(self, path: Path, error: InputError) -> None:
        """Skip an image. An image of an unsupported format is no sign of damage and does not count.

        Raises:
            InputError: More than one image, and more than
                `MAX_UNREADABLE` of the folder, or all of them, failed.
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
                f"{bad} of {self._total} images are unreadable or do not match ({limit}). {error}"
            ) from error
        logger.warning("skipped (%d of %d so far): %s", len(self._errors), self._total, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Pans over the photographs of a folder; implements `Dataset`."""

    name: str
    licences: str
    image_files: tuple[ImageFile, ...]
    geometry: Geometry
    quarantine: Quarantine = field(repr=False)

    @property
    def pixels(self) -> int:
        return sum(height * width for height, width in (image_file.size for image_file in self.image_files))

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(image_file.kind for image_file in self.image_files)

    def draw(self, rng: random.Random) -> Sample:
        shape = self.geometry
        image_file, image = self._read(rng)
        if shape.vary is not None and rng.random() < shape.vary.probability:
            side = shape.size + shape.speed * (shape.frames - 1)
            image = augmented(image, shape.vary, side=min(side, *image.shape[1:]), rng=rng)
        room = [side - shape.size for side in image.shape[1:]]
        pan = draw_pan(room, shape.frames, shape.speed, rng)
        hr = cut_pan(image, pan, (shape.size, shape.size), shape.frames)
        return Sample(hr=hr, shift=pan.step, kind=image_file.kind)

    def _read(self, rng: random.Random) -> tuple[ImageFile, Tensor]:
        """Draw until an image can be read. Unreadable ones use the same random values in every run."""
        while True:
            image_file = rng.choice(self.image_files)
            if image_file.path in self.quarantine:
                self.quarantine.check(image_file.path for image_file in self.image_files)
                continue
            try:
                return image_file, read_image(image_file.path)
            except InputError as error:
                self.quarantine.add(image_file.path, error)


def open_photographs(folder: Path, geometry: Geometry, holdout: int) -> tuple[Photographs, Photographs]:
    """Open the photographs of a folder, as a training and a held-out part.

    The table `HOLDOUT` lists the held-out files; without it, one photograph in `holdout` is held out.

    Raises:
        InputError: The folder has no image, too many unreadable ones, or none
            that is large enough, or one part is empty.
    """
    found = find_images(folder)
    quarantine = Quarantine(len(found))
    usable = large_enough(found, geometry.size, quarantine)
    named = held_out_files(folder)
    halves = split(usable, holdout) if named is None else split_by_name(usable, named, folder)
    known, held_out = (
        Photographs(
            name=f"{shown(folder.name)} ({len(half)} images)",
            licences=licences(folder),
            image_files=tuple(half),
            geometry=shape,
            quarantine=quarantine,
        )
        for half, shape in zip(halves, (geometry, replace(geometry, vary=None)), strict=True)
    )
    return known, held_out


def find_images(folder: Path) -> list[ImageFile]:
    """List the images of a folder, sorted by name.

    Raises:
        InputError: The folder does not exist or contains no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give a folder of images to `data`")
    table = _sources(folder)
    files = sorted(folder.iterdir())
    paths = [path for path in files if path.suffix.lower() in SUFFIXES and is_visible_file(path)]
    _name_left_out(folder, [path for path in files if path not in set(paths)])
    if not paths:
        raise InputError(f"{folder} contains no image ({', '.join(sorted(SUFFIXES))})")
    return [
        ImageFile(path=path, photograph=_photograph(table, path), kind=_kind(table, path)) for path in paths
    ]


def is_visible_file(path: Path) -> bool:
    """Return whether a path is a file and not hidden: some systems store
    hidden files beside images (`._a.jpg`)."""
    return path.is_file() and not path.name.startswith(".")


def _name_left_out(folder: Path, files: Sequence[Path]) -> None:
    """Log one warning that names the files with the suffix of an image that are not read."""
    names = [shown(path.name) for path in files if path.suffix.lower() in SUFFIXES | _UNREAD_SUFFIXES]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        logger.warning(
            "%s: skipped: %s%s (hidden, not a file, or of an unsupported format; save images as PNG)",
            shown(folder),
            ", ".join(names[:3]),
            more,
        )


def licences(folder: Path) -> str:
    """Return the licences of a folder's images as its table states them; empty if it states none."""
    return "; ".join(sorted({row["licence"] for row in _sources(folder).values() if row.get("licence")}))


def _photograph(table: dict[str, dict[str, str]], path: Path) -> str:
    """Return the photograph that the table names for a tile; without
    an entry, a file is its own photograph."""
    row = table.get(path.name)
    return f"{row['repository']}:{row['path']}" if row else path.stem


def _kind(table: dict[str, dict[str, str]], path: Path) -> str:
    return table.get(path.name, {}).get("kind") or "photo"


def _sources(folder: Path) -> dict[str, dict[str, str]]:
    """Return the folder's table `SOURCES` by file name; empty without the file."""
    path = folder / SOURCES
    rows = _table(path) or []
    if rows and not {"file", "repository", "path"} <= rows[0].keys():
        raise InputError(f"{path} must have the columns file, repository and path")
    return {row["file"]: row for row in rows}


def _table(path: Path) -> list[dict[str, str]] | None:
    """Read the rows of a tab-separated table; None if the file does not exist."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error})") from error


def large_enough(
    image_files: Sequence[ImageFile], side: int, quarantine: Quarantine | None = None
) -> list[ImageFile]:
    """Keep the images whose sides are at least `side` pixels; one warning counts the others.

    Args:
        image_files: The images; only their headers are read.
        side: Smallest side in pixels.
        quarantine: Records the images that cannot be opened; None creates one for this call.

    Returns:
        The images that are large enough, with their sizes.

    Raises:
        InputError: Too many cannot be opened, or none is large enough.
    """
    quarantine = Quarantine(len(image_files)) if quarantine is None else quarantine
    known = []
    for image_file in image_files:
        try:
            known.append(sized(image_file))
        except InputError as error:
            quarantine.add(image_file.path, error)
    kept = [image_file for image_file in known if min(image_file.size) >= side]
    if not kept:
        largest = max(min(image_file.size) for image_file in known)
        raise InputError(
            f"no image has {side} pixels on each side, the best has {largest}. Lower degrade.size"
        )
    if len(kept) < len(known):
        left_out = len(known) - len(kept)
        logger.warning("%d of %d images skipped: a side is below %d pixels", left_out, len(known), side)
    return kept


def sized(image_file: ImageFile) -> ImageFile:
    """Return the image with its size, read from its header.

    Raises:
        InputError: It cannot be opened, or is larger than `vsr.media.files.opening.MAX_PIXELS`.
    """
    width, height = read_size(image_file.path)
    return replace(image_file, size=(height, width))


def split(image_files: Sequence[ImageFile], one_in: int) -> tuple[list[ImageFile], list[ImageFile]]:
    """Split images into a training and a held-out part: every `one_in`-th
    photograph is held out with all its tiles.

    Raises:
        InputError: There are fewer than two photographs.
    """
    photographs = sorted({image_file.photograph for image_file in image_files})
    if len(photographs) < 2:
        raise InputError(
            "there is only one photograph. Training requires another one to hold out for validation"
        )
    out = set(photographs[one_in // 2 % len(photographs) :: one_in])
    return (
        [image_file for image_file in image_files if image_file.photograph not in out],
        [image_file for image_file in image_files if image_file.photograph in out],
    )


def held_out_files(folder: Path) -> frozenset[str] | None:
    """Return the file names in a folder's table `HOLDOUT`; None if it has no such table.

    Raises:
        InputError: The table cannot be read, or has no column `file`.
    """
    rows = _table(folder / HOLDOUT)
    if rows is None:
        return None
    if not all("file" in row for row in rows):
        raise InputError(f"{shown(folder / HOLDOUT)} must have the column file")
    return frozenset(row["file"] for row in rows)


def split_by_name(
    image_files: Sequence[ImageFile], names: frozenset[str], folder: Path
) -> tuple[list[ImageFile], list[ImageFile]]:
    """Split images into a training and a held-out part: the photographs
    of the named files with all their tiles.

    Raises:
        InputError: One part is empty.
    """
    out = {image_file.photograph for image_file in image_files if image_file.path.name in names}
    halves = (
        [image_file for image_file in image_files if image_file.photograph not in out],
        [image_file for image_file in image_files if image_file.photograph in out],
    )
    if not all(halves):
        what = "all images" if halves[1] else "no existing image"
        raise InputError(f"{shown(folder / HOLDOUT)} lists {what}. List some but not all, or remove the file")
    return halves
