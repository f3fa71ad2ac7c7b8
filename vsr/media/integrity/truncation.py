"""Parts that a file's own structure promises and that are missing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from vsr.media.files.stdio import is_pipe, missing_end
from vsr.media.files.y4m import end_of
from vsr.media.formats.atoms import top_level_atoms
from vsr.media.integrity.transport import unit_of

POSITIONED = ("matroska", "flv", "avi", "nut")
"""Demuxers whose packets lie in the file as they are, one after the other: a hole between them is a loss."""
_TAIL = 1 << 24
_PACKS, _PACKS_TRIED = 1 << 20, 16
"""Bytes at the end of a program stream that are looked at, and start codes in them that are tried."""
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
"""What may follow the last packet (RFC 9559, section 5; AVI)."""


def cut_off(path: str | Path, container: str) -> str | None:
    """Why the file is known to be truncated, in words; None where it is whole or its container cannot tell.

    Args:
        path: Of the file.
        container: FFmpeg's name of the demuxer.
    """
    if is_pipe(path):
        return missing_end()
    find_end = _ENDS.get(container.split(",")[0])
    if find_end is None:
        return None
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        end = find_end(file, size)
    if end is None or end <= size:
        return None
    return f"the file is cut off: {size} bytes are there, its structure needs {end}"


def unread_bytes(path: str | Path, container: str, last: int) -> int:
    """Bytes after the last packet that are neither packets nor the index and tags that usually end a file.

    Args:
        path: Of the file.
        container: FFmpeg's name of the demuxer; 0 is the answer for those not in `POSITIONED`.
        last: Where the last packet ended.
    """
    if container.split(",")[0] not in POSITIONED or not last or is_pipe(path):
        return 0
    with Path(path).open("rb") as file:
        file.seek(last)
        tail = file.read(_TAIL)
    ends = [at for at in (tail.find(mark) for mark in _AFTER_CLUSTERS) if at >= 0]
    return min(ends, default=len(tail)) if _CLUSTER not in tail else len(tail)


def has_avi_index(path: str | Path) -> bool:
    """Whether an AVI of one RIFF chunk holds its index (idx1) whole, so that FFmpeg has read all of it."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
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
    """End of the last top-level atom; None where one reaches to the end of the file, or is none."""
    end = 0
    for atom in top_level_atoms(file, size):
        if not atom.length:
            return None
        end = atom.start + atom.length
    return end


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


def _end_of_flv(file: BinaryIO, size: int) -> int | None:
    """The `filesize` of an FLV's onMetaData tag: an AMF number, which is a 0 and a big-endian double."""
    head = file.read(4096)
    at = head.find(b"filesize\0")
    if at < 0:
        return None
    return int(struct.unpack_from(">d", head.ljust(8192, b"\0"), at + 9)[0])


def _end_of_transport(file: BinaryIO, size: int) -> int | None:
    """End of the last transport packet: files are whole packets, a copy that broke off seldom is."""
    unit = unit_of(file.read(1024))
    return None if unit is None else -(-size // unit[0]) * unit[0]


def _end_of_program(file: BinaryIO, size: int) -> int | None:
    """End of the last packet of a program stream (ISO/IEC 13818-1, 2.5), walked to from a pack near it."""
    begin = max(0, size - _PACKS)
    file.seek(begin)
    tail = file.read()
    at = -1
    for _ in range(_PACKS_TRIED):  # a pack's start code may also stand in sound by chance
        at = tail.find(b"\0\0\1\xba", at + 1)
        if at < 0:
            return None
        end = _walk_packs(tail, at)
        if end is not None:
            return begin + end
    return None


def _walk_packs(data: bytes, at: int) -> int | None:
    """Where the last of the packs and packets from an offset on ends, perhaps behind `data`; else None."""
    while at < len(data):
        if not data.startswith(b"\0\0\1", at) and at + 3 <= len(data):
            return None
        head = data[at : at + 14].ljust(14, b"\0")
        if head[3] == 0xBA:
            at += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12  # MPEG-2 or MPEG-1
        elif head[3] == 0xB9:  # the end
            at += 4
        elif head[3] < 0xB9 and at + 4 <= len(data):  # the start code of a picture, not of a packet
            return None
        else:
            at += 6 + int.from_bytes(head[4:6], "big")
    return at


def _end_of_y4m(file: BinaryIO, size: int) -> int | None:
    """End of the last picture that begins."""
    file.seek(0)
    return end_of(file.read(512), size)


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


def _end_of_png(file: BinaryIO, size: int) -> int | None:
    """End of the IEND chunk; a chunk is its length, type, data and checksum (PNG, section 5.3)."""
    start, kind = 8, b""
    while kind != b"IEND":
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            return size + 12  # IEND at least is missing
        kind = head[4:]
        start += 12 + int.from_bytes(head[:4], "big")
    return start


def _end_of_gif(file: BinaryIO, size: int) -> int | None:
    """End of the trailer (GIF89a, section 27), behind blocks that are found by their lengths alone."""
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
            return None  # no block of GIF: damaged, or something strange; the decoder will tell
        while at < size and data[at]:
            at += 1 + data[at]
        at += 1
    return max(at, size) + 1


def _gif_palette(flags: int) -> int:
    """Bytes of the colour table that follows a descriptor with these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _vint_length(data: bytes, at: int) -> int:
    """Bytes of the EBML variable-size integer at an offset; 0 where there is none."""
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
