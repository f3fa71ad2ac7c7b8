"""Pairs of LR and HR: two folders of pictures with the same names, or two videos, picture by picture.

The crops of both are aligned: an HR crop begins at `scale` times the place where the LR crop begins.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.opening import shown
from vsr.train.data import Picture, Quarantine, find_pictures, licences, read_image, sized, split
from vsr.train.drawing import Geometry, Material, Sample, cut_pan, draw_pan
from vsr.train.footage import GRID, Runs, cut, find_runs, window_of
from vsr.train.scenes import SceneIndex
from vsr.train.video import FrameCache, Video, open_video

logger = logging.getLogger(__name__)

WHOLE = 1 << 62
"""Pictures looked at of paired videos: all, for their numbers must mean the same in both."""


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
    return _open_videos(hr, lr, geometry, holdout, cache or FrameCache())


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
    pairs = {}
    for picture in large:
        pair = _sized_pair(Pair(picture, small[picture.path.stem]), quarantine)
        if pair is not None:
            _check_sizes(pair, geometry.scale)
            pairs[pair.hr.path] = pair
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


def _sized_pair(pair: Pair, quarantine: Quarantine) -> Pair | None:
    try:
        return Pair(sized(pair.hr), sized(pair.lr))
    except InputError as error:
        quarantine.add(pair.hr.path, error)
        return None


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
        raise _mismatch(pair.hr.path, pair.lr.path, (width, height), (lr_width, lr_height), scale)


def _mismatch(
    hr: str | Path, lr: str | Path, large: tuple[int, int], small: tuple[int, int], scale: int
) -> InputError:
    return InputError(
        f"{shown(hr)} has {large[0]}x{large[1]} and {shown(lr)} {small[0]}x{small[1]} pixels; "
        f"scale {scale} needs {small[0] * scale}x{small[1] * scale}. Cut or scale one of them"
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoPairs:
    """Clips of two videos that show the same pictures; a `Material`."""

    name: str
    hr: Video
    lr: Video
    runs: Runs
    geometry: Geometry
    window: tuple[int, int]
    licences: str = ""

    @property
    def pixels(self) -> int:
        clips = max(1, len(self.runs.starts) // self.geometry.frames)
        return clips * self.hr.info.height * self.hr.info.width

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({""})

    def draw(self, rng: random.Random) -> Sample:
        first, scale = self.runs.draw(rng), self.geometry.scale
        height, width = (side // scale for side in self.window)
        info = self.lr.info
        corner = (
            GRID * rng.randint(0, (info.height - height) // GRID),
            GRID * rng.randint(0, (info.width - width) // GRID),
        )
        return Sample(
            hr=self._clip(self.hr, first, (corner[0] * scale, corner[1] * scale), self.window),
            lr=self._clip(self.lr, first, corner, (height, width)),
        )

    def _clip(self, video: Video, first: int, corner: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
        frames = video.frames(first, self.geometry.frames)
        return torch.stack([cut(frame, video.info, corner, size, 1) for frame in frames])


def _open_videos(
    hr: Path, lr: Path, geometry: Geometry, holdout: int, cache: FrameCache
) -> tuple[Material, Material]:
    large, small = (open_video(path, cache, most=WHOLE) for path in (hr, lr))
    _check_videos(large, small, geometry.scale)
    total = len(large.index)
    begin = total - max(geometry.frames, total // holdout)
    parts = [(0, max(0, begin - geometry.frames)), (begin, total)]
    known, held_out = (_pairs_of(large, small, geometry, *part) for part in parts)
    return known, held_out


def _check_videos(hr: Video, lr: Video, scale: int) -> None:
    large, small = hr.info, lr.info
    if (large.height, large.width) != (small.height * scale, small.width * scale):
        raise _mismatch(large.path, small.path, _size(large), _size(small), scale)
    both = f"{shown(large.path)} and {shown(small.path)}"
    if len(hr.index) != len(lr.index):
        counts = f"{len(hr.index)} and {len(lr.index)} pictures"
        raise InputError(f"{both}: have {counts}; pairs need the same number. Make one from the other")
    if hr.index.refused or lr.index.refused:
        raise InputError(f"{both}: are damaged, so pictures are missing; pairs need every picture")


def _size(info: VideoInfo) -> tuple[int, int]:
    return info.width, info.height


def _pairs_of(hr: Video, lr: Video, geometry: Geometry, first: int, last: int) -> VideoPairs:
    window = window_of(hr.info, geometry, 1)
    runs = find_runs(_usable_in_both(hr.index, lr.index), first, last, geometry.frames)
    if not len(runs.starts):
        raise InputError(
            f"{shown(hr.info.path)}: pictures {first} to {last - 1} hold no {geometry.frames} in a row in "
            "one scene, intact in both videos. Give longer videos, or lower degrade.frames"
        )
    name = f"{shown(Path(hr.info.path).name)} with {shown(Path(lr.info.path).name)} ({first} to {last - 1})"
    return VideoPairs(name=name, hr=hr, lr=lr, runs=runs, geometry=geometry, window=window)


def _usable_in_both(hr: SceneIndex, lr: SceneIndex) -> SceneIndex:
    """HR's index, with what is not usable in LR left out."""
    return replace(hr, usable=hr.usable & lr.usable)
