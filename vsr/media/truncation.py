"""Whether a file ends before its own structure does: the only sure sign of truncation in most containers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def cut_off(path: str | Path, container: str) -> str | None:
    """Why the file is known to be truncated, in words; None where it is whole or its container cannot tell.

    Args:
        path: Of the file.
        container: FFmpeg's name of the demuxer.
    """
    find_end = _ENDS.get(container.split(",")[0])
    if find_end is None:
        return None
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        end = find_end(file, size)
    if end is None or end <= size:
        return None
    return f"the file is cut off: {size} bytes are there, its structure needs {end}"


def _end_of_mov(file: BinaryIO, size: int) -> int | None:
    """End of the last top-level atom (ISO/IEC 14496-12): 32-bit size, type; 1 means a 64-bit size follows."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; less: not an atom
            return None
        start += length
    return start


def _end_of_matroska(file: BinaryIO, size: int) -> int | None:
    """End of the Segment (RFC 9559), which follows the EBML header; None when its size is unknown (live)."""
    start = 0
    while start < size:
        file.seek(start)
        head = file.read(16)
        id_length = _vint_length(head, 0)
        size_length = _vint_length(head, id_length)
        if not id_length or not size_length:
            return None
        bits = 7 * size_length
        length = int.from_bytes(head[id_length : id_length + size_length], "big") & ((1 << bits) - 1)
        if length == (1 << bits) - 1:  # unknown size
            return None
        start += id_length + size_length + length
        if head[:4] == b"\x18\x53\x80\x67":
            return start
    return None


def _end_of_riff(file: BinaryIO, size: int) -> int | None:
    """End of the last RIFF chunk; OpenDML files have several."""
    start = end = 0
    while start + 12 <= size:
        file.seek(start)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):  # something else follows, or never filled in
            return None
        end = start + 8 + length
        start = end + length % 2
    return end


def _vint_length(data: bytes, at: int) -> int:
    """Bytes of the EBML variable-size integer at an offset; 0 where there is none."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0


_ENDS: dict[str, Callable[[BinaryIO, int], int | None]] = {
    "mov": _end_of_mov,
    "matroska": _end_of_matroska,
    "avi": _end_of_riff,
}
