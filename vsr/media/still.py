"""Single pictures written to a file."""

from __future__ import annotations

from pathlib import Path

import av
import torch
from torch import Tensor

from vsr.errors import OutputError


def save_png(image: Tensor, path: Path) -> None:
    """Write `(3, H, W)` in [0, 1] as an 8-bit PNG.

    Raises:
        OutputError: it cannot be written.
    """
    codes = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    array = codes.permute(1, 2, 0).contiguous().numpy()
    try:
        av.VideoFrame.from_ndarray(array, format="rgb24").save(str(path))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
