"""Recognises empty chunks in AVI, which capture programs write for dropped frames.

An empty chunk means that the previous frame is shown longer. Demuxers skip it, so there are bytes between two
packets that belong to neither, although nothing is missing. Microsoft's AVI RIFF File Reference and the
OpenDML extensions (1996) describe the chunks.
"""

from __future__ import annotations

from pathlib import Path

from vsr.media.remote.reader import open_bytes

_HEAD = 8
"""Size of a chunk's header in bytes: four letters, and the length of the content."""
_LIST = 12
"""Size of a list's header in bytes; the chunks of the list follow it."""
_LISTS = frozenset({b"LIST", b"RIFF"})
_FILLERS = frozenset({b"JUNK", b"idx1"})
_MOST = 1 << 20
"""The largest number of bytes that are searched."""


def holds_no_frame(path: str | Path, start: int, end: int) -> bool:
    """Return whether the bytes between two packets of an AVI file are complete chunks that contain no frame.

    Args:
        path: Path of the file.
        start: Offset at which the content of the first packet ends.
        end: Offset at which the content of the second packet begins, after its chunk's header.
    """
    at = start + start % 2  # chunks begin at even offsets
    if end - at > _MOST:
        return False
    with open_bytes(path) as file:
        file.seek(at)
        data = file.read(end - at)
    while at + _HEAD < end:
        head = data[:_LIST]
        step = _step(head[:4], int.from_bytes(head[4:8], "little"))
        if step is None:
            return False
        at, data = at + step, data[step:]
    return at + _HEAD == end


def _step(name: bytes, size: int) -> int | None:
    """Return the number of bytes to the next chunk; None if this chunk may contain a frame."""
    if name in _LISTS:
        return _LIST
    if not size or name in _FILLERS or name.startswith(b"ix"):
        return _HEAD + size + size % 2
    return None
