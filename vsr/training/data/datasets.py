"""Opens what is given to train on, whatever it is.

What is held out is never seen in training: photographs are parted whole, with all their tiles; of the videos
of a folder, whole files; a video given by name, or alone in its folder, by time, with a gap between.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.training.data.drawing import Geometry, Material, Mixture, Sample
from vsr.training.data.footage import UnusableError, footage_of, split_by_time
from vsr.training.data.image_folder import is_material, open_photographs
from vsr.training.data.images import SUFFIXES
from vsr.training.data.pairs import find_pair, open_pairs
from vsr.training.data.scenes import MOST, WINDOW
from vsr.training.data.video import FrameCache, Video, open_video
from vsr.training.degrade.degradation import Vary

__all__ = ["Geometry", "Material", "Mixture", "Sample", "open_material"]

logger = logging.getLogger(__name__)

_VIDEOS = """
3g2 3gp asf avi divx f4v flv gif ivf m2ts m2v m4v mj2 mkv mov mp4 mpeg mpg mts mxf nut ogm ogv rm rmvb ts vob
webm wmv y4m 264 265 h264 h265 hevc obu
"""
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _VIDEOS.split())
"""Files of a folder that are taken for videos; a file given by name may be called anything."""

Halves = tuple[list[Material], list[Material]]
"""To train on, and held out."""


def open_material(
    paths: Sequence[Path],
    *,
    size: int,
    frames: int,
    speed: int,
    scale: int,
    holdout: int,
    downscale: float | None = None,
    vary: Vary | None = None,
) -> tuple[Material, Material]:
    """Open all that shall be trained on.

    Args:
        paths: Each a video file; a folder of pictures, of videos, or of both; or a folder that holds pairs
            (see `pairs.find_pair`).
        size: Side of an HR picture of a clip, a multiple of 2 x scale; smaller videos give smaller clips.
        frames: Pictures in a clip.
        speed: Largest pan over a photograph, in HR pixels a picture.
        scale: HR side over LR side.
        holdout: One in so many photographs, files or pictures of a video is held out.
        downscale: Videos are reduced by it first: 1, 1.5 or 2; None halves those of 720 lines and more.
        vary: How photographs are changed first, but for those held out.

    Returns:
        The material to train on, and that held out. Several are drawn in proportion to their `pixels`.

    Raises:
        InputError: a path does not exist, cannot be read, or holds nothing to train on; one line.
    """
    geometry = Geometry(size=size, frames=frames, speed=speed, scale=scale, vary=vary)
    cache = FrameCache()
    known: list[Material] = []
    held_out: list[Material] = []
    for path in paths:
        halves = _open_one(path, geometry, holdout, downscale, cache)
        known += halves[0]
        held_out += halves[1]
    if not known:
        raise InputError("nothing to train on was given. Give a folder of pictures, or a video")
    return _together(known), _together(held_out)


def _together(parts: list[Material]) -> Material:
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
        raise InputError(f"{shown(path)}: is a single picture. Give the folder that holds it, and others")
    parts = split_by_time(open_video(path, cache), geometry, holdout, downscale=downscale)
    return [parts[0]], [parts[1]]


def _open_folder(
    folder: Path, geometry: Geometry, holdout: int, downscale: float | None, cache: FrameCache
) -> Halves:
    files = sorted(path for path in folder.iterdir() if is_material(path))
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    known, held_out = list[Material](), list[Material]()
    if any(path.suffix.lower() in SUFFIXES for path in files):
        photographs = open_photographs(folder, geometry, holdout)
        known, held_out = [photographs[0]], [photographs[1]]
    elif not videos:
        raise InputError(f"{shown(folder)}: holds neither pictures nor videos. Give the folder that does")
    if len(videos) == 1:
        halves = _open_one(videos[0], geometry, holdout, downscale, cache)
    elif videos:
        halves = _split_by_file(_open_videos(videos, cache), geometry, holdout, downscale)
    else:
        halves = [], []
    return known + halves[0], held_out + halves[1]


def _open_videos(paths: Sequence[Path], cache: FrameCache) -> list[Video]:
    """Look at each; of many videos not so much of each that a folder takes longer than one long video."""
    most = max(10 * WINDOW, MOST // len(paths))
    videos: list[Video] = []
    errors: list[InputError] = []
    for path in paths:
        try:
            videos.append(open_video(path, cache, most=most))
        except InputError as error:
            errors.append(error)
            logger.warning("left out: %s", error)
    if errors and len(videos) < 2:  # too few to hold one out
        raise errors[0]
    return videos


def _split_by_file(
    videos: Sequence[Video], geometry: Geometry, holdout: int, downscale: float | None
) -> Halves:
    """Hold out every `holdout`-th video; those that hold nothing to train on are left out with a warning.

    Raises:
        InputError: fewer than two are left.
    """
    usable: list[Material] = []
    why = ""
    for video in videos:
        try:
            usable.append(footage_of(video, geometry, downscale=downscale))
        except UnusableError as error:
            why = f". {error}"
            logger.warning("left out: %s", error)
    if len(usable) < 2:
        raise InputError(f"{len(usable)} of {len(videos)} videos can be used, two are needed{why}")
    out = range(holdout // 2 % len(usable), len(usable), holdout)
    return [m for i, m in enumerate(usable) if i not in out], [usable[i] for i in out]
