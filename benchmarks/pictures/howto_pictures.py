"""Draws the pictures of the how-tos: bicubic, `vsr` and the original, for a disc, a cartoon and a photograph.

    VSR_MATERIAL=FOLDER python -m benchmarks.pictures.howto_pictures [dvd] [anime] [photo]

Each original is reduced and compressed as such files are, and upscaled with the preset of the page.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

import vsr
from benchmarks.pictures.footage import material, originals, write_lr_clip
from benchmarks.tables import ROOT
from vsr.media.png import png_bytes
from vsr.models.archs.resample import resize
from vsr.report.compare.inputs import eight_bit
from vsr.report.compare.still import enlarged, in_rows
from vsr.report.letters import labelled

DOCS = ROOT / "docs"
CRF = 21
"""CRF of x264."""
DETAIL = (200, 118)
"""Width and height of a detail, in pixels of the result."""
Panel = tuple[str, Tensor]
"""A label, and an image `(3, H, W)` in [0, 1]."""


def dvd(folder: Path) -> tuple[list[Panel], tuple[int, int]]:
    """Sintel as interlaced MPEG-2 of 4 Mbit/s: each frame has the lines of two moments."""
    frames = originals("film/sintel_alley/*.png")
    disc = folder / "disc.mpg"
    small = [resize(image[None], height=216, width=512)[0].clamp(0, 1) for image in frames]
    woven = [_woven(a, b) for a, b in zip(small[::2], small[1::2], strict=True)]
    _write_disc(disc, woven)
    plain = _upscaled(disc, 2, deinterlace="off", model="bicubic")
    ours = _upscaled(disc, 4, pipeline="dvd", deinterlace="double", model="compact-x2-crisp")
    panels = [("fields, enlarged as they are", plain), ("vsr --deinterlace double", ours)]
    return [*panels, ("original (Sintel, © Blender Foundation)", frames[4])], (400, 80)


def anime(folder: Path) -> tuple[list[Panel], tuple[int, int]]:
    """A cartoon of 480x270, H.264."""
    with av.open(str(material() / "film/cartoon_table.mkv")) as box:
        arrays = [frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)][:6]
    frames = [torch.from_numpy(a.copy()).permute(2, 0, 1).float() / 255 for a in arrays]
    clip = folder / "cartoon.mkv"
    write_lr_clip(clip, frames, 2, CRF)
    plain = _upscaled(clip, 3, model="bicubic", scale=2)
    ours = _upscaled(clip, 3, pipeline="anime", model="compact-x2-crisp")
    panels = [(f"x2 of H.264 at CRF {CRF}: bicubic", plain), ("vsr --pipeline anime", ours)]
    return [*panels, ("original (drawings: Open Clip Art)", frames[3])], (470, 160)


def photo(folder: Path) -> tuple[list[Panel], tuple[int, int]]:
    """A photograph of half the size, JPEG at quality 85."""
    original = originals("testsets/kodak/kodim19.png")[0]
    height, width = (side // 2 for side in original.shape[1:])
    small = eight_bit(resize(original[None], height=height, width=width)[0].clamp(0, 1))
    source = folder / "photo.jpg"
    Image.fromarray(small.permute(1, 2, 0).numpy()).save(source, quality=85, subsampling=2)
    made = []
    for model in ("bicubic", "compact-x2-crisp"):
        result = folder / f"{model}.png"
        vsr.upscale(source, result, model=model, scale=2)
        codes = np.asarray(Image.open(io.BytesIO(result.read_bytes())).convert("RGB"))
        made.append(torch.from_numpy(codes.copy()).permute(2, 0, 1).float() / 255)
    panels = [("x2 of a JPEG at quality 85: bicubic", made[0]), ("vsr, compact-x2-crisp", made[1])]
    return [*panels, ("original (photograph: Alan Fink)", original)], (0, 440)


def _woven(first: Tensor, second: Tensor) -> Tensor:
    """Return a frame with the even lines of one moment and the odd lines of the next."""
    frame = first.clone()
    frame[:, 1::2] = second[:, 1::2]
    return frame


def _write_disc(path: Path, frames: Sequence[Tensor]) -> None:
    with av.open(str(path), "w", format="dvd") as box:
        stream = box.add_stream(
            "mpeg2video", rate=25, options={"flags": "+ildct+ilme", "b": "4M", "top": "1"}
        )
        stream.height, stream.width = frames[0].shape[1:]
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            codes = eight_bit(image).permute(1, 2, 0).contiguous().numpy()
            frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())


def _upscaled(clip: Path, number: int, **settings: object) -> Tensor:
    """Return a frame of a clip's result, `(3, H, W)` in [0, 1]."""
    result = clip.with_name("result.mkv")
    vsr.upscale(clip, result, overwrite=True, **settings)  # type: ignore[arg-type]
    with vsr.open_video(result) as video:
        return list(video.frames())[number].to_rgb().image.clamp(0, 1)


PICTURES: dict[str, Callable[[Path], tuple[list[Panel], tuple[int, int]]]] = {
    one.__name__: one for one in (dvd, anime, photo)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(PICTURES), help=", ".join(PICTURES))
    for name in parser.parse_args().names:
        with tempfile.TemporaryDirectory() as folder:
            panels, (left, top) = PICTURES[name](Path(folder))
        width, height = DETAIL
        details = [(label, image[:, top : top + height, left : left + width]) for label, image in panels]
        drawn = [labelled(enlarged(eight_bit(image)), label) for label, image in details]
        data = png_bytes(in_rows(drawn, columns=3))
        (DOCS / f"howto-{name}.png").write_bytes(data)
        print(f"howto-{name}.png: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
