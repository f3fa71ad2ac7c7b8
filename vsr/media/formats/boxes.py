"""Finds, reads and rewrites the boxes inside the index of an MP4 or MOV file (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from vsr.media.formats.atoms import MOST_EMPTY

MAX_BOX = 1 << 20
"""In bytes; boxes that describe a track are smaller. A larger one is damaged, and is not read."""
Edit = Callable[[bytes], bytes | None]
"""Returns the new content of a box, given the old one; None removes the box."""


def find_boxes(file: BinaryIO, start: int, end: int, *path: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the contents of all boxes along `path` begin and end in a file."""
    empty = 0
    while start + 8 <= end and empty < MOST_EMPTY:
        file.seek(start)
        head = file.read(16)
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(head[8:], "big"), start + 16
        stop = end if size == 0 else start + size
        if stop < content or stop > end:
            return
        empty += stop == content
        if head[4:8] == path[0]:
            if len(path) == 1:
                yield content, stop
            else:
                yield from find_boxes(file, content, stop, *path[1:])
        start = stop


def find_track(file: BinaryIO, number: int) -> tuple[int, int] | None:
    """Return where the content of a track's box begins and ends in a file, or None.

    Args:
        file: Of MP4 or MOV.
        number: Number of the track (track_ID).
    """
    for start, end in find_boxes(file, 0, file.seek(0, 2), b"moov", b"trak"):
        for at, _ in find_boxes(file, start, end, b"tkhd"):
            file.seek(at)
            head = file.read(24)
            if int.from_bytes(head[20:24] if head[:1] == b"\1" else head[12:16], "big") == number:
                return start, end
    return None


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box with its header."""
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def full_box(kind: bytes, content: bytes) -> bytes:
    """Return a box with version 0 and flags 0 before its content."""
    return box(kind, bytes(4) + content)


def split_boxes(content: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the kind and content of each box in `content`, and the bytes that remain after them."""
    found, start = [], 0
    while start + 8 <= len(content):
        size = int.from_bytes(content[start : start + 4], "big")
        if not 8 <= size <= len(content) - start:
            break
        found.append((content[start + 4 : start + 8], content[start + 8 : start + size]))
        start += size
    return found, content[start:]


def edited(content: bytes, edit: Edit, *path: bytes) -> bytes:
    """Return `content` with the first box along `path` edited; unchanged if there is no such box."""
    boxes, rest = split_boxes(content)
    parts, done = [], False
    for kind, inside in boxes:
        new: bytes | None = inside
        if kind == path[0] and not done:
            done = True
            new = edit(inside) if len(path) == 1 else edited(inside, edit, *path[1:])
        parts.append(b"" if new is None else box(kind, new))
    return b"".join(parts) + rest


def first_box(content: bytes, *path: bytes) -> bytes | None:
    """Return the content of the first box along `path`, or None."""
    found = next((inside for kind, inside in split_boxes(content)[0] if kind == path[0]), None)
    return found if found is None or len(path) == 1 else first_box(found, *path[1:])
