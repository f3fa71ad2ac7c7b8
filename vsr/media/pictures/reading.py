"""Reads pictures: samples with their own layout and colour, and everything else that the file contains.

FFmpeg decodes, because it returns chroma as it is stored, which `vsr.color` interpolates as in videos, and
all 16 bits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import av
from torch import Tensor

from vsr.color.spec import UNTAGGED, ColorSpec, PixelLayout
from vsr.errors import InputError
from vsr.frame import Damage, Stamp, VideoInfo, YuvFrame
from vsr.media.decode.facts.probe import describe
from vsr.media.files.opening import MAX_PIXELS, open_media, shown
from vsr.media.files.tiff import is_tiff, without_unknown_tags
from vsr.media.pictures import exif
from vsr.media.pictures.file import open_picture
from vsr.media.pictures.formats import png, webp
from vsr.media.pictures.formats.headers import has_associated_alpha, is_palette
from vsr.media.pictures.kinds import Kind, UnsupportedPictureError
from vsr.media.pictures.metadata import Metadata
from vsr.media.pixels.planes import to_planes

_LENIENT: dict[str, str] = {}
STRICT = {"err_detect": "explode"}
"""Option of the decoder. Without it, FFmpeg fills the missing part of a truncated JPEG with grey and reports
no error."""

_UNREADABLE = (av.FFmpegError, StopIteration, IndexError, ValueError)
"""What decoding a damaged picture raises; ValueError comes from a TIFF whose directory is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A still picture as it is stored."""

    frame: YuvFrame
    info: VideoInfo
    kind: Kind
    metadata: Metadata
    orientation: int
    """1 to 8, as EXIF numbers them; 1 is upright."""
    associated_alpha: bool
    """Whether colours are multiplied by alpha."""
    lossless: bool
    """Whether the format keeps every sample."""
    damage: Damage
    sha256: str
    """Of the file."""


def read_picture(
    path: Path, *, max_pixels: int = MAX_PIXELS, strict: bool = False, color: ColorSpec = UNTAGGED
) -> Picture:
    """Read a still picture.

    Args:
        path: Of the file; its content decides about the format.
        max_pixels: Larger pictures are refused before they are decoded.
        strict: Whether a damaged picture is an error. Otherwise, what is readable of it is returned.
        color: Colour tags that override those of the file.

    Raises:
        UnsupportedPictureError: it is of a kind that is not read.
        InputError: it is no picture, too large or damaged.
    """
    file = open_picture(path, max_pixels=max_pixels)
    data, kind, metadata, notes = file.data, file.kind, file.metadata, file.notes
    frame, alpha, info, note = _decoded(path, data, kind, max_pixels, color, strict=strict)
    planes, own_alpha = to_planes(frame)
    alpha = own_alpha if alpha is None else alpha
    if alpha is not None and not _has_alpha(data, kind, alpha, info.layout):
        alpha = None
    layout = replace(info.layout, alpha=alpha is not None)
    stamp = Stamp(index=0, pts=0, duration=1, time_base=info.time_base)
    return Picture(
        frame=YuvFrame(planes=planes, alpha=alpha, layout=layout, color=info.color, stamp=stamp),
        info=replace(info, layout=layout, path=str(path)),
        kind=kind,
        metadata=metadata,
        orientation=exif.orientation_of(metadata.exif),
        associated_alpha=has_associated_alpha(data, kind),
        lossless=kind not in ("jpeg", "avif") and not (kind == "webp" and not webp.is_lossless(data)),
        damage=Damage(
            notes=[*notes, *([] if note is None else [note])], corrupt_frames=int(note is not None)
        ),
        sha256=hashlib.sha256(data).hexdigest(),
    )


Decoded = tuple[av.VideoFrame, Tensor | None, VideoInfo, str | None]
"""A frame, alpha that is stored apart, facts, and what is damaged."""


def _decoded(
    path: Path, data: bytes, kind: Kind, max_pixels: int, color: ColorSpec, *, strict: bool
) -> Decoded:
    limit = {"max_pixels": str(max_pixels)}
    try:
        return _attempt(path, data, kind, max_pixels, color, STRICT | limit, None)
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is no image in it"
        if strict:
            raise InputError(f"{shown(path)}: is damaged ({reason}). Copy it again") from error
        note = f"{shown(path)}: is damaged ({reason}); missing parts are grey or black"
    try:
        return _attempt(path, data, kind, max_pixels, color, _LENIENT | limit, note)
    except _UNREADABLE as error:
        raise InputError(
            f"{shown(path)}: cannot be decoded ({getattr(error, 'strerror', None) or error}). Copy it again"
        ) from error


def _attempt(
    path: Path,
    data: bytes,
    kind: Kind,
    max_pixels: int,
    color: ColorSpec,
    options: dict[str, str],
    note: str | None,
) -> Decoded:
    with open_media(path, max_pixels=max_pixels) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = options
        frame = decode_tiff(data, options) if kind == "tiff" else next(container.decode(stream))
        info = describe(container, stream, frame, str(path), color=color)
        alpha = _second_stream(path, options, info) if kind == "avif" else None
        return frame, alpha, info, note


def decode_tiff(data: bytes, options: dict[str, str]) -> av.VideoFrame:
    """Decode a TIFF file without the tags for which FFmpeg's strict decoder rejects it as damaged.

    Raises:
        FFmpegError: it cannot be decoded.
        ValueError: its directory is cut off.
        StopIteration: there is no image in it.
    """
    decoder = av.CodecContext.create("tiff", "r")
    decoder.options = options
    cleaned = without_unknown_tags(data) if is_tiff(data) else data
    frames = [*decoder.decode(av.Packet(cleaned)), *decoder.decode(None)]
    return next(frame for frame in frames if isinstance(frame, av.VideoFrame))


def _second_stream(path: Path, options: dict[str, str], info: VideoInfo) -> Tensor | None:
    """Return alpha of an AVIF, which is a picture of its own, with the depth of the colours.

    Raises:
        InputError: the picture is stored as several ones (a grid).
    """
    with open_media(path) as container:
        others = [stream for stream in container.streams.video if stream.index != info.stream_index]
        if not others:
            return None
        sizes = {(stream.codec_context.width, stream.codec_context.height) for stream in others}
        if len(others) > 1 or sizes != {(info.width, info.height)}:
            raise UnsupportedPictureError(
                f"{shown(path)}: is an AVIF of several parts, which is not read. Save it as PNG"
            )
        others[0].codec_context.options = options
        frame = next(container.decode(others[0]))
        (plane, *_), _ = to_planes(frame)
        return _of_depth(plane, frame.format.components[0].bits, info.layout)


def _of_depth(plane: Tensor, bits: int, layout: PixelLayout) -> Tensor | None:
    import torch

    if bits == layout.bit_depth:
        return plane
    scaled = plane.to(torch.float32) * ((2**layout.bit_depth - 1) / (2**bits - 1))
    return scaled.round().to(torch.uint8 if layout.bit_depth == 8 else torch.uint16)


def _has_alpha(data: bytes, kind: Kind, alpha: Tensor, layout: PixelLayout) -> bool:
    """Return whether a picture has alpha; FFmpeg also decodes some that have none to formats with alpha."""
    if kind == "webp":
        return webp.has_alpha(data)
    if kind == "png":
        return data[25] in (4, 6) or any(name == b"tRNS" for name, _ in png.chunks_of(data))
    if kind == "tiff":
        return not is_palette(data)
    if kind == "bmp":  # without masks, the fourth byte of a pixel means nothing (BI_RGB)
        return data[30:34] != bytes(4)
    return kind != "gif" or not bool((alpha == 2**layout.bit_depth - 1).all())


def turned(image: Tensor, orientation: int) -> Tensor:
    """Return an image as it is shown.

    Args:
        image: `(C, H, W)`.
        orientation: 1 to 8, as EXIF numbers them.

    Returns:
        `(C, H, W)`, or `(C, W, H)` for 5 to 8; contiguous.
    """
    if orientation >= 5:
        image = image.transpose(1, 2)
    axes = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}.get(orientation, ())
    return image.flip(axes) if axes else image.contiguous()


def shown_image(picture: Picture) -> Tensor:
    """Return a picture as it is shown, `(3, H, W)` float32 R'G'B', with white behind transparent pixels."""
    frame = picture.frame.to_rgb()
    image = frame.image
    if frame.alpha is not None:
        image = (
            image + (1 - frame.alpha) if picture.associated_alpha else image * frame.alpha + (1 - frame.alpha)
        )
    return turned(image, picture.orientation)
