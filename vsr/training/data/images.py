"""Reads image files as R'G'B' tensors, with the reader of `vsr upscale` (`vsr.media.pictures`).

Chroma is upsampled by `vsr.color` with the siting of the format, all bits of deep images are used, and the
EXIF orientation is applied. A damaged file raises an error and never gives a partly grey image.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vsr.media.pictures.kinds import TARGETS
from vsr.media.pictures.reading import read_picture, turned

SUFFIXES = frozenset({*TARGETS, ".bmp", ".avif"})
"""Suffixes by which files count as images; their content decides how they are decoded."""


def read_image(path: Path) -> Tensor:
    """Decode the first image of a file.

    Returns:
        `(3, H, W)` uint8, R'G'B', full range, with the EXIF orientation applied and without alpha.

    Raises:
        UnsupportedPictureError: The file contains something else, or is of a variant that is not read.
        InputError: It cannot be decoded.
    """
    picture = read_picture(path, strict=True)
    image = picture.frame.to_rgb().image.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    return turned(image, picture.orientation)
