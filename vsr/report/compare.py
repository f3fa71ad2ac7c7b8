"""The before/after picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.errors import ConfigError, InputError
from vsr.frame import YuvFrame
from vsr.media.decode.source import open_video
from vsr.media.png import save_png
from vsr.models.archs.resample import resize

DETAIL = 200
"""Side in result pixels of the detail that is shown, at most."""
ZOOM = 2
"""Every pixel is shown as a square of this side, so that nothing is smoothed by the viewer."""
_LAST_SECONDS = 1  # that a last picture without a stated duration may be shown
_GAP = 6  # white pixels between the panels


def compare(
    source: Path, result: Path, picture: Path, *, at: Fraction = Fraction(0), truth: Path | None = None
) -> tuple[str, ...]:
    """Draw source (bicubic), result and, if given, the truth side by side into a PNG.

    Args:
        source: The video that was upscaled.
        result: What came of it.
        picture: PNG to write.
        at: Seconds from the first picture.
        truth: A video of the result's size that the source was made from.

    Returns:
        Names of the panels, left to right.

    Raises:
        InputError: a file cannot be read, or ends before that time.
        ConfigError: the picture's name does not end in .png.
        OutputError: it cannot be written.
    """
    if picture.suffix.lower() != ".png":
        raise ConfigError(f"{picture}: is not a PNG's name; let it end in .png")
    panels = {"bicubic": picture_at(source, at), "vsr": picture_at(result, at)}
    if truth is not None:
        panels["original"] = picture_at(truth, at)
    height, width = panels["vsr"].shape[-2:]
    images = {n: resize(p[None], height=height, width=width)[0].clamp(0, 1) for n, p in panels.items()}
    top, left, side = busiest(images["vsr"])
    details = [image[:, top : top + side, left : left + side] for image in images.values()]
    save_png(side_by_side(details), picture)
    return tuple(images)


def picture_at(path: Path, at: Fraction) -> Tensor:
    """The picture shown `at` seconds after the first one, `(3, H, W)` R'G'B'."""
    with open_video(path) as video:
        last: YuvFrame | None = None
        first: Fraction | None = None
        for frame in video.frames():
            first = frame.stamp.seconds if first is None else first
            if last is not None and frame.stamp.seconds - first > at:
                break
            last = frame
        else:
            if last is not None and first is not None and at > last.stamp.seconds - first + _LAST_SECONDS:
                raise InputError(f"{path}: ends before {float(at):g} s; choose an earlier `at`")
        if last is None:
            raise InputError(f"{path}: no picture can be decoded")
        return to_rgb(last.planes, last.color, last.layout)


def busiest(image: Tensor) -> tuple[int, int, int]:
    """Top, left and side of the square in which most happens: where a difference would show.

    Measured by the absolute Laplacian, which flat areas and soft shadows leave at zero.
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
    """Panels of one size in a row, enlarged by whole pixels, with white gaps."""
    enlarged = [i.repeat_interleave(ZOOM, -1).repeat_interleave(ZOOM, -2) for i in images]
    gap = torch.ones(3, enlarged[0].shape[1], _GAP)
    row: list[Tensor] = []
    for image in enlarged:
        row += [image, gap]
    return torch.cat(row[:-1], dim=-1)
