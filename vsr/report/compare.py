"""An image that compares source and result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.errors import ConfigError, InputError
from vsr.frame import YuvFrame
from vsr.media.decode.source import open_video
from vsr.media.files.named import Named, paths_of
from vsr.media.files.opening import shown
from vsr.media.pictures.kinds import is_picture
from vsr.media.pictures.reading import read_picture, shown_image
from vsr.media.png import save_png
from vsr.models.archs.resample import resize
from vsr.settings.times import Seconds, seconds
from vsr.writing import check_writable

DETAIL = 200
"""Largest side of the detail that is shown, in pixels of the result."""
ZOOM = 2
"""Side of the square that shows a pixel, so that the viewer's smoothing is not visible."""
_LAST_SECONDS = 1  # assumed duration of a last frame without one
_GAP = 6  # white pixels between the panels


def compare(
    source: Named,
    result: Named,
    output: str | Path,
    *,
    at: Seconds = 0,
    truth: Named | None = None,
    overwrite: bool = False,
    allow_network: bool = False,
) -> tuple[str, ...]:
    """Write a PNG with the same detail of a source, upscaled by bicubic, and of its result side by side.

    The detail is the square of at most 200x200 pixels of the result with the most detail. Each of its pixels
    is shown as 2x2 pixels.

    Args:
        source: The video that was upscaled: a path, a URL, or a file object that is open for reading.
        result: The upscaled video, made by any program, named in the same ways.
        output: Path of the PNG to write, 8-bit R'G'B'.
        at: Time of the frame in seconds after the first one.
        truth: The original from which the source was made, for a third panel.
        overwrite: Whether to replace an existing PNG.
        allow_network: Whether the network may be used for URLs.

    Returns:
        The names of the panels from left to right: `bicubic`, `vsr` and, with `truth`, `original`.

    Raises:
        InputError: A video cannot be read, or ends before that time.
        ConfigError: `output` does not end in .png, exists already, or is one of the videos, or `at` is not a
            time.
        OutputError: The PNG cannot be written.

    >>> vsr.compare("in.mp4", "out.mp4", "compare.png", at=0.2)
    ('bicubic', 'vsr')
    """
    picture, moment = Path(output), seconds(at, name="at")
    named = (source, result, *([] if truth is None else [truth]))
    with paths_of(*named, allow_network=allow_network) as videos:
        _check_output(picture, videos, overwrite=overwrite)
        return _drawn(videos, picture, moment)


def _drawn(videos: list[Path], picture: Path, moment: Fraction) -> tuple[str, ...]:
    names = ("bicubic", "vsr", "original")[: len(videos)]
    panels = {name: picture_at(video, moment) for name, video in zip(names, videos, strict=True)}
    height, width = panels["vsr"].shape[-2:]
    images = {n: resize(p[None], height=height, width=width)[0].clamp(0, 1) for n, p in panels.items()}
    top, left, side = busiest(images["vsr"])
    details = [image[:, top : top + side, left : left + side] for image in images.values()]
    save_png(side_by_side(details), picture)
    return tuple(images)


def _check_output(picture: Path, videos: list[Path], *, overwrite: bool) -> None:
    check_writable(picture, what="", overwrite=overwrite)
    if any(path.exists() and picture.exists() and picture.samefile(path) for path in videos):
        raise ConfigError(f"{picture} is one of the videos. Write to another file")
    if picture.suffix.lower() != ".png":
        raise ConfigError(f"{picture} is not the name of a PNG. Use a name that ends in .png")


def picture_at(path: Path, at: Fraction) -> Tensor:
    """Return the frame displayed `at` seconds after the first one, or a picture; `(3, H, W)` R'G'B'."""
    if is_picture(path):
        return shown_image(read_picture(path))
    with open_video(path) as video:
        last: YuvFrame | None = None
        for frame in video.frames_around(at):
            if last is not None and frame.stamp.seconds - video.first_seconds > at:
                break
            last = frame
        else:
            if last is not None and at > last.stamp.seconds - video.first_seconds + _LAST_SECONDS:
                raise InputError(f"{shown(path)} ends before {float(at):g} s. Choose an earlier `at`")
        if last is None:
            raise InputError(f"{shown(path)}: no frame can be decoded")
        return to_rgb(last.planes, last.color, last.layout)


def busiest(image: Tensor) -> tuple[int, int, int]:
    """Return top, left and side of the square with the most detail, where a difference would be visible.

    Detail is measured by the absolute Laplacian, which is zero in flat areas and in linear gradients.
    """
    height, width = image.shape[-2:]
    side = min(DETAIL, height, width)
    grey = image.mean(0)
    laplacian = torch.zeros_like(grey)
    laplacian[1:-1, 1:-1] = (
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    ).abs()
    step = max(1, side // 8)
    sums = torch.nn.functional.avg_pool2d(laplacian[None, None], side, stride=step)[0, 0]
    best = int(sums.argmax())
    return best // sums.shape[1] * step, best % sums.shape[1] * step, side


def side_by_side(images: list[Tensor]) -> Tensor:
    """Join images of one size in a row, enlarged to whole pixels, with white gaps."""
    enlarged = [i.repeat_interleave(ZOOM, -1).repeat_interleave(ZOOM, -2) for i in images]
    gap = torch.ones(3, enlarged[0].shape[1], _GAP)
    row: list[Tensor] = []
    for image in enlarged:
        row += [image, gap]
    return torch.cat(row[:-1], dim=-1)
