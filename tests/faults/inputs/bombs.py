"""Small files that declare large contents: transparent WebM, covers, GIF,
tags, atoms; each has a few KB to a MB."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.faults.inputs.hostile_media import png_bomb
from tests.media_maker import make_clip

SIDE = 16383
"""Largest side that a VP8 frame can declare."""
_VP8_START, _VP9_START = b"\x9d\x01\x2a", b"\x49\x83\x42"


def transparent_webm(path: Path, codec: str) -> Path:
    """Write a WebM with alpha and three frames."""
    return make_clip(path, codec=codec, pix_fmt="yuva420p", frames=3, options={"auto-alt-ref": "0"})


def claiming(path: Path, to: Path, *, alpha: bool) -> Path:
    """Copy the WebM with a first keyframe, of the video or of its alpha,
    that declares `SIDE` x `SIDE` pixels."""
    data = path.read_bytes()
    start = _VP8_START if _VP8_START in data else _VP9_START
    place = data.index(start) + 3
    place = data.index(start, place) + 3 if alpha else place
    old = data[place : place + 6]
    new = struct.pack("<HH", SIDE, SIDE) + old[4:] if start == _VP8_START else _vp9_size(old)
    to.write_bytes(data[:place] + new + data[place + 6 :])
    return to


def _vp9_size(head: bytes) -> bytes:
    """Return the bit position in profile 0: the sync code, 3 bits of colour
    space, 1 of range, then both sides - 1."""
    bits = f"{int.from_bytes(head, 'big'):048b}"
    return int(bits[:4] + f"{SIDE - 1:016b}" * 2 + bits[36:], 2).to_bytes(6, "big")


def with_cover_bomb(path: Path, side: int = 16000) -> Path:
    """Write a short film with a huge cover image."""
    return make_clip(path, frames=4, attachments=[("cover.png", "image/png", png_bomb(side))])


def sparse_gif(path: Path, side: int, frames: int = 3) -> Path:
    """Write a GIF whose frames change one pixel of a large canvas."""
    data = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff"
    for number in range(frames):
        data += b"\x21\xf9\x04" + struct.pack("<BHB", 4, 4, 0) + b"\0"
        data += b"\x2c" + struct.pack("<HHHHB", number, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    path.write_bytes(data + b";")
    return path


def with_tags(path: Path, count: int) -> Path:
    """Write a short film with this number of tags."""
    return make_clip(path, frames=4, metadata={f"key{number:05d}": "v" for number in range(count)})


def with_empty_atoms(path: Path, count: int, *, inside: bool = False) -> Path:
    """Write a short film with this number of empty atoms at its end, or inside its index."""
    data = make_clip(path, frames=4).read_bytes()
    empty = struct.pack(">I4s", 8, b"free") * count
    if inside:
        place = data.index(b"moov") - 4
        size = int.from_bytes(data[place : place + 4], "big")
        data = (
            data[:place]
            + struct.pack(">I", size + len(empty))
            + data[place + 4 : place + 8]
            + empty
            + data[place + 8 :]
        )
    else:
        data += empty
    path.write_bytes(data)
    return path
