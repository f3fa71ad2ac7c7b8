"""Test sets: folders of still images, of clips as folders of numbered images, and of videos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.errors import InputError
from vsr.media.decode.source import open_video
from vsr.media.files.opening import shown
from vsr.media.pictures.kinds import is_picture
from vsr.media.pictures.reading import read_picture, shown_image
from vsr.training.data.datasets import VIDEO_SUFFIXES

KNOWN = {
    "set5": "Set5",
    "set14": "Set14",
    "bsd100": "BSD100",
    "b100": "BSD100",
    "bsds100": "BSD100",
    "urban100": "Urban100",
    "manga109": "Manga109",
    "div2k_valid": "DIV2K_valid",
    "kodak": "Kodak",
    "vid4": "Vid4",
    "reds4": "REDS4",
    "udm10": "UDM10",
}
"""Names of known test sets, by the names of their folders in small letters."""
PLACES = "VSR_DATA"
"""Environment variable: folders that contain test sets, separated as in PATH."""
_NEARBY = ("testsets", "datasets", "data")
_RATE = Fraction(24)
"""Frames a second of clips that are folders of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One still image, or the frames of one clip, at full resolution."""

    name: str
    hr: Tensor
    """`(T, 3, H, W)` uint8 R'G'B'; one frame for a still image."""
    lr: Tensor | None
    """`(T, 3, h, w)` uint8 of the set's own LR images; None if LR must be made."""
    frame_rate: Fraction | None
    """Frames a second; None for a still image."""


def folder_of(data: str | Path) -> Path:
    """Return the folder of a test set that is named by a path, or by its name alone.

    A name is looked up in the folders of the environment variable `VSR_DATA`, and in `testsets`, `datasets`
    and `data` in the working folder.

    Raises:
        InputError: there is no such folder.
    """
    if Path(data).is_dir():
        return Path(data)
    places = [Path(p) for p in os.environ.get(PLACES, "").split(os.pathsep) if p] + [Path(n) for n in _NEARBY]
    if Path(data).name == str(data):
        for place in places:
            for folder in sorted(place.iterdir()) if place.is_dir() else ():
                if folder.is_dir() and set_name(folder).lower() == set_name(Path(data)).lower():
                    return folder
    looked = ", ".join(map(shown, places))
    raise InputError(f"{data}: is no folder, and no test set in {looked}; name its folder, or set {PLACES}")


def set_name(folder: Path) -> str:
    """Return the name of a test set: that of papers for a known one, otherwise that of its folder."""
    name = Path(os.path.abspath(folder)).name  # noqa: PTH100 (a link may have the name of the set)
    return KNOWN.get(name.lower(), name)


def clips_of(folder: Path, scale: int, *, frames: int) -> Iterator[Clip]:
    """Read a test set, one clip after another: `xN/HR` and `xN/LR`, `HR` and `LR`, or HR alone.

    Args:
        folder: Has images, folders of images, or videos.
        scale: HR side over LR side.
        frames: Frames of a clip that are read.

    Raises:
        InputError: one cannot be read, or HR and LR do not fit.
    """
    high, low = _sides(folder, scale)
    for path in paths_of(folder, scale):
        given = None if low is None else low / path.name
        hr, rate = _read(path, frames)
        height, width = (side // scale * scale for side in hr.shape[-2:])
        hr = hr[..., :height, :width]
        lr = _read(given, frames)[0] if given is not None and given.exists() else None
        if min(height, width) < scale or (lr is not None and not _fits(lr, hr, scale)):
            raise InputError(
                f"{shown(path)}: HR of {width}x{height} pixels and LR do not fit at scale {scale}"
            )
        yield Clip(name=path.relative_to(high).as_posix(), hr=hr, lr=lr, frame_rate=rate)


def _fits(lr: Tensor, hr: Tensor, scale: int) -> bool:
    return len(lr) == len(hr) and all(
        h == n * scale for h, n in zip(hr.shape[-2:], lr.shape[-2:], strict=True)
    )


def paths_of(folder: Path, scale: int) -> list[Path]:
    """Return the images, folders of images and videos of a test set, by name.

    Raises:
        InputError: there are none.
    """
    high, _ = _sides(folder, scale)
    inside = sorted(path for path in high.iterdir() if not path.name.startswith(".")) if high.is_dir() else []
    found = [path for path in inside if _is_clip(path) or is_picture(path)]
    if not found:
        raise InputError(f"{shown(high)}: has no images or videos; name a folder with PNG or other files")
    return found


def _sides(folder: Path, scale: int) -> tuple[Path, Path | None]:
    """Return the folders of HR, and of LR if there is one."""
    base = folder / f"x{scale}" if (folder / f"x{scale}").is_dir() else folder
    if not (base / "HR").is_dir():
        return base, None
    return base / "HR", base / "LR" if (base / "LR").is_dir() else None


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES if path.is_file() else bool(_images_in(path))


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_picture(path)) if folder.is_dir() else []


def _read(path: Path, frames: int) -> tuple[Tensor, Fraction | None]:
    """Return `(T, 3, H, W)` uint8, and the frame rate of a clip."""
    if path.is_dir():
        return _stacked([_image(one) for one in _images_in(path)[:frames]], path), _RATE
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return _image(path)[None], None
    with open_video(path) as video:
        found = [
            _eight_bit(to_rgb(frame.planes, frame.color, frame.layout))
            for frame in islice(video.frames(), frames)
        ]
        return _stacked(found, path), video.info.frame_rate or _RATE


def _stacked(images: list[Tensor], path: Path) -> Tensor:
    if len({image.shape for image in images}) != 1:
        raise InputError(f"{shown(path)}: its images have several sizes, so it is no clip; name it as `data`")
    return torch.stack(images)


def _image(path: Path) -> Tensor:
    return _eight_bit(shown_image(read_picture(path)))


def _eight_bit(image: Tensor) -> Tensor:
    """Round to 8 bits, as papers read images."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)
