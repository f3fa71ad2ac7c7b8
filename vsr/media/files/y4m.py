"""Computes the length that a complete YUV4MPEG2 stream must have.

The header is described at https://wiki.multimedia.cx/index.php/YUV4MPEG2: a line of parameters, each a letter
and its value, then the frames, each after a line that begins with FRAME.
"""

from __future__ import annotations

import re

_MARK = len(b"FRAME\n")
_CHROMA: dict[str, tuple[int, int]] = {
    "420": (2, 2),
    "422": (2, 1),
    "411": (4, 1),
    "444": (1, 1),
    "410": (4, 4),
}
"""Maps the first digits of the colour space to the pixels, across and down, that share a chroma sample."""


def end_of(head: bytes, size: int) -> int | None:
    """Return the number of bytes that a stream needs to contain its last frame completely.

    Args:
        head: The beginning of the stream, with at least its first line.
        size: The number of bytes in the stream.

    Returns:
        `size` for a complete stream; None where the header is insufficient, or frames have parameters.
    """
    line, newline, rest = head.partition(b"\n")
    frame = frame_bytes(line.decode("ascii", "replace"))
    if not line.startswith(b"YUV4MPEG2 ") or not newline or not frame:
        return None
    if not rest.startswith(b"FRAME\n"[: len(rest)]):
        return None
    begins, one = len(line) + 1, _MARK + frame
    return begins + -(-(size - begins) // one) * one


def frame_bytes(header: str) -> int | None:
    """Return the number of bytes in a frame, from the first line of a stream; None for an unknown colour
    space.
    """
    values = {word[0]: word[1:] for word in header.split()[1:] if word}
    try:
        width, height = int(values["W"]), int(values["H"])
    except (KeyError, ValueError):
        return None
    space = values.get("C", "420jpeg")
    depth = re.search(r"(?:p|mono)(\d+)$", space)
    sample = 2 if depth and int(depth[1]) > 8 else 1
    if space.startswith("mono"):
        return width * height * sample
    shared = _CHROMA.get(space[:3])
    if shared is None or "alpha" in space:
        return None
    across, down = shared
    return (width * height + 2 * -(-width // across) * -(-height // down)) * sample
