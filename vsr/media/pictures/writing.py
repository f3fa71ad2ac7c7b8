"""Writes pictures as PNG, JPEG, WebP and TIFF, in memory.

Grey stays grey. PNG and TIFF have 8 bits, or 16 for sources with more than 8. JPEG has 8 bits and 4:4:4
chroma, so that no chroma is lost. WebP is lossless for sources of lossless formats, else 4:2:0.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np

from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Range
from vsr.errors import ConfigError, OutputError
from vsr.frame import YuvFrame
from vsr.media.pictures.formats import jpeg, png, tiff, webp
from vsr.media.pictures.kinds import Kind
from vsr.media.pictures.metadata import Metadata
from vsr.media.pixels.planes import to_av_frame

QUALITY = 95
"""Of JPEG, and of WebP that is not lossless, on the scale of 1 to 100 that both encoders have."""
_MOST_SIDE: dict[Kind, int] = {"jpeg": 65500, "webp": webp.MOST_SIDE, "png": 2**20, "tiff": 2**20}
"""The longest side in pixels."""
_NAMES: dict[Kind, str] = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF"}
_PNG_FORMATS = {
    ("gray", 8, False): "gray",
    ("gray", 8, True): "ya8",
    ("gray", 16, False): "gray16be",
    ("gray", 16, True): "ya16be",
    ("rgb", 8, False): "rgb24",
    ("rgb", 8, True): "rgba",
    ("rgb", 16, False): "rgb48be",
    ("rgb", 16, True): "rgba64be",
}
"""Maps family, depth and alpha to FFmpeg's pixel formats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePlan:
    """How a result is written."""

    kind: Kind
    layout: PixelLayout
    """Of the frame that `encoded` takes."""
    color: ColorSpec
    lossless: bool
    notes: tuple[str, ...] = ()
    """A phrase for each property of the source's samples that the format cannot store."""

    def __str__(self) -> str:
        """Return the format for people, with its quality."""
        if self.kind in ("png", "tiff"):
            return f"{_NAMES[self.kind]}, {self.layout.bit_depth} bits"
        if self.lossless:
            return "WebP, lossless"
        chroma = {"gray": "grey", "yuv": "4:2:0" if self.layout.chroma_shift[0] else "4:4:4"}
        return f"{_NAMES[self.kind]}, quality {QUALITY}, {chroma[self.layout.family]}"


def plan_for(kind: Kind, source: PixelLayout, color: ColorSpec, *, lossless: bool) -> PicturePlan:
    """Return how to write a picture.

    Args:
        kind: Format of the result: png, jpeg, webp or tiff.
        source: Layout of the source.
        color: Colour of the source; its transfer curve and primaries are kept.
        lossless: Whether the source's format keeps every sample.
    """
    deep, grey = source.bit_depth > 8, source.family == "gray"
    notes = []
    if deep and kind in ("jpeg", "webp"):
        notes.append(f"{source.bit_depth} bits (8 are left)")
    if source.alpha and kind == "jpeg":
        notes.append("transparency (the picture is put on white)")
    exact = kind in ("png", "tiff") or (kind == "webp" and lossless)
    plan = PicturePlan(
        kind=kind,
        layout=PixelLayout(
            family="gray" if grey and kind != "webp" else "rgb" if exact else "yuv",
            bit_depth=16 if deep and kind in ("png", "tiff") else 8,
            chroma_shift=(1, 1) if kind == "webp" and not exact else (0, 0),
            alpha=source.alpha and kind != "jpeg",
        ),
        color=_color(color, kind, exact=exact),
        lossless=exact,
        notes=tuple(notes),
    )
    return plan


def _color(source: ColorSpec, kind: Kind, *, exact: bool) -> ColorSpec:
    """Return the colour as the format stores it: BT.601 where it is Y'CbCr (ITU-T T.871, RFC 6386)."""
    matrix = Matrix.RGB if exact else Matrix.BT470BG
    limited = kind == "webp" and not exact
    return replace(
        source,
        matrix=matrix,
        range=Range.LIMITED if limited else Range.FULL,
        chroma_location=ChromaLocation.CENTER,
    )


def check_size(kind: Kind, width: int, height: int) -> None:
    """Check that a format can hold a picture.

    Raises:
        ConfigError: it is too large; the message has the limit.
    """
    most = _MOST_SIDE[kind]
    if max(width, height) > most:
        raise ConfigError(
            f"the result would be {width}x{height}, but {_NAMES[kind]} has at most {most} pixels a side."
            " Use a smaller `scale`, or write .png"
        )
    if kind == "tiff" and width * height * 8 > tiff.MOST_BYTES:
        raise ConfigError(f"the result of {width}x{height} may exceed the 4 GiB of a TIFF file. Write .png")


def encoded(frame: YuvFrame, plan: PicturePlan, metadata: Metadata) -> bytes:
    """Return the file of a picture.

    Args:
        frame: Upright, in host memory, with the layout and colour of the plan.
        plan: See `plan_for`.
        metadata: See `vsr.media.pictures.keeping.kept`.

    Raises:
        OutputError: the encoder refuses the picture.
    """
    try:
        if plan.kind == "png":
            return png.written(
                _by_ffmpeg(frame, "png", _png_format(plan.layout), {"pred": "mixed"}), metadata
            )
        if plan.kind == "tiff":
            return tiff.written(_interleaved(frame), metadata)
        if plan.kind == "jpeg":
            return jpeg.written(_as_jpeg(frame), metadata)
        picture = _as_lossless_webp(frame) if plan.lossless else _as_webp(frame)
        alpha = frame.alpha is not None
        return webp.written(picture, metadata, width=frame.width, height=frame.height, alpha=alpha)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise OutputError(f"the picture cannot be written as {_NAMES[plan.kind]} ({error})") from error


def _png_format(layout: PixelLayout) -> str:
    return _PNG_FORMATS[layout.family, layout.bit_depth, layout.alpha]


def _by_ffmpeg(frame: YuvFrame, codec: str, pixel_format: str, options: dict[str, str]) -> bytes:
    image = to_av_frame(frame, pixel_format)
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = image.width, image.height, pixel_format
    encoder.time_base, encoder.options = Fraction(1), options
    image.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(image), *encoder.encode(None)))


def _interleaved(frame: YuvFrame) -> np.ndarray:
    planes = [*frame.planes, *([] if frame.alpha is None else [frame.alpha])]
    return np.stack([plane.numpy() for plane in planes], axis=-1)


def _as_jpeg(frame: YuvFrame) -> bytes:
    """Encode by libjpeg, which gets Y'CbCr at full size and converts nothing."""
    from PIL import Image

    planes = [Image.fromarray(plane.numpy()) for plane in frame.planes]
    image = planes[0] if len(planes) == 1 else Image.merge("YCbCr", planes)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return out.getvalue()


def _as_lossless_webp(frame: YuvFrame) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    # `exact` keeps the colours of transparent pixels; quality is the effort here.
    Image.fromarray(_interleaved(frame)).save(out, "WEBP", lossless=True, exact=True, quality=75)
    return out.getvalue()


def _as_webp(frame: YuvFrame) -> bytes:
    pixel_format = "yuv420p" if frame.alpha is None else "yuva420p"
    return _by_ffmpeg(frame, "libwebp", pixel_format, {"quality": str(QUALITY)})
