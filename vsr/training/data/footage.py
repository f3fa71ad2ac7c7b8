"""Clips of a video file, with real motion and detail, in the colours in which `vsr upscale` processes it.

A clip is a run of consecutive frames in one scene, with the same crop of each. Runs and crops with much
detail are drawn more often, runs without motion seldom, and black frames never. Compressed footage is
downscaled first, which removes most of its coding noise (`downscale`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from av import VideoFrame
from numpy.typing import NDArray
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.errors import ConfigError, InputError
from vsr.frame import VideoInfo
from vsr.media.files.opening import shown
from vsr.media.pixels.planes import to_planes
from vsr.training.data.drawing import Geometry, Sample
from vsr.training.data.scenes import SceneIndex
from vsr.training.data.video import Video

DOWNSCALES = (1.0, 1.5, 2.0)
GRID = 8
"""Crops start at multiples of this, in pixels after downscaling: 8 x
1.5 is a whole number of chroma samples."""
MARGIN = 8
"""Pixels around a crop that chroma and downscaling filters can read, after downscaling."""
STILL = 0.25
"""Mean change in code values below which a run counts as static; coding noise alone is about 0.1."""
STILL_WEIGHT = 0.1
"""Weight of a static run relative to one with motion."""
RICHEST = 3.0
"""Limit of a run's detail as a multiple of the median; without it,
captions and noise would be drawn most often."""
CROPS = 6
"""Number of random crops, of which one is chosen in proportion to its detail."""


class UnusableError(InputError):
    """The video can be read, but contains no clip to train on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Positions where clips can begin, and their weights."""

    starts: NDArray[np.int64]
    """Positions in the index of the video."""
    cum_weights: list[float]

    def draw(self, rng: random.Random) -> int:
        """Draw the position of a clip's first frame."""
        return int(rng.choices(self.starts, cum_weights=self.cum_weights)[0])


def find_runs(index: SceneIndex, first: int, last: int, frames: int) -> Runs:
    """Find the runs of `frames` frames between positions `first` and `last` that lie in one scene."""
    starts = np.arange(first, max(first, last - frames + 1))
    whole = _sums(~index.usable, starts, frames) == 0
    inside = _sums(index.begins, starts + 1, frames - 1) == 0
    starts = starts[whole & inside]
    detail = _sums(index.detail, starts, frames) / frames
    if len(detail):
        detail = np.minimum(detail, RICHEST * np.median(detail)) + 1e-3
    moves = _sums(index.motion, starts + 1, frames - 1) > STILL * (frames - 1)
    weights = detail * np.where(moves, 1.0, STILL_WEIGHT)
    return Runs(starts=starts, cum_weights=np.cumsum(weights).tolist())


def _sums(values: NDArray[Any], starts: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the sum of `count` values from each start on."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return total[np.minimum(starts + count, len(values))] - total[np.minimum(starts, len(values))]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Footage:
    """Clips of a part of a video; implements `vsr.training.data.drawing.Dataset`."""

    name: str
    video: Video
    runs: Runs
    geometry: Geometry
    window: tuple[int, int]
    """Height and width of a clip."""
    downscale: float
    licences: str = ""

    @property
    def pixels(self) -> int:
        height, width = reduced_size(self.video.info, self.downscale)
        return max(1, len(self.runs.starts) // self.geometry.frames) * height * width

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({"video"})

    def draw(self, rng: random.Random) -> Sample:
        frames = self.video.frames(self.runs.draw(rng), self.geometry.frames)
        corner = self._draw_corner(frames[len(frames) // 2], rng)
        info, size = self.video.info, self.window
        hr = torch.stack([cut(f, info, corner, size, self.downscale) for f in frames])
        return Sample(hr=hr, kind="video")

    def _draw_corner(self, frame: VideoFrame, rng: random.Random) -> tuple[int, int]:
        """Draw a few crops, and choose one of them in proportion to its detail in `frame`."""
        whole = reduced_size(self.video.info, self.downscale)
        room = [(side - part) // GRID for side, part in zip(whole, self.window, strict=True)]
        corners = [(GRID * rng.randint(0, room[0]), GRID * rng.randint(0, room[1])) for _ in range(CROPS)]
        planes, _ = to_planes(frame)
        plane = planes[1] if self.video.info.layout.family == "rgb" else planes[0]
        weights = [crop_detail(plane, corner, self.window, self.downscale) + 1e-3 for corner in corners]
        return rng.choices(corners, weights)[0]


def reduced_size(info: VideoInfo, downscale: float) -> tuple[int, int]:
    """Return height and width of a video's frames after downscaling."""
    return int(info.height / downscale), int(info.width / downscale)


def crop_detail(plane: Tensor, corner: tuple[int, int], size: tuple[int, int], downscale: float) -> float:
    """Return the mean horizontal gradient of every fourth row of a crop, in code values of the plane."""
    (y, x), (height, width) = [[int(v * downscale) for v in pair] for pair in (corner, size)]
    rows = plane[y : y + height : 4, x : x + width].numpy().astype(np.int32)
    return float(np.abs(np.diff(rows, axis=1)).mean())


def cut(
    frame: VideoFrame, info: VideoInfo, corner: tuple[int, int], size: tuple[int, int], downscale: float
) -> Tensor:
    """Convert a crop of a frame to R'G'B' as `vsr upscale` does, and downscale it.

    Args:
        frame: A frame of the video.
        info: Facts of the video; its colour and layout apply to all frames.
        corner: Top and left after downscaling, multiples of `GRID`.
        size: Height and width after downscaling, even.
        downscale: One of `DOWNSCALES`, by antialiased bicubic interpolation (a = -0.5).

    Returns:
        `(3, *size)` uint8, full range; values beyond black and white are clipped.
    """
    whole = reduced_size(info, downscale)
    before = [min(MARGIN, start) for start in corner]
    after = [
        MARGIN if start + side + MARGIN <= end else 0
        for start, side, end in zip(corner, size, whole, strict=True)
    ]
    box = [
        slice(int((start - b) * downscale), int((start + side + a) * downscale))
        for start, side, b, a in zip(corner, size, before, after, strict=True)
    ]
    image = _rgb_of(frame, info, box[0], box[1])
    if downscale != 1:
        inner = [side + b + a for side, b, a in zip(size, before, after, strict=True)]
        image = F.interpolate(image[None], size=inner, mode="bicubic", antialias=True)[0]
    image = image[:, before[0] : before[0] + size[0], before[1] : before[1] + size[1]]
    return image.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _rgb_of(frame: VideoFrame, info: VideoInfo, rows: slice, columns: slice) -> Tensor:
    """Convert a part of a frame to R'G'B' `(3, h, w)` float32; the part begins on whole chroma samples."""
    planes, _ = to_planes(frame)
    shift = (0, 0) if info.layout.family != "yuv" else info.layout.chroma_shift
    parts = [
        plane[_shrunk(rows, 0 if i == 0 else shift[1]), _shrunk(columns, 0 if i == 0 else shift[0])]
        for i, plane in enumerate(planes)
    ]
    return to_rgb(tuple(parts), info.color, info.layout)


def _shrunk(part: slice, shift: int) -> slice:
    return slice(part.start >> shift, -(-part.stop >> shift))


def default_downscale(info: VideoInfo) -> float:
    """Return 2 from 720 lines on, where the halved size is enough and
    coding noise disappears, otherwise 1."""
    return 2.0 if info.height >= 720 else 1.0


def window_of(info: VideoInfo, geometry: Geometry, downscale: float) -> tuple[int, int]:
    """Return height and width of the clips: `geometry.size`, or less for a smaller video.

    Raises:
        UnusableError: A side is below `geometry.least`.
    """
    whole = reduced_size(info, downscale)
    height, width = (min(geometry.size, side // geometry.unit * geometry.unit) for side in whole)
    if min(height, width) < geometry.least:
        size = f"{info.width}x{info.height}"
        size += f", reduced to {whole[1]}x{whole[0]}," if downscale != 1 else ""
        raise UnusableError(
            f"{shown(info.path)}: {size} is too small, since scale {geometry.scale} requires "
            f"{geometry.least} pixels on each side. Train with larger footage or a smaller scale"
        )
    return height, width


def footage_of(
    video: Video,
    geometry: Geometry,
    *,
    downscale: float | None = None,
    first: int = 0,
    last: int | None = None,
) -> Footage:
    """Make a dataset of the frames at positions `first` to `last` of a video.

    Args:
        video: An indexed video.
        geometry: Shape of the clips.
        downscale: One of `DOWNSCALES`; None chooses by `default_downscale`.
        first: Position of the first frame in the video's index.
        last: Position after the last frame; None is the end of the video.

    Raises:
        UnusableError: The video is too small, or no `geometry.frames`
            consecutive usable frames lie in one scene.
    """
    if downscale is not None and downscale not in DOWNSCALES:
        raise ConfigError(f"downscale = {downscale} must be one of {', '.join(map(str, DOWNSCALES))}")
    factor = default_downscale(video.info) if downscale is None else downscale
    window = window_of(video.info, geometry, factor)
    end = len(video.index) if last is None else last
    runs = find_runs(video.index, first, end, geometry.frames)
    if not len(runs.starts):
        raise UnusableError(_why_no_run(video, first, end, geometry.frames))
    name = f"{shown(Path(video.info.path).name)} (frames {first} to {end - 1} of {len(video.index)})"
    return Footage(name=name, video=video, runs=runs, geometry=geometry, window=window, downscale=factor)


def _why_no_run(video: Video, first: int, last: int, frames: int) -> str:
    path, index = shown(video.info.path), video.index
    if last <= first:
        few = f"{len(index)} frames are too few to train on {frames} consecutive ones and to hold out others"
        return f"{path}: {few}. Give a longer video, or lower degrade.frames"
    if index.interlaced:
        return (
            f"{path}: {index.interlaced} of {len(index)} frames are interlaced. Deinterlace the video first"
        )
    return (
        f"{path}: frames {first} to {last - 1} of {len(index)} contain no {frames} consecutive frames of one "
        "scene that are intact and not black. Give a longer video, or lower degrade.frames"
    )


def split_by_time(
    video: Video, geometry: Geometry, holdout: int, *, downscale: float | None = None
) -> tuple[Footage, Footage]:
    """Split a video: the last 1 / `holdout` of its frames is held out, after a gap of one clip.

    Raises:
        UnusableError: See `footage_of`, for either part.
    """
    total = len(video.index)
    held_out = max(geometry.frames, total // holdout)
    end = max(0, total - held_out - geometry.frames)
    return (
        footage_of(video, geometry, downscale=downscale, last=end),
        footage_of(video, geometry, downscale=downscale, first=total - held_out),
    )
