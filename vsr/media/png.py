"""Still images written as PNG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from vsr.writing import write_whole


def save_png(image: Tensor, path: Path) -> None:
    """Write `(3, H, W)` in [0, 1] as an 8-bit PNG.

    Raises:
        OutputError: it cannot be written.
    """
    codes = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    array = codes.permute(1, 2, 0).contiguous().numpy()
    write_whole(path, _encoded(av.VideoFrame.from_ndarray(array, format="rgb24")))


def _encoded(frame: av.VideoFrame) -> bytes:
    """A PNG's bytes; made in memory, for FFmpeg's own writer opens whatever stands under the name."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base, encoder.options = Fraction(1), {"pred": "mixed"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
