"""Reads image files as R'G'B' tensors.

Chroma is upsampled by `vsr.color` with the siting of the format, all bits of deep images are used, and the
EXIF orientation is applied. A damaged file raises an error and never gives a partly grey image.
"""

from __future__ import annotations

from pathlib import Path

import av
import torch
from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.errors import InputError
from vsr.media.files.opening import MAX_PIXELS, open_media, shown
from vsr.media.files.tiff import READ_COMPRESSIONS, compression_of, is_tiff, without_unknown_tags
from vsr.media.metadata.tags import color_of, details_of, display_matrix_of
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.planes import to_planes
from vsr.reading import open_file, read_file

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""Suffixes by which files count as images; their content decides how they are decoded."""
_STRICT = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
"""Options of the decoder. Without the first, FFmpeg fills the missing part of a truncated JPEG
with grey and reports no error. Without the second, it decodes images above the limit, which the
demuxer only reports as having no size."""
_MAX_FILE_BYTES = 2**30
"""Largest size of a TIFF file, which is read as a whole."""

_NOT_READ = (
    (0, b"\x00\x05\x16\x07", "a metadata file of macOS"),
    (4, b"ftyp", "HEIC, AVIF or a video"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
)
"""Offset and first bytes of files that are intact but not supported, and what they are."""


class UnsupportedImageError(InputError):
    """The file is of an unsupported format; it may be intact."""


def read_image(path: Path) -> Tensor:
    """Decode the first image of a file.

    Returns:
        `(3, H, W)` uint8, R'G'B', full range, with the EXIF orientation applied and without alpha.

    Raises:
        UnsupportedImageError: The file contains something else, or uses an unsupported compression.
        InputError: It cannot be decoded.
    """
    head = _head(path)
    try:
        frame, codec, matrix = _decode_tiff(path) if is_tiff(head) else _decode(path)
    except av.error.PatchWelcomeError as error:
        raise UnsupportedImageError(f"{shown(path)} is of an unsupported format ({error})") from error
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise InputError(f"{shown(path)} cannot be decoded as an image ({error}). Remove it") from error
    return upright(_to_rgb(frame, codec), matrix)


def header_size(path: Path) -> tuple[int, int]:
    """Read height and width from a file's header; the EXIF orientation may swap them.

    Raises:
        UnsupportedImageError: The file contains something else.
        InputError: It cannot be opened, or is larger than `vsr.media.files.opening.MAX_PIXELS`.
    """
    _head(path)
    try:
        with open_media(path) as container:
            stream = container.streams.video[0]
            size = stream.height, stream.width
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{shown(path)} cannot be opened as an image ({error}). Remove it") from error
    if 0 in size:
        raise InputError(f"{shown(path)} contains no image, or one with over {MAX_PIXELS} pixels. Remove it")
    return size


def _head(path: Path) -> bytes:
    """Read the first bytes of a file, and check that its format is supported.

    Raises:
        UnsupportedImageError: It is not supported.
        InputError: It cannot be read.
    """
    try:
        with open_file(path) as file:
            head = file.read(16)
            file.seek(0)
            compression = compression_of(file) if is_tiff(head) else 1
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror or error})") from error
    for place, beginning, what in _NOT_READ:
        if head[place:].startswith(beginning):
            raise UnsupportedImageError(f"{shown(path)} is {what}. Save it as PNG or JPEG")
    if compression not in READ_COMPRESSIONS:
        raise UnsupportedImageError(
            f"{shown(path)} is a TIFF file with compression {compression}, which is not supported (7 is"
            " JPEG). Save it as PNG"
        )
    return head


Matrix = tuple[int, ...]
Decoded = tuple[av.VideoFrame, str, Matrix | None]
"""An image, FFmpeg's name for its codec, and its display matrix."""


def _decode(path: Path) -> Decoded:
    with open_media(path) as container:
        context = container.streams.video[0].codec_context
        context.options = _STRICT
        frame = next(container.decode(video=0))
        return frame, context.codec.canonical_name, display_matrix_of(frame)


def _decode_tiff(path: Path) -> Decoded:
    """Decode a TIFF file without the tags for which FFmpeg's strict decoder rejects it as damaged."""
    try:
        tiff = without_unknown_tags(read_file(path, most_bytes=_MAX_FILE_BYTES))
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{shown(path)} cannot be decoded as an image ({error}). Remove it") from error
    decoder = av.CodecContext.create("tiff", "r")
    decoder.options = _STRICT
    frames = [*decoder.decode(av.Packet(tiff.data)), *decoder.decode(None)]
    frame = next(frame for frame in frames if isinstance(frame, av.VideoFrame))
    return frame, "tiff", tiff.matrix


def _to_rgb(frame: av.VideoFrame, codec: str) -> Tensor:
    layout = layout_of(frame.format.name)
    tagged = color_of(frame, details_of(frame).chroma_location)
    color, _ = tagged.guess_for(width=frame.width, height=frame.height, layout=layout, codec=codec)
    planes, _ = to_planes(frame)
    return to_rgb(planes, color, layout).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def upright(image: Tensor, matrix: Matrix | None) -> Tensor:
    """Rotate and mirror an image as its display matrix says.

    Args:
        image: `(3, H, W)`.
        matrix: FFmpeg's display matrix with quarter turns and
            reflections only; None keeps the image as it is.

    Returns:
        `(3, H, W)` or `(3, W, H)`.
    """
    if matrix is None:
        return image
    a, b, _, c, d, *_ = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 2), c, b
    return image.flip([axis for axis, toward in ((2, a), (1, d)) if toward < 0])
