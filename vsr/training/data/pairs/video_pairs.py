"""Pairs of LR and HR as two videos with the same number of frames and the same content in each."""

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
from vsr.training.data.drawing import Dataset, Geometry, Sample
from vsr.training.data.footage import GRID, Runs, cut, find_runs, window_of
from vsr.training.data.image_folder import MAX_UNREADABLE
from vsr.training.data.pairs.pair_match import SIDE, Mismatch, find_mismatches
from vsr.training.data.scenes import SceneIndex, frames_from
from vsr.training.data.video import FrameCache, Video, open_video

logger = logging.getLogger(__name__)

WHOLE = 1 << 62
"""Largest number of frames to analyse: all, because a position must mean the same frame in both videos."""
_REACH = 3
"""Number of frames on each side that a frame is compared with."""
_ALIKE = 0.8
"""Fraction of the frames that do not match which must have the same
offset for a video to count as delayed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoPairs:
    """Clips of two videos with the same content; implements `Dataset`."""

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
) -> tuple[Dataset, Dataset]:
    """Open two videos with the same content, split by time; see `pairs.open_pairs`."""
    large, small = (open_video(path, cache, max_frames=WHOLE) for path in (hr, lr))
    _check_videos(large, small, geometry.scale)
    small = _without_mismatches(large, small)
    total = len(large.index)
    begin = total - max(geometry.frames, total // holdout)
    parts = [(0, max(0, begin - geometry.frames)), (begin, total)]
    known, held_out = (_pairs_of(large, small, geometry, *part) for part in parts)
    return known, held_out


def _check_videos(hr: Video, lr: Video, scale: int) -> None:
    large, small = hr.info, lr.info
    if (large.height, large.width) != (small.height * scale, small.width * scale):
        raise size_mismatch(large.path, small.path, _size(large), _size(small), scale)
    both = f"{shown(large.path)} and {shown(small.path)}"
    if len(hr.index) != len(lr.index):
        counts = f"{len(hr.index)} and {len(lr.index)} frames"
        raise InputError(
            f"{both} have {counts}, but pairs must have the same number. Make one from the other"
        )
    if hr.index.refused or lr.index.refused:
        raise InputError(f"{both} are damaged, so frames are missing. Pairs require every frame")


def _without_mismatches(hr: Video, lr: Video) -> Video:
    """Compare every LR frame with its own HR frame and with the neighbours of that frame.

    Returns:
        `lr`, in which the few frames that do not match are marked as unusable.

    Raises:
        InputError: LR is offset by some frames from a position on, or many frames do not match.
    """
    found = list(find_mismatches(zip(_reduced_frames(hr), _reduced_frames(lr), strict=False), reach=_REACH))
    if not found:
        return lr
    alike = _alike(found)
    delayed = alike[0].of is not None and len(alike) >= _ALIKE * len(found)
    if len(found) > 1 and (delayed or len(found) > MAX_UNREADABLE * len(lr.index)):
        raise InputError(_mismatch_message(hr, lr, alike[0], more=len(found) - 1))
    logger.warning(
        "%s: %d frames skipped: they do not show the content of HR", shown(lr.info.path), len(found)
    )
    usable = lr.index.usable.copy()
    usable[[mismatch.position for mismatch in found]] = False
    return replace(lr, index=replace(lr.index, usable=usable))


def _reduced_frames(video: Video) -> Iterator[torch.Tensor]:
    """Yield every frame of a video reduced as by `pair_match.reduced`,
    but with swscale, which is much faster."""
    for frame in frames_from(video.info, None, []):
        # See `vsr.media.pixels.planes.repacked` for the single thread.
        small = frame.reformat(width=SIDE, height=SIDE, format="gray", interpolation="AREA", threads=1)
        yield torch.from_numpy(small.to_ndarray()).float()


def _alike(found: Sequence[Mismatch]) -> list[Mismatch]:
    """Return the mismatches with the most common offset."""

    def off(mismatch: Mismatch) -> int | None:
        return None if mismatch.of is None else mismatch.of - mismatch.position

    ((max_frames, _),) = Counter(map(off, found)).most_common(1)
    return [mismatch for mismatch in found if off(mismatch) == max_frames]


def _mismatch_message(hr: Video, lr: Video, first: Mismatch, *, more: int) -> str:
    both = f"{shown(hr.info.path)} and {shown(lr.info.path)}"
    if first.of is not None:
        found = f"frame {first.position} of the second shows frame {first.of} of the first"
    else:
        what = "its own frame rotated or mirrored" if first.turned else "other content"
        found = f"frame {first.position} of the second shows {what}"
    return f"{both}: {found}, and {more} more do not match. Give videos with the same content in every frame"


def _size(info: VideoInfo) -> tuple[int, int]:
    return info.width, info.height


def _pairs_of(hr: Video, lr: Video, geometry: Geometry, first: int, last: int) -> VideoPairs:
    window = window_of(hr.info, geometry, 1)
    runs = find_runs(_usable_in_both(hr.index, lr.index), first, last, geometry.frames)
    if not len(runs.starts):
        raise InputError(
            f"{shown(hr.info.path)}: frames {first} to {last - 1} contain no {geometry.frames} consecutive "
            "frames of one scene that are intact in both videos. Give longer videos, or lower degrade.frames"
        )
    name = f"{shown(Path(hr.info.path).name)} with {shown(Path(lr.info.path).name)} ({first} to {last - 1})"
    return VideoPairs(name=name, hr=hr, lr=lr, runs=runs, geometry=geometry, window=window)


def _usable_in_both(hr: SceneIndex, lr: SceneIndex) -> SceneIndex:
    """Return HR's index, in which frames that are not usable in LR are not usable either."""
    return replace(hr, usable=hr.usable & lr.usable)


def size_mismatch(
    hr: str | Path, lr: str | Path, large: tuple[int, int], small: tuple[int, int], scale: int
) -> InputError:
    """Return the error for sizes that do not match; `large` and `small` are width and height."""
    return InputError(
        f"{shown(hr)} has {large[0]}x{large[1]} and {shown(lr)} {small[0]}x{small[1]} pixels, but "
        f"scale {scale} requires {small[0] * scale}x{small[1] * scale}. Crop or scale one of them"
    )
