"""Recognises chunks without content in AVI, which capture programs write for frames that they dropped.

Such a chunk says that the frame before stays on the screen; demuxers pass over it, so that bytes lie between
two packets that belong to neither. Nothing is missing there. Microsoft's AVI RIFF File Reference and the
OpenDML extensions (1996) describe the chunks.
"""

from __future__ import annotations

from pathlib import Path

from vsr.media.remote.reader import open_bytes

_HEAD = 8
"""Bytes: four letters, and the length of what follows."""
_LIST = 12
"""Bytes of a list's head: its chunks follow at once."""
_LISTS = frozenset({b"LIST", b"RIFF"})
_FILLERS = frozenset({b"JUNK", b"idx1"})
_MOST = 1 << 20
"""Bytes that are looked through at most."""


def holds_no_frame(path: str | Path, start: int, end: int) -> bool:
    """Whether the bytes between two packets of an AVI file are whole chunks of which none holds a frame.

    Args:
        path: Of the file.
        start: Where the content of the one packet ends.
        end: Where that of the next begins, behind its chunk's head.
    """
    at = start + start % 2  # chunks begin at even places
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
    """Bytes to the next chunk; None where this one may hold a frame."""
    if name in _LISTS:
        return _LIST
    if not size or name in _FILLERS or name.startswith(b"ix"):
        return _HEAD + size + size % 2
    return None
