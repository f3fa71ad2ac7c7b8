"""Opens training data of any kind and splits it into a training and a held-out part.

Training never sees what is held out. Photographs are held out with all their tiles. Of
several videos in a folder, whole files are held out. A video given by name, or alone in its
folder, is split by time, with a gap between.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.training.data.drawing import Dataset, Geometry, Mixture, Sample
from vsr.training.data.footage import UnusableError, footage_of, split_by_time
from vsr.training.data.image_folder import is_visible_file, open_photographs
from vsr.training.data.images import SUFFIXES
from vsr.training.data.pairs.image_pairs import find_pair, open_pairs
from vsr.training.data.scenes import MAX_FRAMES, WINDOW
from vsr.training.data.shards import open_shards
from vsr.training.data.sources import ShardList, Source
from vsr.training.data.video import FrameCache, Video, open_video
from vsr.training.degrade.degradation import Augmentation

__all__ = ["Dataset", "Geometry", "Mixture", "Sample", "open_datasets"]

logger = logging.getLogger(__name__)

_VIDEOS = """
3g2 3gp asf avi divx f4v flv gif ivf m2ts m2v m4v mj2 mkv mov mp4 mpeg mpg mts mxf nut ogm ogv rm rmvb ts vob
webm wmv y4m 264 265 h264 h265 hevc obu
"""
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _VIDEOS.split())
"""Suffixes by which files of a folder count as videos; a video given by name can have any suffix."""

Halves = tuple[list[Dataset], list[Dataset]]
"""The training part and the held-out part."""


def open_datasets(
    paths: Sequence[Source],
    *,
    size: int,
    frames: int,
    speed: int,
    scale: int,
    holdout: int,
    downscale: float | None = None,
    vary: Augmentation | None = None,
) -> tuple[Dataset, Dataset]:
    """Open all training data.

    Args:
        paths: Each is a video file; a folder of images, of videos, or of both; or a folder that contains
            pairs (see `pairs.find_pair`). Or a list of shards.
        size: Side of a clip's HR frames, a multiple of 2 x scale; smaller videos give smaller clips.
        frames: Frames of a clip.
        speed: Highest speed of a pan over a photograph, in HR pixels a frame.
        scale: HR side / LR side.
        holdout: One in this many photographs, files or frames of a video is held out.
        downscale: Factor by which videos are downscaled first: 1, 1.5 or 2;
            None halves those with 720 lines or more.
        vary: Augmentation of the photographs in the training part.

    Returns:
        The training part and the held-out part. Several datasets are drawn in proportion to their `pixels`.

    Raises:
        InputError: A path does not exist, cannot be read, or contains no training data.
    """
    geometry = Geometry(size=size, frames=frames, speed=speed, scale=scale, vary=vary)
    cache = FrameCache()
    known: list[Dataset] = []
    held_out: list[Dataset] = []
    for path in paths:
        if isinstance(path, ShardList):
            parts = open_shards(path, geometry, holdout)
            halves: Halves = [parts[0]], [parts[1]]
        else:
            halves = _open_one(path, geometry, holdout, downscale, cache)
        known += halves[0]
        held_out += halves[1]
    if not known:
        raise InputError("no training data was given. Give a folder of images, or a video")
    return _together(known), _together(held_out)


def _together(parts: list[Dataset]) -> Dataset:
    return parts[0] if len(parts) == 1 else Mixture(tuple(parts))


def _open_one(
    path: Path, geometry: Geometry, holdout: int, downscale: float | None, cache: FrameCache
) -> Halves:
    if path.is_dir():
        pair = find_pair(path)
        if pair is not None:
            known, held_out = open_pairs(*pair, geometry, holdout, cache=cache)
            return [known], [held_out]
        return _open_folder(path, geometry, holdout, downscale, cache)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        raise InputError(f"{shown(path)} is a single image. Give the folder that contains it and others")
    parts = split_by_time(open_video(path, cache), geometry, holdout, downscale=downscale)
    return [parts[0]], [parts[1]]


def _open_folder(
    folder: Path, geometry: Geometry, holdout: int, downscale: float | None, cache: FrameCache
) -> Halves:
    files = sorted(path for path in folder.iterdir() if is_visible_file(path))
    for path in sorted(set(folder.iterdir()) - set(files)):
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            logger.warning("skipped: %s (not a file)", shown(path))
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    known, held_out = list[Dataset](), list[Dataset]()
    if any(path.suffix.lower() in SUFFIXES for path in files):
        photographs = open_photographs(folder, geometry, holdout)
        known, held_out = [photographs[0]], [photographs[1]]
    elif not videos:
        raise InputError(f"{shown(folder)} contains neither images nor videos. Give the folder that does")
    try:
        halves = _videos_of_folder(videos, geometry, holdout, downscale, cache)
    except InputError as error:  # a GIF or the clip of a live photo among photographs
        if not known:
            raise
        halves = [], []
        logger.warning(
            "%s: only its images are used, not its %d videos: %s", shown(folder), len(videos), error
        )
    return known + halves[0], held_out + halves[1]


def _videos_of_folder(
    videos: Sequence[Path], geometry: Geometry, holdout: int, downscale: float | None, cache: FrameCache
) -> Halves:
    if not videos:
        return [], []
    if len(videos) == 1:
        return _open_one(videos[0], geometry, holdout, downscale, cache)
    return _split_by_file(_open_videos(videos, cache), geometry, holdout, downscale)


def _open_videos(paths: Sequence[Path], cache: FrameCache) -> list[Video]:
    """Index each video, but fewer frames of each if there are many, so that a
    folder takes no longer than one film."""
    max_frames = max(10 * WINDOW, MAX_FRAMES // len(paths))
    videos: list[Video] = []
    errors: list[InputError] = []
    for path in paths:
        try:
            videos.append(open_video(path, cache, max_frames=max_frames))
        except InputError as error:
            errors.append(error)
            logger.warning("skipped: %s", error)
    if errors and len(videos) < 2:  # too few for a held-out part
        raise errors[0]
    return videos


def _split_by_file(
    videos: Sequence[Video], geometry: Geometry, holdout: int, downscale: float | None
) -> Halves:
    """Hold out every `holdout`-th video. A warning names those that cannot be used.

    Raises:
        InputError: Fewer than two can be used.
    """
    usable: list[Dataset] = []
    why = ""
    for video in videos:
        try:
            usable.append(footage_of(video, geometry, downscale=downscale))
        except UnusableError as error:
            why = f". {error}"
            logger.warning("skipped: %s", error)
    if len(usable) < 2:
        raise InputError(
            f"{len(usable)} of {len(videos)} videos can be used, but at least two are required{why}"
        )
    out = range(holdout // 2 % len(usable), len(usable), holdout)
    return [m for i, m in enumerate(usable) if i not in out], [usable[i] for i in out]
