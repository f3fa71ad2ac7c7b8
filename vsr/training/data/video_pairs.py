"""Pairs of LR and HR as two videos: the same number of pictures, each the same as the other's."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.files.opening import shown
from vsr.training.data.drawing import Geometry, Material, Sample
from vsr.training.data.footage import GRID, Runs, cut, find_runs, window_of
from vsr.training.data.image_folder import MAX_UNREADABLE
from vsr.training.data.pair_match import SIDE, Misfit, misfits
from vsr.training.data.scenes import SceneIndex, pictures_from
from vsr.training.data.video import FrameCache, Video, open_video

logger = logging.getLogger(__name__)

WHOLE = 1 << 62
"""Pictures looked at: all, for their numbers must mean the same in both."""
_REACH = 3
"""Pictures on each side that one is compared with."""
_ALIKE = 0.8
"""Share of the pictures that do not fit which lie as far off as each other, where a video is late."""


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


def open_video_pairs(
    hr: Path, lr: Path, geometry: Geometry, holdout: int, cache: FrameCache
) -> tuple[Material, Material]:
    """Open two videos that show the same pictures, parted by time; see `pairs.open_pairs`."""
    large, small = (open_video(path, cache, most=WHOLE) for path in (hr, lr))
    _check_videos(large, small, geometry.scale)
    small = _left_unfit(large, small)
    total = len(large.index)
    begin = total - max(geometry.frames, total // holdout)
    parts = [(0, max(0, begin - geometry.frames)), (begin, total)]
    known, held_out = (_pairs_of(large, small, geometry, *part) for part in parts)
    return known, held_out


def _check_videos(hr: Video, lr: Video, scale: int) -> None:
    large, small = hr.info, lr.info
    if (large.height, large.width) != (small.height * scale, small.width * scale):
        raise mismatch(large.path, small.path, _size(large), _size(small), scale)
    both = f"{shown(large.path)} and {shown(small.path)}"
    if len(hr.index) != len(lr.index):
        counts = f"{len(hr.index)} and {len(lr.index)} pictures"
        raise InputError(f"{both}: have {counts}; pairs need the same number. Make one from the other")
    if hr.index.refused or lr.index.refused:
        raise InputError(f"{both}: are damaged, so pictures are missing; pairs need every picture")


def _left_unfit(hr: Video, lr: Video) -> Video:
    """Compare every LR picture with its own HR picture and with those around it.

    Returns:
        `lr`, in which a few pictures that do not fit count as unusable.

    Raises:
        InputError: LR is some pictures late or early from somewhere on, or many pictures do not fit.
    """
    found = list(misfits(zip(_reduced(hr), _reduced(lr), strict=False), reach=_REACH))
    if not found:
        return lr
    alike = _alike(found)
    late = alike[0].of is not None and len(alike) >= _ALIKE * len(found)
    if len(found) > 1 and (late or len(found) > MAX_UNREADABLE * len(lr.index)):
        raise InputError(_unlike(hr, lr, alike[0], more=len(found) - 1))
    logger.warning("%s: %d pictures left out: they show others than HR", shown(lr.info.path), len(found))
    usable = lr.index.usable.copy()
    usable[[misfit.position for misfit in found]] = False
    return replace(lr, index=replace(lr.index, usable=usable))


def _reduced(video: Video) -> Iterator[torch.Tensor]:
    """Every picture of a video as `match.reduced` has it, by swscale: in seconds, not minutes."""
    for frame in pictures_from(video.info, None, []):
        # One thread: see `vsr.media.pixels.planes.repacked`.
        small = frame.reformat(width=SIDE, height=SIDE, format="gray", interpolation="AREA", threads=1)
        yield torch.from_numpy(small.to_ndarray()).float()


def _alike(found: Sequence[Misfit]) -> list[Misfit]:
    """Those that are as far off as most are."""

    def off(misfit: Misfit) -> int | None:
        return None if misfit.of is None else misfit.of - misfit.position

    ((most, _),) = Counter(map(off, found)).most_common(1)
    return [misfit for misfit in found if off(misfit) == most]


def _unlike(hr: Video, lr: Video, first: Misfit, *, more: int) -> str:
    both = f"{shown(hr.info.path)} and {shown(lr.info.path)}"
    if first.of is not None:
        told = f"picture {first.position} of the second shows picture {first.of} of the first"
    else:
        what = "its own turned or mirrored" if first.turned else "another one"
        told = f"picture {first.position} of the second shows {what}"
    return f"{both}: {told}, and {more} more do not fit; give videos that show the same, picture by picture"


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


def mismatch(
    hr: str | Path, lr: str | Path, large: tuple[int, int], small: tuple[int, int], scale: int
) -> InputError:
    """What is said of sizes that do not fit; width and height."""
    return InputError(
        f"{shown(hr)} has {large[0]}x{large[1]} and {shown(lr)} {small[0]}x{small[1]} pixels; "
        f"scale {scale} needs {small[0] * scale}x{small[1] * scale}. Cut or scale one of them"
    )
