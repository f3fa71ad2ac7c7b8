"""Pairs of LR and HR: two folders of images with the same names, or two videos with the same frames.

The crops of a pair are aligned: the HR crop begins at `scale` times the position of the LR crop.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.training.data.drawing import Dataset, Geometry, Sample, cut_pan, draw_pan
from vsr.training.data.image_folder import ImageFile, Quarantine, find_images, licences, split
from vsr.training.data.images import read_image
from vsr.training.data.pairs.pair_match import are_swapped, find_mismatches, reduced
from vsr.training.data.pairs.video_pairs import open_video_pairs, size_mismatch
from vsr.training.data.video import FrameCache

logger = logging.getLogger(__name__)

_THREADS = 4
"""Threads that decode pairs before the first step."""


def find_pair(folder: Path) -> tuple[Path, Path] | None:
    """Return HR and LR of a folder if it contains two folders, or two files, named HR and LR in any case."""
    found = {path.stem.lower() if path.is_file() else path.name.lower(): path for path in folder.iterdir()}
    return (found["hr"], found["lr"]) if {"hr", "lr"} <= found.keys() else None


def open_pairs(
    hr: Path, lr: Path, geometry: Geometry, holdout: int, *, cache: FrameCache | None = None
) -> tuple[Dataset, Dataset]:
    """Open pairs, as a training and a held-out part.

    Args:
        hr: Folder of images, or a video.
        lr: The same, `geometry.scale` times smaller.
        geometry: Shape of the clips; images below its `size` give smaller clips, down to its `least`.
        holdout: One in this many photographs is held out, or the last part of the videos.
        cache: Cache of decoded frames; None creates one.

    Raises:
        InputError: Names, sizes, or frame counts do not match, or something cannot be read.
    """
    if hr.is_dir() != lr.is_dir():
        raise InputError(f"{shown(hr)} and {shown(lr)} must both be folders or both be videos")
    if hr.is_dir():
        return _open_folders(hr, lr, geometry, holdout)
    return open_video_pairs(hr, lr, geometry, holdout, cache or FrameCache())


@dataclass(frozen=True, slots=True)
class Pair:
    """The image files of a photograph in HR and in LR."""

    hr: ImageFile
    lr: ImageFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePairs:
    """Pans over pairs of images; implements `Dataset`."""

    name: str
    licences: str
    pairs: tuple[Pair, ...]
    geometry: Geometry
    quarantine: Quarantine = field(repr=False)

    @property
    def pixels(self) -> int:
        return sum(height * width for height, width in (pair.hr.size for pair in self.pairs))

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({""})

    def draw(self, rng: random.Random) -> Sample:
        while True:
            pair = rng.choice(self.pairs)
            if pair.hr.path in self.quarantine:
                self.quarantine.check(pair.hr.path for pair in self.pairs)
                continue
            try:
                hr, lr = read_image(pair.hr.path), read_image(pair.lr.path)
            except InputError as error:
                self.quarantine.add(pair.hr.path, error)
                continue
            return self._cut(hr, lr, rng)

    def _cut(self, hr: torch.Tensor, lr: torch.Tensor, rng: random.Random) -> Sample:
        scale, frames = self.geometry.scale, self.geometry.frames
        height, width = (side // scale for side in _window(hr.shape[1:], self.geometry))
        room = (lr.shape[1] - height, lr.shape[2] - width)
        pan = draw_pan(room, frames, self.geometry.speed // scale, rng)
        large = pan.times(scale)
        return Sample(
            hr=cut_pan(hr, large, (height * scale, width * scale), frames),
            lr=cut_pan(lr, pan, (height, width), frames),
            shift=large.step,
        )


def _window(size: Sequence[int], geometry: Geometry) -> tuple[int, int]:
    height, width = (min(geometry.size, side // geometry.unit * geometry.unit) for side in size)
    return height, width


def _open_folders(hr: Path, lr: Path, geometry: Geometry, holdout: int) -> tuple[Dataset, Dataset]:
    large, small = find_images(hr), {image_file.path.stem: image_file for image_file in find_images(lr)}
    _check_names(hr, lr, [image_file.path.stem for image_file in large], list(small))
    quarantine = Quarantine(len(large))
    looked_at = _look_at([Pair(image_file, small[image_file.path.stem]) for image_file in large], quarantine)
    for pair, _ in looked_at:
        _check_sizes(pair, geometry.scale)
    pairs = {pair.hr.path: pair for pair in _fitting(looked_at, quarantine)}
    kept = [pair.hr for pair in pairs.values() if min(_window(pair.hr.size, geometry)) >= geometry.least]
    if not kept:
        raise InputError(
            f"{shown(hr)}: no image has {geometry.least} pixels on each side. Give larger images"
        )
    if len(kept) < len(pairs):
        left_out = len(pairs) - len(kept)
        logger.warning(
            "%d of %d pairs skipped: a side is below %d pixels", left_out, len(pairs), geometry.least
        )
    known, held_out = (
        ImagePairs(
            name=f"{shown(hr)} with {shown(lr.name)} ({len(half)} pairs)",
            licences=licences(hr),
            pairs=tuple(pairs[image_file.path] for image_file in half),
            geometry=geometry,
            quarantine=quarantine,
        )
        for half in split(kept, holdout)
    )
    return known, held_out


Reduced = tuple[torch.Tensor, torch.Tensor]
"""HR and LR as `pair_match.reduced` returns them."""


def _look_at(pairs: Sequence[Pair], quarantine: Quarantine) -> list[tuple[Pair, Reduced]]:
    """Decode all pairs once, and return their sizes in display orientation and both reduced images."""

    def look(pair: Pair) -> tuple[Pair, Reduced] | InputError:
        try:
            hr, lr = read_image(pair.hr.path), read_image(pair.lr.path)
        except InputError as error:
            return error
        if are_swapped(hr, lr):
            return _swapped(pair)
        return Pair(_shown_as(pair.hr, hr), _shown_as(pair.lr, lr)), (reduced(hr), reduced(lr))

    found = []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        for pair, one in zip(pairs, threads.map(look, pairs), strict=True):
            if isinstance(one, InputError):
                quarantine.add(pair.hr.path, one)
            else:
                found.append(one)
    return found


def _shown_as(image_file: ImageFile, image: torch.Tensor) -> ImageFile:
    return replace(image_file, size=(image.shape[1], image.shape[2]))


def _fitting(looked_at: Sequence[tuple[Pair, Reduced]], quarantine: Quarantine) -> list[Pair]:
    """Return the pairs that match; the others are skipped.

    Raises:
        InputError: More than one pair, and more than `image_folder.MAX_UNREADABLE` of all, do not match.
    """
    unfit = {mismatch.position: mismatch for mismatch in find_mismatches(both for _, both in looked_at)}
    for position, mismatch in unfit.items():
        pair = looked_at[position][0]
        other = None if mismatch.of is None else looked_at[mismatch.of][0].hr.path.name
        quarantine.add(pair.hr.path, _mismatch_message(pair, other, turned=mismatch.turned))
    return [pair for position, (pair, _) in enumerate(looked_at) if position not in unfit]


def _mismatch_message(pair: Pair, other: str | None, *, turned: bool) -> InputError:
    what = f" but {shown(other)}" if other else " unless it is rotated or mirrored" if turned else ""
    return InputError(
        f"{shown(pair.lr.path)} does not show the content of {shown(pair.hr.path)}{what}. "
        "Give images that match, or remove both"
    )


def _swapped(pair: Pair) -> InputError:
    names = f"{shown(pair.lr.path)} and {shown(pair.hr.path)}"
    return InputError(f"{names} show the same content with red and blue swapped. Swap them in one of both")


def _check_names(hr: Path, lr: Path, large: Sequence[str], small: Sequence[str]) -> None:
    alone = sorted(set(large) ^ set(small))
    if alone:
        where = (hr, lr) if alone[0] in large else (lr, hr)
        raise InputError(
            f"{shown(where[0])}: {shown(alone[0])} has no partner in {shown(where[1])} "
            f"({len(alone)} names are in one folder only). Both folders must have the same names"
        )


def _check_sizes(pair: Pair, scale: int) -> None:
    (height, width), (lr_height, lr_width) = pair.hr.size, pair.lr.size
    if (height, width) != (lr_height * scale, lr_width * scale):
        raise size_mismatch(pair.hr.path, pair.lr.path, (width, height), (lr_width, lr_height), scale)
