"""Detects truncated files: parts that the file's own structure states and that are missing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from vsr.media.files.stdio import is_pipe, missing_end
from vsr.media.files.y4m import end_of
from vsr.media.formats.atoms import top_level_atoms
from vsr.media.integrity.transport import unit_of
from vsr.media.remote.reader import open_bytes, size_of

POSITIONED = ("matroska", "flv", "avi", "nut")
"""Demuxers whose packets lie in the file one directly after the other, so that a hole between two of them is
a loss."""
_TAIL = 1 << 24
_PACKS, _PACKS_TRIED = 1 << 20, 16
"""Bytes at the end of a program stream that are searched, and the number of start codes in them that are
tried."""
_CLUSTER = b"\x1f\x43\xb6\x75"
_AFTER_CLUSTERS = (
    b"\x1c\x53\xbb\x6b",  # Cues
    b"\x12\x54\xc3\x67",  # Tags
    b"\x19\x41\xa4\x69",  # Attachments
    b"\x10\x43\xa7\x70",  # Chapters
    b"\x11\x4d\x9b\x74",  # SeekHead
    b"idx1",  # AVI's index
    b"JUNK",
)
"""Elements that may follow the last packet (RFC 9559, section 5; AVI)."""


def cut_off(path: str | Path, container: str) -> str | None:
    """Return a sentence that says why the file is truncated; None if it is complete or its container cannot
    show it.

    Args:
        path: Path of the file.
        container: FFmpeg's name of the demuxer.
    """
    if is_pipe(path):
        return missing_end()
    find_end = _ENDS.get(container.split(",")[0])
    if find_end is None:
        return None
    size = size_of(path)
    with open_bytes(path) as file:
        end = find_end(file, size)
    if end is None or end <= size:
        return None
    return f"the file is cut off: it has {size} bytes, but its structure needs {end}"


def unread_bytes(path: str | Path, container: str, last: int) -> int:
    """Count the bytes after the last packet that are neither packets nor an index or tags at the end of a
    file.

    Args:
        path: Path of the file.
        container: FFmpeg's name of the demuxer. The result is 0 for those not in `POSITIONED`.
        last: Offset of the end of the last packet.
    """
    if container.split(",")[0] not in POSITIONED or not last or is_pipe(path):
        return 0
    with open_bytes(path) as file:
        file.seek(last)
        tail = file.read(_TAIL)
    ends = [at for at in (tail.find(mark) for mark in _AFTER_CLUSTERS) if at >= 0]
    return min(ends, default=len(tail)) if _CLUSTER not in tail else len(tail)


def has_avi_index(path: str | Path) -> bool:
    """Return whether an AVI file of one RIFF chunk contains its index (idx1) completely, so that FFmpeg has
    read it.
    """
    size = size_of(path)
    with open_bytes(path) as file:
        start = 12
        end = 8 + int.from_bytes(file.read(8)[4:], "little")
        while start + 8 <= end <= size <= end + 1:
            file.seek(start)
            head = file.read(8)
            start += 8 + int.from_bytes(head[4:], "little")
            if head[:4] == b"idx1":
                return start <= size
            start += start % 2
    return False


def _end_of_mov(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last top-level atom; None if one extends to the end of the file, or is not an
    atom.
    """
    end = 0
    for atom in top_level_atoms(file, size):
        if not atom.length:
            return None
        end = atom.start + atom.length
    return end


def _end_of_matroska(file: BinaryIO, size: int) -> int | None:
    """Return the end of the Segment (RFC 9559), which follows the EBML header; None if its size is unknown
    (live).
    """
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


def _end_of_flv(file: BinaryIO, size: int) -> int | None:
    """Return the `filesize` of an FLV's onMetaData tag: an AMF number, which is a 0 and a big-endian
    double.
    """
    head = file.read(4096)
    at = head.find(b"filesize\0")
    if at < 0:
        return None
    return int(struct.unpack_from(">d", head.ljust(8192, b"\0"), at + 9)[0])


def _end_of_transport(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last transport packet. Complete files consist of whole packets; interrupted
    copies rarely do.
    """
    unit = unit_of(file.read(1024))
    return None if unit is None else -(-size // unit[0]) * unit[0]


def _end_of_program(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last packet of a program stream (ISO/IEC 13818-1, 2.5), found from a pack near
    the end.
    """
    begin = max(0, size - _PACKS)
    file.seek(begin)
    tail = file.read()
    at = -1
    for _ in range(_PACKS_TRIED):  # audio data may contain a pack's start code by chance
        at = tail.find(b"\0\0\1\xba", at + 1)
        if at < 0:
            return None
        end = _walk_packs(tail, at)
        if end is not None:
            return begin + end
    return None


def _walk_packs(data: bytes, at: int) -> int | None:
    """Return where the last pack or packet after an offset ends, which may be after the end of `data`; else
    None.
    """
    while at < len(data):
        if not data.startswith(b"\0\0\1", at) and at + 3 <= len(data):
            return None
        head = data[at : at + 14].ljust(14, b"\0")
        if head[3] == 0xBA:
            at += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12  # MPEG-2 or MPEG-1
        elif head[3] == 0xB9:  # the end
            at += 4
        elif head[3] < 0xB9 and at + 4 <= len(data):  # the start code of a frame, not of a packet
            return None
        else:
            at += 6 + int.from_bytes(head[4:6], "big")
    return at


def _end_of_y4m(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last frame, which may be incomplete."""
    file.seek(0)
    return end_of(file.read(512), size)


def _end_of_riff(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last RIFF chunk; OpenDML files have several."""
    start = end = 0
    while start + 12 <= size:
        file.seek(start)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (
            0,
            0xFFFFFFFF,
        ):  # not RIFF, or no length yet
            return None
        end = start + 8 + length
        start = end + length % 2
    return end


def _end_of_png(file: BinaryIO, size: int) -> int | None:
    """Return the end of the IEND chunk; a chunk is its length, type, data and checksum (PNG, section 5.3)."""
    start, kind = 8, b""
    while kind != b"IEND":
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            return size + 12  # at least IEND is missing
        kind = head[4:]
        start += 12 + int.from_bytes(head[:4], "big")
    return start


def _end_of_gif(file: BinaryIO, size: int) -> int | None:
    """Return the end of the trailer (GIF89a, section 27), found by the lengths of the blocks before it."""
    file.seek(0)
    data = file.read()
    if len(data) < 13:
        return size + 1
    at = 13 + _gif_palette(data[10])
    while at < size:
        kind = data[at]
        if kind == 0x3B:
            return at + 1
        if kind == 0x21:  # an extension: its label, then sub-blocks
            at += 2
        elif kind == 0x2C and at + 9 < size:  # an image: descriptor, palette, code size, then sub-blocks
            at += 11 + _gif_palette(data[at + 9])
        elif kind == 0x2C:
            return size + 1
        else:
            return None  # not a GIF block: the decoder will report the damage
        while at < size and data[at]:
            at += 1 + data[at]
        at += 1
    return max(at, size) + 1


def _gif_palette(flags: int) -> int:
    """Return the size in bytes of the colour table that follows a descriptor with these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _vint_length(data: bytes, at: int) -> int:
    """Return the length in bytes of the EBML variable-size integer at an offset; 0 where there is none."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0


_ENDS: dict[str, Callable[[BinaryIO, int], int | None]] = {
    "mov": _end_of_mov,
    "matroska": _end_of_matroska,
    "avi": _end_of_riff,
    "flv": _end_of_flv,
    "mpegts": _end_of_transport,
    "mpeg": _end_of_program,
    "gif": _end_of_gif,
    "apng": _end_of_png,
    "webp_pipe": _end_of_riff,
    "yuv4mpegpipe": _end_of_y4m,
}
