"""Checks files that consist of frames with almost nothing around them: GIF, IVF, JPEG and DV."""

from __future__ import annotations

import re
from itertools import pairwise

from vsr.media.files.file_bytes import FileBytes

_IVF_HEAD, _IVF_FRAME = 32, 12
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker that ends a JPEG scan: not a stuffed zero byte, not a restart marker."""
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_BETWEEN_SCANS = frozenset({0xC4, 0xDC, 0xDD, _SOS, 0xFE})
"""Tables, lines, restarts, scans and comments. Any other marker after a scan belongs to another frame."""
_FRAMES, _PROGRESSIVE = frozenset({0xC0, 0xC1, 0xC2, 0xC3}), 0xC2
"""Markers of a frame header: baseline, extended, progressive, lossless."""
_DIF, _SEQUENCE = 80, 150
"""Bytes of a DV block, and blocks of a DV sequence (IEC 61834-2)."""


def walk_gif(data: FileBytes) -> tuple[str | None, int | None]:
    """Return the first fault in a GIF file (GIF89a), or None, and the number of images before the trailer."""
    if len(data) < 13:
        return "the file is cut off in its header", None
    at, images = 13 + _palette(data.byte(10)), 0
    while at < len(data):
        kind = data.byte(at)
        if kind == 0x3B:
            rest = len(data) - at - 1
            return (f"{rest} bytes follow the trailer" if rest else None), images
        if kind == 0x21:  # an extension: its label, then sub-blocks
            at += 2
        elif kind == 0x2C and at + 9 < len(data):  # descriptor, palette, code size, then sub-blocks
            at += 11 + _palette(data.byte(at + 9))
            images += 1
        else:
            return f"there is no block of GIF at byte {at}", images
        while at < len(data) and data.byte(at):
            at += 1 + data.byte(at)
        at += 1
    return "the file is cut off: it has no trailer", images


def _palette(flags: int) -> int:
    """Return the size in bytes of the colour table that follows a descriptor with these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def walk_ivf(data: FileBytes) -> tuple[str | None, int | None]:
    """Return where the chain of frames breaks, or None, and how many frames there are.

    If each frame lasts one tick, the second value is the number that there should be.
    """
    at, frames, ticks = int.from_bytes(data[6:8], "little") or _IVF_HEAD, 0, []
    while at < len(data):
        end = at + _IVF_FRAME + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            return f"the file is cut off, or damaged: the frame at byte {at} ends at {end}", frames
        ticks.append(int.from_bytes(data[at + 4 : at + 12], "little"))
        frames += 1
        at = end
    return None, _ivf_frames(ticks, promised=int.from_bytes(data[24:28], "little"))


def _ivf_frames(ticks: list[int], *, promised: int) -> int:
    """Return how many frames there should be. The header states either frames or, by FFmpeg's muxer,
    ticks.
    """
    steps = [later - tick for tick, later in pairwise(ticks)]
    even = bool(steps) and min(steps) >= 1 and sum(step > 1 for step in steps) <= len(steps) // 4
    return promised if even and len(ticks) < promised < 2 * len(ticks) else len(ticks)


def walk_mjpeg(data: FileBytes) -> tuple[str | None, int | None]:
    """Return where something other than a JPEG frame lies, or None, and how many frames begin."""
    at, frames = 0, 0
    while at < len(data):
        if data[at : at + 2] == b"\0\0":  # padding
            at += 1
            continue
        if data[at : at + 2] != bytes((0xFF, _SOI)):
            return f"there is no frame at byte {at}", frames
        frames += 1
        end = _end_of_jpeg(data, at + 2)
        if end is None:
            return f"the frame at byte {at} is cut off, or damaged", frames
        at = end
    return None, frames


def _end_of_jpeg(data: FileBytes, at: int) -> int | None:
    """Return the offset after a frame's EOI marker (T.81, annex B); None if another frame begins before
    it.
    """
    components = 0
    """Components that no scan has contained yet; in a progressive frame each is in many scans."""
    is_progressive = scanned = False
    while data.byte(at) == 0xFF and at + 1 < len(data):
        marker = data.byte(at + 1)
        if marker == _EOI:
            return at + 2
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        done = scanned and not is_progressive and components <= 0
        if marker < 0xC0 or marker == _SOI or done or (scanned and marker not in _BETWEEN_SCANS):
            return None
        if marker in _FRAMES:
            is_progressive, components = marker == _PROGRESSIVE, data.byte(at + 9)
        begin, at = at, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            scanned, components = True, components - data.byte(begin + 4)
            found = data.search(_SCAN_END, at, overlap=1)
            if found is None:
                return None
            at = found
    return None


def walk_dv(data: FileBytes) -> tuple[str | None, None]:
    """Return where a block does not have the type that its position requires, or None.

    DV50 and DV100 have several parts in a frame.
    """
    import numpy as np  # imported late: it takes a fifth of the start-up of `vsr info`

    sequence = _DIF * _SEQUENCE
    size = sequence * (12 if data.byte(3) & 0x80 else 10)  # 625 lines, or 525
    for begin in range(0, len(data), size):
        part = np.frombuffer(data[begin : begin + size], np.uint8)
        kinds = part[: len(part) // sequence * sequence].reshape(-1, _SEQUENCE, _DIF)[:, :, 0] >> 5
        wrong = np.flatnonzero(kinds != _dv_kinds())
        if len(wrong):
            return f"there is no DV block at byte {begin + int(wrong[0]) * _DIF}", None
    return ("the file is cut off within a frame" if len(data) % size else None), None


def _dv_kinds() -> list[int]:
    """Return the section types of a sequence's blocks: header, subcode, auxiliary, then audio before 15 of
    video.
    """
    return [0, 1, 1, 2, 2, 2, *([3, *[4] * 15] * 9)]
