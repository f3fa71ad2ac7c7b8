"""Draws the picture at the top of README.md: bicubic, `vsr` and the
original, for clips compressed with H.264.

    VSR_MATERIAL=FOLDER python -m benchmarks.readme_picture

`FOLDER/data` contains `testsets/kodak` (Kodak's photographs) and `film/sintel_alley` (Sintel, CC BY 3.0).
None of these images was used to train the networks that are shown. The details are places with a visible
difference; the model cards have the averages.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import vsr
from vsr.models.archs.resample import resize
from vsr.report.compare.still import ZOOM, enlarged, in_rows

PICTURE = Path(__file__).parent.parent / "docs" / "before-after.png"
CRF = 18
"""CRF of x264 with its preset `medium`, a common choice for good quality."""
RATE = 24
SHOWN = 3
"""Number of the frame that is shown: one that depends on the frames before it."""
DETAIL = (200, 118)
"""Width and height of a detail, in pixels of the result."""
LABEL_HEIGHT = 28


@dataclass(frozen=True)
class Row:
    """One row of the picture."""

    files: str
    """The original: a photograph, from which a slow pan is made, or the frames of a film (a glob)."""
    scale: int
    model: str
    corner: tuple[int, int]
    """Left and top of the detail, in pixels of the result."""
    credit: str
    """Who made the original: Kodak asks for a credit of the photographer where an image is not altered."""


ROWS = (
    Row("testsets/kodak/kodim23.png", 4, "fast-x4-crisp", (80, 160), "photograph: Steve Kelly"),
    Row("testsets/kodak/kodim19.png", 4, "compact-x4-crisp", (0, 440), "photograph: Alan Fink"),
    Row("film/sintel_alley/*.png", 2, "compact-x2-crisp", (400, 80), "Sintel, © Blender Foundation"),
)


def originals(material: Path, files: str) -> list[Tensor]:
    """Return frames `(3, H, W)` in [0, 1] whose sides are multiples of 16."""
    images = [_read(path) for path in sorted(material.glob(files))]
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


def write_lr_clip(path: Path, frames: Sequence[Tensor], scale: int) -> None:
    """Downscale frames by `scale` (antialiased bicubic) and encode them with x264, 4:2:0, BT.709."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(CRF), "preset": "medium"})
        stream.height, stream.width = (side // scale for side in frames[0].shape[1:])
        stream.pix_fmt = "yuv420p"
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


def panels(row: Row, material: Path, folder: Path) -> list[Tensor]:
    """Return the details of a row: bicubic, the model's result, the
    original. The clips are written to `folder`."""
    clip, result = folder / "clip.mkv", folder / "result.mkv"
    frames = originals(material, row.files)
    write_lr_clip(clip, frames, row.scale)
    vsr.upscale(clip, result, model=row.model, encoder="ffv1", overwrite=True)
    height, width = frames[0].shape[1:]
    at = Fraction(SHOWN, RATE)
    bicubic = resize(frame_at(clip, at)[None], height=height, width=width)[0].clamp(0, 1)
    left, top = row.corner
    across, down = DETAIL
    images = (bicubic, frame_at(result, at), frames[SHOWN])
    return [image[:, top : top + down, left : left + across] for image in images]


def frame_at(path: Path, at: Fraction) -> Tensor:
    """Return a frame, `(3, H, W)` in [0, 1]."""
    with vsr.open_video(path, start=at) as video:
        return next(video.frames()).to_rgb().image.clamp(0, 1)


def labelled(images: list[Tensor], labels: Sequence[str]) -> Image.Image:
    """Join panels side by side, each above its label."""
    codes = in_rows([enlarged((image * 255).round().byte()) for image in images]).permute(1, 2, 0).numpy()
    picture = Image.new("RGB", (codes.shape[1], codes.shape[0] + LABEL_HEIGHT), "white")
    picture.paste(Image.fromarray(codes), (0, LABEL_HEIGHT))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=20)
    step = (picture.width - DETAIL[0] * ZOOM) // (len(images) - 1)
    for number, label in enumerate(labels):
        pen.text((number * step + 4, 2), label, fill="black", font=font)
    return picture


def main() -> None:
    material = Path(os.environ["VSR_MATERIAL"]) / "data"
    drawn = []
    for row in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            labels = (f"x{row.scale}: bicubic", f"vsr, {row.model}", f"original ({row.credit})")
            drawn.append(labelled(panels(row, material, Path(folder)), labels))
    whole = Image.new("RGB", (drawn[0].width, sum(image.height for image in drawn)), "white")
    for number, image in enumerate(drawn):
        whole.paste(image, (0, number * image.height))
    whole.save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
