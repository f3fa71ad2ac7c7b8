"""Clips of real footage for the pictures of README.md and of the model cards, compressed with H.264.

None of the images here was used to train the networks that are shipped. `FOLDER/data` of `VSR_MATERIAL`
contains `testsets/kodak` (Kodak Photo CD Photo Sampler: free for electronic imaging with a credit of the
photographer) and `film/sintel_alley` (Sintel, © Blender Foundation, CC BY 3.0).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

import vsr
from vsr.models.archs.resample import resize

RATE = 24
SHOWN = 3
"""Number of the frame that is shown: one that depends on the frames before it."""
LOSSLESS = 0
"""CRF of x264 that changes no sample of 8-bit 4:2:0."""


@dataclass(frozen=True)
class Shot:
    """A detail of some footage."""

    files: str
    """The original: a photograph, from which a slow pan is made, or the frames of a film (a glob)."""
    corner: tuple[int, int]
    """Left and top of the detail, in pixels of the original."""
    credit: str
    """Who made the original: Kodak asks for a credit of the photographer where an image is not altered."""


def material() -> Path:
    """Return the folder of the footage."""
    return Path(os.environ["VSR_MATERIAL"]) / "data"


def originals(files: str) -> list[Tensor]:
    """Return frames `(3, H, W)` in [0, 1] whose sides are multiples of 16."""
    images = [_read(path) for path in sorted(material().glob(files))]
    if len(images) > 1:
        return [image[:, : image.shape[1] // 16 * 16, : image.shape[2] // 16 * 16] for image in images]
    return _pan(images[0])


def _read(path: Path) -> Tensor:
    codes = np.asarray(Image.open(path).convert("RGB"))
    return torch.from_numpy(codes.copy()).permute(2, 0, 1).float() / 255


def _pan(image: Tensor, *, frames: int = 5, right: int = 8, down: int = 4) -> list[Tensor]:
    """Return parts of a photograph, each `right` and `down` pixels from the one before."""
    height, width = (image.shape[1] - frames * down) // 16 * 16, (image.shape[2] - frames * right) // 16 * 16
    corners = [(n * down, n * right) for n in range(frames)]
    return [image[:, top : top + height, left : left + width] for top, left in corners]


def write_lr_clip(path: Path, frames: Sequence[Tensor], scale: int, crf: int) -> None:
    """Downscale frames by `scale` (antialiased bicubic) and encode them with x264, 4:2:0, BT.709."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width = (side // scale for side in frames[0].shape[1:])
        stream.pix_fmt = "yuv420p"
        tags = stream.codec_context  # not taken from the frames; without tags, small video is BT.601
        tags.colorspace = tags.color_primaries = tags.color_trc = tags.color_range = 1
        for number, frame in enumerate(frames):
            container.mux(stream.encode(_lr_frame(frame, scale, number)))
        container.mux(stream.encode())


def _lr_frame(image: Tensor, scale: int, number: int) -> av.VideoFrame:
    lr = resize(image[None], height=image.shape[1] // scale, width=image.shape[2] // scale)[0].clamp(0, 1)
    codes = (lr * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(format="yuv420p", dst_colorspace=1)
    frame.colorspace, frame.color_range = 1, 1  # BT.709, limited range
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    return frame


def upscaled(clip: Path, model: str, scale: int) -> Tensor:
    """Return the shown frame of a clip's result by `vsr upscale`, `(3, H, W)` in [0, 1]; nothing is kept."""
    result = clip.with_name(f"{clip.stem}-{model}.mkv")
    vsr.upscale(clip, result, model=model, scale=scale, encoder="ffv1")
    with vsr.open_video(result, start=Fraction(SHOWN, RATE)) as video:
        image = next(video.frames()).to_rgb().image.clamp(0, 1)
    result.unlink()
    return image
