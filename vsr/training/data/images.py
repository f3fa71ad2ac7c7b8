"""Image files as R'G'B' tensors.

Chroma is enlarged by `vsr.color` with the siting of the format, all bits of deep pictures are used, and what
EXIF says of how a photograph was held is followed. A damaged file is an error, never a picture with a part
in grey.
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
"""Of files that are taken for pictures; what is in them, their content decides."""
_STRICT = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
"""Options of the decoder. Without the first, FFmpeg fills what is missing of a cut JPEG with grey and says
nothing; without the second, it decodes what the demuxer's limit only hid the size of."""
_MAX_FILE_BYTES = 2**30
"""Of a TIFF file, which is read whole."""

_NOT_READ = (
    (0, b"\x00\x05\x16\x07", "what macOS keeps beside a file"),
    (4, b"ftyp", "HEIC, AVIF or a video"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
)
"""Place and beginning of files that are whole, but no pictures that can be read here."""


class UnsupportedPictureError(InputError):
    """A picture of a kind that is not read; the file itself may be whole."""


def read_image(path: Path) -> Tensor:
    """Decode the first picture of a file.

    Returns:
        `(3, H, W)` uint8, R'G'B', full range, turned as EXIF says; transparency is left out.

    Raises:
        UnsupportedPictureError: the file holds something else, or is packed in a way that is not read.
        InputError: it cannot be decoded.
    """
    head = _head(path)
    try:
        frame, codec, matrix = _decode_tiff(path) if is_tiff(head) else _decode(path)
    except av.error.PatchWelcomeError as error:
        raise UnsupportedPictureError(f"{shown(path)}: is of a kind that is not read ({error})") from error
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise InputError(f"{shown(path)}: cannot be decoded as a picture ({error}); remove it") from error
    return upright(_to_rgb(frame, codec), matrix)


def header_size(path: Path) -> tuple[int, int]:
    """Height and width as the file's header has them, which EXIF may swap.

    Raises:
        UnsupportedPictureError: the file holds something else.
        InputError: it cannot be opened, or is larger than `vsr.media.files.opening.MAX_PIXELS`.
    """
    _head(path)
    try:
        with open_media(path) as container:
            stream = container.streams.video[0]
            size = stream.height, stream.width
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{shown(path)}: cannot be opened as a picture ({error}); remove it") from error
    if 0 in size:
        raise InputError(f"{shown(path)}: holds no picture, or one over {MAX_PIXELS} pixels; remove it")
    return size


def _head(path: Path) -> bytes:
    """The beginning of a file of a kind that is read.

    Raises:
        UnsupportedPictureError: it holds something else.
        InputError: it cannot be read.
    """
    try:
        with open_file(path) as file:
            head = file.read(16)
            file.seek(0)
            compression = compression_of(file) if is_tiff(head) else 1
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror or error})") from error
    for place, beginning, what in _NOT_READ:
        if head[place:].startswith(beginning):
            raise UnsupportedPictureError(f"{shown(path)}: is {what}; save it as PNG or JPEG")
    if compression not in READ_COMPRESSIONS:
        raise UnsupportedPictureError(
            f"{shown(path)}: is TIFF with compression {compression}, which is not read (7 is JPEG); save it"
            " as PNG"
        )
    return head


Matrix = tuple[int, ...]
Decoded = tuple[av.VideoFrame, str, Matrix | None]
"""A picture, FFmpeg's name of its codec, and the matrix by which it is shown."""


def _decode(path: Path) -> Decoded:
    with open_media(path) as container:
        context = container.streams.video[0].codec_context
        context.options = _STRICT
        frame = next(container.decode(video=0))
        return frame, context.codec.canonical_name, display_matrix_of(frame)


def _decode_tiff(path: Path) -> Decoded:
    """TIFF without the tags for which FFmpeg's strict decoder takes a file for damaged."""
    try:
        tiff = without_unknown_tags(read_file(path, most_bytes=_MAX_FILE_BYTES))
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{shown(path)}: cannot be decoded as a picture ({error}); remove it") from error
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
    """A picture as it is shown.

    Args:
        image: `(3, H, W)`.
        matrix: FFmpeg's display matrix, of quarter turns and mirrors; None leaves the picture as it is.

    Returns:
        `(3, H, W)` or `(3, W, H)`.
    """
    if matrix is None:
        return image
    a, b, _, c, d, *_ = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 2), c, b
    return image.flip([axis for axis, toward in ((2, a), (1, d)) if toward < 0])
