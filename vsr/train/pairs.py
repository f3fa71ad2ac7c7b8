"""Pairs of LR and HR: two folders of pictures with the same names, or two videos, picture by picture.

The crops of both are aligned: an HR crop begins at `scale` times the place where the LR crop begins.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from av import VideoFrame

from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.opening import shown
from vsr.train.data import Picture, Quarantine, find_pictures, licences, split
from vsr.train.drawing import Geometry, Material, Sample, cut_pan, draw_pan
from vsr.train.footage import GRID, Runs, cut, find_runs, window_of
from vsr.train.images import read_image
from vsr.train.match import Misfit, misfits, reduced
from vsr.train.scenes import SceneIndex
from vsr.train.video import FrameCache, Video, open_video

logger = logging.getLogger(__name__)

_THREADS = 4
"""That decode pairs at once, before the first step."""
_PLACES, _REACH = 48, 3
"""Places of two videos that are compared, and how many pictures on each side of them."""
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
    _check_same_pictures(large, small)
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


def _check_same_pictures(hr: Video, lr: Video) -> None:
    """Compare both videos at places that move, each LR picture with HR pictures around it.

    Raises:
        InputError: at more than one place, LR shows another picture than HR.
    """
    found = [misfit for first in _places(hr.index) for misfit in _misfit_at(hr, lr, first)]
    if len(found) < 2:
        return
    both, first = f"{shown(hr.info.path)} and {shown(lr.info.path)}", found[0]
    if first.of is None:
        what = "turned or mirrored" if first.turned else "another picture"
        told = f"at picture {first.position} the second shows {what}"
    else:
        told = f"picture {first.position} of the second shows picture {first.of} of the first"
    raise InputError(
        f"{both}: {told}, and so at {len(found)} of {_PLACES} places at most; give videos that show the same"
    )


def _places(index: SceneIndex) -> list[int]:
    """Where runs of pictures begin that are compared: all over the video, each where most moves nearby."""
    length = 2 * _REACH + 1
    runs = find_runs(index, 0, len(index), length).starts
    parts = np.array_split(runs, min(_PLACES, len(runs))) if len(runs) else []
    return [int(part[np.argmax(index.motion[part + _REACH])]) for part in parts]


def _misfit_at(hr: Video, lr: Video, first: int) -> Iterator[Misfit]:
    """Of the picture in the middle of a run, with its position in the videos."""
    large, small = (
        [reduced(_whole(frame, video.info)) for frame in video.frames(first, 2 * _REACH + 1)]
        for video in (hr, lr)
    )
    for misfit in misfits(zip(large, small, strict=True), reach=_REACH):
        if misfit.position == _REACH:
            of = None if misfit.of is None else first + misfit.of
            yield Misfit(first + _REACH, of, misfit.turned)


def _whole(frame: VideoFrame, info: VideoInfo) -> torch.Tensor:
    return cut(frame, info, (0, 0), (info.height, info.width), 1)


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
