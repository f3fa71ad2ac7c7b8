"""Images and a clip in 4:4:4 with strong colours."""

from __future__ import annotations

from pathlib import Path

import av
import torch
from torch import Tensor


def colourful(count: int, *, height: int = 120, width: int = 160) -> list[Tensor]:
    """Return shapes of strong colours with sharp edges and grain, which move: 4:2:0 is far from them."""
    random = torch.Generator().manual_seed(5)
    image = torch.zeros(3, height, width)
    for _ in range(150):
        top, left = (int(torch.randint(0, side, (), generator=random)) for side in (height, width))
        color = torch.randint(0, 2, (3, 1, 1), generator=random) * 200 + 20
        image[:, top : top + 9, left : left + 5] = color
    grain = torch.randn(3, height, width, generator=random) * 4
    image = (image + grain).clamp(0, 255).to(torch.uint8)
    return [torch.roll(image, 2 * i, -1).contiguous() for i in range(count)]


def colourful_clip(path: Path, *, frames: int, crf: int) -> Path:
    """Write such images as H.264 in 4:4:4."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv444p"
        for image in colourful(frames):
            array = image.permute(1, 2, 0).contiguous().numpy()
            box.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        box.mux(stream.encode(None))
    return path
