"""Files of pictures one after the other with next to nothing around them: GIF, IVF, JPEG and DV."""

from __future__ import annotations

import re
from itertools import pairwise

from vsr.media.files.file_bytes import FileBytes

_IVF_HEAD, _IVF_FRAME = 32, 12
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker that ends a JPEG scan: no stuffed zero, no restart."""
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_BETWEEN_SCANS = frozenset({0xC4, 0xDC, 0xDD, _SOS, 0xFE})
"""Tables, lines, restarts, scans and comments; what else comes after a scan is of another picture."""
_FRAMES, _PROGRESSIVE = frozenset({0xC0, 0xC1, 0xC2, 0xC3}), 0xC2
"""Markers of a frame's header: baseline, extended, progressive, lossless."""
_DIF, _SEQUENCE = 80, 150
"""Bytes of a DV block, and blocks of a sequence (IEC 61834-2)."""


def walk_gif(data: FileBytes) -> tuple[str | None, int | None]:
    """The first block that GIF does not have (GIF89a), and how many images come before the trailer."""
    if len(data) < 13:
        return "the file is cut off in its header", None
    at, images = 13 + _palette(data.byte(10)), 0
    while at < len(data):
        kind = data.byte(at)
        if kind == 0x3B:
            behind = len(data) - at - 1
            return (f"{behind} bytes follow the trailer" if behind else None), images
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
    """Bytes of the colour table that follows a descriptor with these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def walk_ivf(data: FileBytes) -> tuple[str | None, int | None]:
    """Where the chain of frames breaks; how many there are, or should be where each has one tick."""
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
    """How many frames there should be: the header's number is one of frames, or of ticks (FFmpeg's muxer)."""
    steps = [later - tick for tick, later in pairwise(ticks)]
    even = bool(steps) and min(steps) >= 1 and sum(step > 1 for step in steps) <= len(steps) // 4
    return promised if even and len(ticks) < promised < 2 * len(ticks) else len(ticks)


def walk_mjpeg(data: FileBytes) -> tuple[str | None, int | None]:
    """Where something else than a JPEG picture lies, and how many pictures begin."""
    at, pictures = 0, 0
    while at < len(data):
        if data[at : at + 2] == b"\0\0":  # padding
            at += 1
            continue
        if data[at : at + 2] != bytes((0xFF, _SOI)):
            return f"there is no picture at byte {at}", pictures
        pictures += 1
        end = _end_of_jpeg(data, at + 2)
        if end is None:
            return f"the picture at byte {at} is cut off, or damaged", pictures
        at = end
    return None, pictures


def _end_of_jpeg(data: FileBytes, at: int) -> int | None:
    """Behind the EOI marker of a picture (T.81, annex B); None where another one begins first."""
    components = 0
    """That no scan has brought yet; in a picture of the progressive kind each comes many times."""
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
    """Where a block is not of the kind that its place asks for; DV50 and DV100 have several parts a frame."""
    import numpy as np  # here, as it would be a fifth of the start of `vsr info`

    sequence = _DIF * _SEQUENCE
    size = sequence * (12 if data.byte(3) & 0x80 else 10)  # of 625 lines, or 525
    for begin in range(0, len(data), size):
        part = np.frombuffer(data[begin : begin + size], np.uint8)
        kinds = part[: len(part) // sequence * sequence].reshape(-1, _SEQUENCE, _DIF)[:, :, 0] >> 5
        wrong = np.flatnonzero(kinds != _dv_kinds())
        if len(wrong):
            return f"there is no DV block at byte {begin + int(wrong[0]) * _DIF}", None
    return ("the file is cut off within a frame" if len(data) % size else None), None


def _dv_kinds() -> list[int]:
    """Section type of each block of a sequence: header, subcode, auxiliary, then audio before 15 of video."""
    return [0, 1, 1, 2, 2, 2, *([3, *[4] * 15] * 9)]
