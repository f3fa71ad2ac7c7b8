"""Writes still images as PNG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from vsr.writing import write_derived


def save_png(image: Tensor, path: Path) -> None:
    """Write an image as an 8-bit PNG.

    Args:
        image: `(3, H, W)` R'G'B' in [0, 1].
        path: Path of the new file.

    Raises:
        OutputError: the file cannot be written.
    """
    write_derived(path, png_bytes((image.clamp(0, 1) * 255).round().to(torch.uint8)))


def png_bytes(codes: Tensor) -> bytes:
    """Return the bytes of an 8-bit PNG of an image `(3, H, W)` R'G'B', uint8."""
    array = codes.permute(1, 2, 0).contiguous().numpy()
    return _encoded(av.VideoFrame.from_ndarray(array, format="rgb24"))


def _encoded(frame: av.VideoFrame) -> bytes:
    """Return the bytes of a PNG. They are made in memory, because FFmpeg's own writer follows links at the
    path.
    """
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base, encoder.options = Fraction(1), {"pred": "mixed"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
