"""Image files decode to their content: all formats, with the EXIF orientation, in the colours of `vsr.color`.

The reference is Pillow, which decodes with other libraries (libjpeg-turbo,
libtiff, libwebp) and rotates by itself.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from tests.training.photographs import photograph
from vsr.errors import InputError
from vsr.media.pictures.file import read_size
from vsr.media.pictures.kinds import UnsupportedPictureError
from vsr.training.data.images import SUFFIXES, read_image

SIZE = (120, 80)
"""Width and height, which differ, so that a rotation is visible."""


def soft(size: tuple[int, int] = SIZE) -> Image.Image:
    """Make an image of smooth colours, which chroma subsampling hardly changes."""
    small = F.interpolate(photograph(0)[None, :, ::16, ::16].float(), size=size[::-1], mode="bicubic")
    return Image.fromarray(small[0].clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())


def seen(path: Path) -> np.ndarray:
    """`(H, W, 3)` float64."""
    return read_image(path).permute(1, 2, 0).numpy().astype(float)


def judged(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(float)


WAYS = {
    "a.jpg": {},
    "a.JPEG": {"quality": 95},
    "a.jpe": {},
    "a.jfif": {"format": "JPEG"},
    "progressive.jpg": {"progressive": True},
    "a.png": {},
    "a.bmp": {},
    "a.webp": {"quality": 90},
    "lossless.webp": {"lossless": True},
    "a.tif": {},
    "a.tiff": {"compression": "tiff_lzw"},
    "deflate.tif": {"compression": "tiff_adobe_deflate"},
    "packbits.tif": {"compression": "packbits"},
    "jpeg.png": {"format": "JPEG"},
    "jpeg.webp": {"format": "JPEG"},
    "jpeg.tif": {"format": "JPEG"},
    "jpeg.bmp": {"format": "JPEG"},
    "png.jpg": {"format": "PNG"},
    "webp.jpg": {"format": "WEBP"},
    "webp.png": {"format": "WEBP"},
    "tiff.png": {"format": "TIFF"},
    "bmp.jpg": {"format": "BMP"},
    "a.avif": {"quality": 99},
}


@pytest.mark.parametrize("name", WAYS)
def test_every_format_is_read_by_its_content_under_any_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    soft().save(path, **WAYS[name])
    assert path.suffix.lower() in SUFFIXES
    assert read_size(path) == SIZE
    assert np.abs(seen(path) - judged(path)).mean() < 1  # Pillow rounds, and upsamples chroma differently


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(m, s) for m in ("RGBA", "L", "LA", "P", "1") for s in ("png", "tif", "bmp") if (m, s) != ("LA", "bmp")],
)
def test_every_pixel_format_is_read(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    image = soft()
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(SIZE))
    else:
        image = image.convert(mode)
    image.save(path)
    expected = np.asarray(image.convert("RGB")).astype(float)
    assert np.abs(seen(path) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_photograph_is_rotated_as_exif_says(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    soft().save(path, exif=exif, quality=95)
    made, expected = seen(path), judged(path)
    assert made.shape == expected.shape == ((120, 80, 3) if orientation > 4 else (80, 120, 3))
    assert np.abs(made - expected).mean() < 1


def halves(first: tuple[int, int, int], second: tuple[int, int, int]) -> np.ndarray:
    """Make blurred stripes of two colours with almost equal luma, which only chroma can distinguish."""
    x = 0.5 + 0.5 * np.sin(np.arange(160) / 160 * 2 * np.pi * 11)
    row = x[:, None] * np.array(first) + (1 - x)[:, None] * np.array(second)
    return np.repeat(row[None], 96, 0).round().astype(np.uint8)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif"])
def test_chroma_of_420_is_upsampled_by_a_filter_and_not_by_repetition(name: str, tmp_path: Path) -> None:
    """Compare with the original: nearest-neighbour upsampling shifts soft
    edges by a quarter of a chroma sample."""
    path, original = tmp_path / name, halves((200, 90, 90), (90, 150, 120))
    Image.fromarray(original).save(path, quality=97, subsampling="4:2:0")
    with av.open(str(path)) as box:
        frame = next(box.decode(video=0))
        nearest = frame.reformat(format="rgb24", interpolation="POINT", threads=1).to_ndarray()
    error = np.abs(seen(path) - original).mean()
    assert error < np.abs(judged(path) - original).mean() + 0.1
    assert error < 0.6 * np.abs(nearest.astype(float) - original).mean()


@pytest.mark.parametrize("pix_fmt", ["rgb48be", "gray16be"])
def test_16_bits_are_rounded_and_not_truncated(pix_fmt: str, tmp_path: Path) -> None:
    grey = pix_fmt.startswith("gray")
    shape = (64, 96) if grey else (64, 96, 3)
    codes = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(codes, format=pix_fmt.replace("be", "le")).reformat(format=pix_fmt)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, pix_fmt, Fraction(1, 25)
    path = tmp_path / "deep.png"
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))
    expected = codes.astype(float)[..., None] / 257 if grey else codes / 257
    assert np.abs(seen(path) - expected).max() <= 0.5
    assert abs((seen(path) - expected).mean()) < 0.01


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x00\x05\x16\x07" + bytes(60), "macOS"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
        (b"8BPS" + bytes(60), "Photoshop"),
    ],
)
def test_an_unsupported_format_is_named(data: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    for read in (read_image, read_size):
        with pytest.raises(UnsupportedPictureError, match=what):
            read(path)


def test_jpeg_in_tiff_is_rejected_and_not_read_as_noise(tmp_path: Path) -> None:
    soft().save(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(UnsupportedPictureError, match="compression 7"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_tiff_is_an_error(compression: str, share: float, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    soft((400, 300)).save(whole, compression=compression)
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(InputError, match=r"cut\.tif"):
        read_image(path)
