"""The length that a YUV4MPEG2 stream must have.

https://wiki.multimedia.cx/index.php/YUV4MPEG2 describes the header: a line of parameters, each a letter and
its value; then frames, each behind a line that begins with FRAME.
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
"""First digits of the colour space to the pixels, across and down, that share a chroma sample."""


def end_of(head: bytes, size: int) -> int | None:
    """Bytes that a stream needs to hold the last frame that it begins.

    Args:
        head: At least its first line.
        size: Bytes that are there.

    Returns:
        `size` for a whole stream; None where the header tells nothing, or frames carry parameters.
    """
    line, newline, rest = head.partition(b"\n")
    picture = picture_bytes(line.decode("ascii", "replace"))
    if not line.startswith(b"YUV4MPEG2 ") or not newline or not picture:
        return None
    if not rest.startswith(b"FRAME\n"[: len(rest)]):
        return None
    begins, one = len(line) + 1, _MARK + picture
    return begins + -(-(size - begins) // one) * one


def picture_bytes(header: str) -> int | None:
    """Bytes of one frame, by the first line of a stream; None for a colour space that is not known."""
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
