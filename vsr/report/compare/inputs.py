"""The files of a comparison: opened, named, checked, and read as R'G'B' images of one size."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vsr.color.convert import to_planes, to_rgb
from vsr.color.spec import Matrix, PixelLayout, Range
from vsr.errors import ConfigError, InputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.source import open_video
from vsr.media.files.opening import shown
from vsr.media.files.stdio import is_pipe
from vsr.media.pictures.kinds import is_picture
from vsr.media.pictures.reading import read_picture, shown_image
from vsr.media.remote.reader import open_bytes
from vsr.models.archs.resample import resize
from vsr.pipeline.job.digests import sha256_of
from vsr.report.compare.screen import as_shown, pixel_of, shown_size

MAX_PANELS = 9
"""More panels than the digits of a keyboard cannot be told apart on one page."""
_RGB16 = PixelLayout(family="rgb", bit_depth=16)
_ASPECT_TOLERANCE = 0.02  # a height that is rounded to whole pixels changes the ratio of small videos by this


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One video or image of a comparison."""

    path: Path
    label: str
    """Name of the file, with its folder if two files have the same name."""
    info: VideoInfo
    sha256: str
    size_bytes: int
    picture: YuvFrame | None = None
    """The only frame of a still picture, upright; None for a video."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels as a player shows them: turned, without hidden borders."""
        return shown_size(self.info)

    @property
    def shape(self) -> Fraction:
        """Width over height of what a player shows."""
        height, width = self.size
        return width * pixel_of(self.info) / height

    def frames(self, start: Fraction | None = None) -> Iterator[YuvFrame]:
        """Yield the frames from `start` seconds after the first one on."""
        if self.picture is not None:
            yield self.picture
            return
        with open_video(self.path, start=start) as video:
            yield from video.frames()

    def image(self, frame: YuvFrame) -> Tensor:
        """Convert a frame to `(3, H, W)` R'G'B' in [0, 1], float32, turned as a player shows it and
        without hidden borders.
        """
        return as_shown(to_rgb(frame.planes, frame.color, frame.layout).clamp_(0, 1), self.info)


def open_inputs(paths: Sequence[Path]) -> list[Input]:
    """Probe the files of a comparison.

    Raises:
        ConfigError: there are fewer than two or more than `MAX_PANELS`, or one is standard input.
        InputError: a file cannot be read, contains no video or image, or has another shape than the others.
    """
    if not 2 <= len(paths) <= MAX_PANELS:
        number = "one file" if len(paths) == 1 else f"{len(paths)} files"
        raise ConfigError(f"{number} cannot be compared; name 2 to {MAX_PANELS}")
    if any(is_pipe(path) for path in paths):
        raise ConfigError("standard input cannot be compared, since it is read twice; name a file")
    labels = _labels([Path(shown(path)) for path in paths])
    inputs = [_opened(path, label) for path, label in zip(paths, labels, strict=True)]
    _check_shapes(inputs)
    return inputs


def _opened(path: Path, label: str) -> Input:
    if is_picture(path):
        info, picture = _picture(path)
    else:
        picture = None
        with open_video(path) as video:
            info = video.info
    with open_bytes(path) as file:
        size_bytes = file.seek(0, os.SEEK_END)
    digest = sha256_of(path) or ""
    return Input(path=path, label=label, info=info, sha256=digest, size_bytes=size_bytes, picture=picture)


def _picture(path: Path) -> tuple[VideoInfo, YuvFrame]:
    """Return a still picture as it is shown: upright, on white, as R'G'B' of 16 bits."""
    read = read_picture(path)
    image = shown_image(read).clamp(0, 1)
    color = replace(read.frame.color, matrix=Matrix.RGB, range=Range.FULL)
    planes = to_planes(image, color, _RGB16)
    frame = YuvFrame(planes=planes, layout=_RGB16, color=color, stamp=read.frame.stamp)
    height, width = image.shape[-2:]
    info = replace(
        read.info,
        height=height,
        width=width,
        color=color,
        rotation=0,
        display_matrix=None,
        crop=None,
        sample_aspect_ratio=None,
    )
    return info, frame


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the names of files. Equal names get their folders, or a number if those are equal, too."""
    names = [path.name for path in paths]
    with_folders = [f"{path.parent.name}/{path.name}" for path in paths]
    found = []
    for i, name in enumerate(names):
        if names.count(name) == 1:
            found.append(name)
        elif with_folders.count(with_folders[i]) == 1:
            found.append(with_folders[i])
        else:
            found.append(f"{name} ({names[: i + 1].count(name)})")
    return found


def _check_shapes(inputs: Sequence[Input]) -> None:
    """Refuse images whose ratio of width to height differs: a resize would distort one of them."""
    for one in inputs:
        if abs(one.shape / inputs[0].shape - 1) > _ASPECT_TOLERANCE:
            first, other = (_dimensions(i) for i in (inputs[0], one))
            raise InputError(
                f"{shown(one.path)}: is {other}, and {inputs[0].label} {first}: their shapes differ, so they "
                "cannot be laid over each other; crop one of them first"
            )


def _dimensions(one: Input) -> str:
    height, width = one.size
    pixel = pixel_of(one.info)
    return f"{width}x{height}" + (
        f" with pixels of {pixel.numerator}:{pixel.denominator}" if pixel != 1 else ""
    )


def common_size(inputs: Sequence[Input], reference: Input | None) -> tuple[int, int]:
    """Return height and width of the panels: those of the reference, or else of the largest input."""
    return largest(inputs, reference).size


def largest(inputs: Sequence[Input], reference: Input | None) -> Input:
    """Return the input whose pixels the panels have: the reference, or else the largest."""
    return reference or max(inputs, key=lambda one: one.size[0] * one.size[1])


def fitted(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize an image `(3, H, W)` to the panels' size with the bicubic filter, in [0, 1]."""
    if tuple(image.shape[-2:]) == size:
        return image
    return resize(image[None], height=size[0], width=size[1])[0].clamp_(0, 1)


def eight_bit(image: Tensor) -> Tensor:
    """Round `(3, H, W)` in [0, 1] to uint8, as a screen shows it."""
    return (image * 255).round_().to(torch.uint8)
