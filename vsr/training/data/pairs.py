"""Pairs of LR and HR: two folders of pictures with the same names, or two videos, picture by picture.

The crops of both are aligned: an HR crop begins at `scale` times the place where the LR crop begins.
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
from vsr.training.data.drawing import Geometry, Material, Sample, cut_pan, draw_pan
from vsr.training.data.image_folder import Picture, Quarantine, find_pictures, licences, split
from vsr.training.data.images import read_image
from vsr.training.data.pair_match import misfits, reduced
from vsr.training.data.video import FrameCache
from vsr.training.data.video_pairs import mismatch, open_video_pairs

logger = logging.getLogger(__name__)

_THREADS = 4
"""That decode pairs at once, before the first step."""


def find_pair(folder: Path) -> tuple[Path, Path] | None:
    """The HR and LR of a folder, if it holds two folders, or two files, called HR and LR in any case."""
    found = {path.stem.lower() if path.is_file() else path.name.lower(): path for path in folder.iterdir()}
    return (found["hr"], found["lr"]) if {"hr", "lr"} <= found.keys() else None


def open_pairs(
    hr: Path, lr: Path, geometry: Geometry, holdout: int, *, cache: FrameCache | None = None
) -> tuple[Material, Material]:
    """Open pairs to train on, and those held out.

    Args:
        hr: Folder of pictures, or a video.
        lr: The same, `geometry.scale` times smaller.
        geometry: Of the clips; pictures below its `size` give smaller clips, down to its `least`.
        holdout: One in so many photographs is held out, or the last part of the videos.
        cache: For decoded pictures; None makes one.

    Raises:
        InputError: names, sizes, or numbers of pictures do not match, or something cannot be read.
    """
    if hr.is_dir() != lr.is_dir():
        raise InputError(f"{shown(hr)} and {shown(lr)}: one is a folder, the other is not")
    if hr.is_dir():
        return _open_folders(hr, lr, geometry, holdout)
    return open_video_pairs(hr, lr, geometry, holdout, cache or FrameCache())


@dataclass(frozen=True, slots=True)
class Pair:
    """A photograph in both sizes."""

    hr: Picture
    lr: Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePairs:
    """Pans over paired pictures; a `Material`."""

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


def _open_folders(hr: Path, lr: Path, geometry: Geometry, holdout: int) -> tuple[Material, Material]:
    large, small = find_pictures(hr), {picture.path.stem: picture for picture in find_pictures(lr)}
    _check_names(hr, lr, [picture.path.stem for picture in large], list(small))
    quarantine = Quarantine(len(large))
    looked_at = _look_at([Pair(picture, small[picture.path.stem]) for picture in large], quarantine)
    for pair, _ in looked_at:
        _check_sizes(pair, geometry.scale)
    pairs = {pair.hr.path: pair for pair in _fitting(looked_at, quarantine)}
    kept = [pair.hr for pair in pairs.values() if min(_window(pair.hr.size, geometry)) >= geometry.least]
    if not kept:
        raise InputError(
            f"{shown(hr)}: no picture has {geometry.least} pixels on each side; give larger ones"
        )
    if len(kept) < len(pairs):
        left_out = len(pairs) - len(kept)
        logger.warning("%d of %d pairs left out: below %d pixels", left_out, len(pairs), geometry.least)
    known, held_out = (
        PicturePairs(
            name=f"{shown(hr)} with {shown(lr.name)} ({len(half)} pairs)",
            licences=licences(hr),
            pairs=tuple(pairs[picture.path] for picture in half),
            geometry=geometry,
            quarantine=quarantine,
        )
        for half in split(kept, holdout)
    )
    return known, held_out


Reduced = tuple[torch.Tensor, torch.Tensor]
"""HR and LR, see `match.reduced`."""


def _look_at(pairs: Sequence[Pair], quarantine: Quarantine) -> list[tuple[Pair, Reduced]]:
    """Decode all pairs once: their sizes as they are shown, and both pictures reduced."""

    def look(pair: Pair) -> tuple[Pair, Reduced] | InputError:
        try:
            hr, lr = read_image(pair.hr.path), read_image(pair.lr.path)
        except InputError as error:
            return error
        return Pair(_shown_as(pair.hr, hr), _shown_as(pair.lr, lr)), (reduced(hr), reduced(lr))

    found = []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        for pair, one in zip(pairs, threads.map(look, pairs), strict=True):
            if isinstance(one, InputError):
                quarantine.add(pair.hr.path, one)
            else:
                found.append(one)
    return found


def _shown_as(picture: Picture, image: torch.Tensor) -> Picture:
    return replace(picture, size=(image.shape[1], image.shape[2]))


def _fitting(looked_at: Sequence[tuple[Pair, Reduced]], quarantine: Quarantine) -> list[Pair]:
    """The pairs but for those that show different pictures.

    Raises:
        InputError: these are more than one, and more than `data.MAX_UNREADABLE` of all.
    """
    unfit = {misfit.position: misfit for misfit in misfits(both for _, both in looked_at)}
    for position, misfit in unfit.items():
        pair = looked_at[position][0]
        other = None if misfit.of is None else looked_at[misfit.of][0].hr.path.name
        quarantine.add(pair.hr.path, _unlike(pair, other, turned=misfit.turned))
    return [pair for position, (pair, _) in enumerate(looked_at) if position not in unfit]


def _unlike(pair: Pair, other: str | None, *, turned: bool) -> InputError:
    what = f", but {shown(other)}" if other else ", unless it is turned or mirrored" if turned else ""
    return InputError(
        f"{shown(pair.lr.path)}: does not show what {shown(pair.hr.path)} shows{what}; "
        "give pictures that fit, or remove both"
    )


def _check_names(hr: Path, lr: Path, large: Sequence[str], small: Sequence[str]) -> None:
    alone = sorted(set(large) ^ set(small))
    if alone:
        where = (hr, lr) if alone[0] in large else (lr, hr)
        raise InputError(
            f"{shown(where[0])}: {shown(alone[0])} has no partner in {shown(where[1])} "
            f"({len(alone)} names are in one folder only); both need the same names"
        )


def _check_sizes(pair: Pair, scale: int) -> None:
    (height, width), (lr_height, lr_width) = pair.hr.size, pair.lr.size
    if (height, width) != (lr_height * scale, lr_width * scale):
        raise mismatch(pair.hr.path, pair.lr.path, (width, height), (lr_width, lr_height), scale)
