"""The formats of pictures, recognised by their content. Torch is not imported here."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from vsr.errors import InputError
from vsr.media.remote.places import is_nameless, remote_of
from vsr.media.remote.reader import open_bytes
from vsr.reading import open_file

Kind = Literal["jpeg", "png", "webp", "tiff", "avif", "gif", "bmp", "pnm", "qoi"]

TARGETS: dict[str, Kind] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
"""Maps the suffix of a result, in lower case, to the format that is written."""
ANIMATED = frozenset({".gif", ".apng"})
"""Suffixes of results that are animations, whatever the source is."""
_SUFFIX_OF: dict[Kind, str] = {"jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
"""The suffix of a result in the format of its source; that of others is PNG, which loses nothing."""
SUFFIXES = frozenset(
    {*TARGETS, ".avif", ".bmp", ".dib", ".pbm", ".pgm", ".ppm", ".pnm", ".qoi", ".heic", ".heif", ".mpo"}
)
"""Suffixes of the pictures that a folder is searched for. HEIC is not read; each such file is reported."""
_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"qoif", "qoi"),
    *((b"P%d" % n + space, "pnm") for n in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
)
_UNREAD: tuple[tuple[int, bytes, str], ...] = (
    (0, b"II+\0", "BigTIFF. Save it as TIFF or PNG"),
    (0, b"MM\0+", "BigTIFF. Save it as TIFF or PNG"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL. Save it as PNG"),
    (0, b"\xff\x0a", "JPEG XL. Save it as PNG"),
    (0, b"8BPS", "a Photoshop document. Save it as TIFF or PNG"),
    (0, b"\x00\x05\x16\x07", "a companion file of macOS, not a picture"),
)
_HEAD = 64
"""Bytes that are read to recognise a format."""
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


class UnsupportedPictureError(InputError):
    """The picture is of a format or a variant that is not read; the file may be intact."""


def kind_of(path: Path | str) -> Kind | None:
    """Return the format of a picture; None for videos, other files, and files that cannot be read.

    Raw MJPEG begins as JPEG does; it is a video unless its name has a suffix of pictures, or it has no name.

    Raises:
        InputError: a URL or a file object cannot be read.
    """
    with suppress(OSError):
        head = _head(Path(path))
        kind = next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), None)
        if kind == "jpeg" and not _is_picture_name(Path(path)):
            return None
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return "webp"
        return "avif" if _brands(head) & _AVIF_BRANDS else kind
    return None


def _is_picture_name(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or (is_nameless(path) and not path.suffix)


def is_picture(path: Path | str) -> bool:
    """Return whether a file is a still picture that can be read: of a known format, and with one frame."""
    return kind_of(path) is not None and not is_animated(path)


def suffix_for(path: Path) -> str | None:
    """Return the suffix of a result that is to have the format of its source; None if that is no picture."""
    return _SUFFIX_OF.get(kind_of(path) or "png", ".png") if is_picture(path) else None


def becomes_picture(source: Path, target: Path) -> bool:
    """Return whether a still picture is to become a still picture; everything else is a video."""
    return target.suffix.lower() in TARGETS and is_picture(source)


def becomes_animation(source: Path, target: Path) -> bool:
    """Return whether an animated picture is asked for: by a suffix that only such ones have, or by that of
    pictures for an animation, or for WebP, any video."""
    suffix = target.suffix.lower()
    return suffix in ANIMATED or (
        suffix in (".png", ".webp") and not is_picture(source) and (suffix == ".webp" or is_animated(source))
    )


def check_readable(path: Path) -> None:
    """Refuse formats of pictures that are known and not read.

    Raises:
        UnsupportedPictureError: the file is of such a format; the message says what it is.
    """
    from vsr.media.files.opening import shown  # imported late, with PyAV

    with suppress(OSError):
        head = _head(path)
        brands = _brands(head)
        if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS:
            raise UnsupportedPictureError(
                f"{shown(path)}: is HEIC, which is not read. Save it as JPEG or PNG"
            )
        for place, beginning, what in _UNREAD:
            if head[place:].startswith(beginning):
                raise UnsupportedPictureError(f"{shown(path)}: is {what}")


def is_animated(path: Path | str) -> bool:
    """Return whether a picture has several frames: an APNG, an animated WebP or AVIF, or a GIF of more than
    one image.
    """
    with suppress(OSError, struct.error), opened(Path(path)) as file:
        head = file.read(_HEAD)
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            return _has_control_chunk(file)
        if head[:3] == b"GIF":
            return _has_second_image(file)
        if head[8:16] == b"WEBPVP8X":
            return bool(head[20] & 2)
        return b"avis" in head[8:12]
    return False


def opened(path: Path) -> BinaryIO:
    """Open a picture's bytes: of a regular file, a URL or a file object.

    Raises:
        OSError: a local file cannot be opened, or is not a regular file.
        InputError: a URL or a file object cannot be read.
    """
    return open_file(path) if remote_of(path) is None else open_bytes(path)


def _head(path: Path) -> bytes:
    with opened(path) as file:
        return file.read(_HEAD)


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of an ISO base media file, as far as `head` has them."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(len(head), int.from_bytes(head[:4], "big"))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}


def _has_control_chunk(file: BinaryIO) -> bool:
    """Return whether a PNG announces more than one frame before its first image data (APNG specification)."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">L4s", head)
        if name == b"acTL":
            return bool(struct.unpack(">L", file.read(4))[0] > 1)
        if name in (b"IDAT", b"IEND"):
            return False
        file.seek(length + 4, 1)
    return False


def _has_second_image(file: BinaryIO) -> bool:
    """Return whether a GIF has more than one image (GIF89a specification)."""
    file.seek(10)
    (flags,) = struct.unpack("B2x", file.read(3))
    file.seek(_color_table(flags), 1)
    images = 0
    while (mark := file.read(1)) in (b"!", b","):
        if mark == b",":
            images += 1
            if images > 1:
                return True
            (flags,) = struct.unpack("8xB", file.read(9))
            file.seek(_color_table(flags) + 1, 1)
        else:
            file.seek(1, 1)
        while length := file.read(1)[:1]:
            if length == b"\0":
                break
            file.seek(length[0], 1)
    return False


def _color_table(flags: int) -> int:
    """Return the bytes of the colour table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
