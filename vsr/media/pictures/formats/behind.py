"""What lies behind the picture of a file: further pictures, the clip of a live photo, data of phones.

Phones and cameras append it to a JPEG, sometimes without a word about it before. Every reader of pictures
stops at the end of the first one, so nothing else would notice.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_AFTER_SAMPLES = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker in or behind coded samples, in which 0xff is followed by a zero or is a restart marker."""
_END = 0xD9
_JPEG = b"\xff\xd8\xff"
_CLIP = re.compile(rb"\0\0\0[\x08-\x40]ftyp(mp4|iso|qt|avc|hvc|3gp|M4V|MSNV)")
"""The beginning of an MP4 or MOV."""
_FILLING = b"\0\xff\r\n "
"""Bytes with which programs fill files up."""


def behind_jpeg(data: bytes, *, has_index: bool) -> Iterator[str]:
    """Yield a phrase for each thing behind the first picture of a JPEG file.

    Args:
        data: The file.
        has_index: Whether the file lists its pictures (MPF), which are then named as such.
    """
    rest = data[_end_of(data) :]
    has_clip = _CLIP.search(rest) is not None
    has_pictures = has_index or rest.lstrip(_FILLING[:1]).startswith(_JPEG)
    if has_pictures:
        yield "the further pictures of the file, such as a gain map (Ultra HDR) or a preview"
    if has_clip:
        yield "the clip of a live photo"
    if rest.endswith(b"SEFT"):
        yield "the data of the phone's own programs behind the picture"
    elif rest.strip(_FILLING) and not has_pictures and not has_clip:
        yield f"{len(rest)} bytes behind the picture"


def _end_of(data: bytes) -> int:
    """Return where the first picture of a JPEG ends; the length of the file if that is not in it."""
    at = 2
    while found := _AFTER_SAMPLES.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            return at
        if at + 2 > len(data):
            break
        at += int(struct.unpack_from(">H", data, at)[0])
    return len(data)


def behind(data: bytes, end: int) -> Iterator[str]:
    """Yield a phrase if there is something behind the end of a picture.

    Args:
        data: The file.
        end: Where its format says that the picture ends.
    """
    if data[end:].strip(_FILLING):
        yield f"{len(data) - end} bytes behind the picture"
