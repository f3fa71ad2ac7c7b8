"""Reads the files of pictures with everything besides the samples. Torch is not imported here."""

from __future__ import annotations

import errno
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av

from vsr.errors import InputError
from vsr.media.files.opening import MAX_PIXELS, open_media, shown
from vsr.media.pictures import exif
from vsr.media.pictures.formats import jpeg, png, tiff, webp
from vsr.media.pictures.formats.headers import fault_of, size_of
from vsr.media.pictures.kinds import Kind, UnsupportedPictureError, check_readable, kind_of, opened
from vsr.media.pictures.metadata import Metadata
from vsr.media.remote.places import remote_of
from vsr.media.remote.reader import size_of as length_of
from vsr.reading import read_file

MOST_BYTES = 2**31
"""Largest file; a picture is read as a whole."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture's file that is read and not decoded."""

    data: bytes
    kind: Kind
    metadata: Metadata
    notes: tuple[str, ...]
    """Sentences about damaged metadata."""


def open_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> PictureFile:
    """Read the file of a picture.

    Raises:
        UnsupportedPictureError: it is of a kind that is not read.
        InputError: it is no picture, cannot be read, or is too large.
    """
    data, kind = _opened(path, max_pixels)
    metadata, notes = _metadata(path, data, kind)
    return PictureFile(data, kind, metadata, tuple(notes))


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture from its header, as it is stored: EXIF may swap them.

    Raises:
        UnsupportedPictureError: it is of a format or a variant that is not read.
        InputError: it cannot be read, or is larger than `vsr.media.files.opening.MAX_PIXELS`.
    """
    data, kind = _opened(path, MAX_PIXELS)
    size = size_of(data, kind) or _size_in_ffmpeg(path)
    if 0 in size:
        raise InputError(f"{shown(path)}: is damaged: its header states no size. Copy it again")
    return size


def _size_in_ffmpeg(path: Path) -> tuple[int, int]:
    try:
        with open_media(path) as container:
            context = container.streams.video[0].codec_context
            return context.width, context.height
    except (av.FFmpegError, IndexError):
        return 0, 0


def _opened(path: Path, max_pixels: int) -> tuple[bytes, Kind]:
    kind = kind_of(path)
    if kind is None:
        check_readable(path)
        raise InputError(f"{shown(path)}: is no picture that vsr reads. Save it as PNG or JPEG")
    try:
        data = _bytes_of(path)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror or error})") from error
    fault = fault_of(data, kind)
    if fault is not None:
        raise UnsupportedPictureError(f"{shown(path)}: {fault}")
    size = size_of(data, kind)
    if size is not None and size[0] * size[1] > max_pixels:
        raise InputError(
            f"{shown(path)}: a picture of {size[0]}x{size[1]} is larger than the limit of {max_pixels}."
            f" Reduce it, or give `max_pixels={size[0] * size[1]}` if you trust the file"
        )
    return data, kind


def _bytes_of(path: Path) -> bytes:
    if remote_of(path) is None:
        return read_file(path, most_bytes=MOST_BYTES)
    if length_of(path) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"has more than {MOST_BYTES:,} bytes")
    with opened(path) as file:
        return file.read()


def _metadata(path: Path, data: bytes, kind: Kind) -> tuple[Metadata, list[str]]:
    """Return what the file contains besides the samples, and a note if that is damaged."""
    try:
        found = _of_avif(data) if kind == "avif" else _READERS.get(kind, lambda _: Metadata())(data)
        if found.exif:
            exif.upright(found.exif, width=1, height=1)
    except (ValueError, struct.error, IndexError, OSError) as error:
        return Metadata(), [f"{shown(path)}: its metadata is damaged and left out ({error})"]
    return found, []


_READERS: dict[Kind, Callable[[bytes], Metadata]] = {
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": webp.read,
    "tiff": tiff.read,
}


def _of_avif(data: bytes) -> Metadata:
    """Return the metadata of an AVIF. Pillow gives the rotation and mirroring of the container as EXIF."""
    from PIL import Image, features

    if not features.check("avif"):
        return Metadata(left_out=("all metadata, since this Pillow does not read AVIF",))
    with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=("AVIF",)) as image:
        info = image.info
        return Metadata(
            exif=info.get("exif", b"").removeprefix(exif.MARK),
            icc=info.get("icc_profile", b""),
            xmp=info.get("xmp", b""),
        )
