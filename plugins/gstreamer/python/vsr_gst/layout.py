"""Memory layouts of frames in buffers of GStreamer and in YUV4MPEG2, for
every format that the element supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gi.repository import Gst, GstVideo


@dataclass(frozen=True)
class Format:
    """How YUV4MPEG2 represents a format of GStreamer."""

    space: str
    """YUV4MPEG2's name of the format."""
    sample_bytes: int = 1
    chroma: tuple[int, int] | None = (1, 1)
    """log2 of the chroma subsampling, across and down; None without chroma."""
    interleaved: tuple[int, ...] = ()
    """For a format with interleaved samples, the order of its planes."""

    def sides(self, width: int, height: int) -> list[tuple[int, int]]:
        """Return the bytes of a row and the number of rows for each plane in YUV4MPEG2."""
        luma = (width * self.sample_bytes, height)
        if self.chroma is None:
            return [luma]
        across, down = self.chroma
        chroma = (-(-width >> across) * self.sample_bytes, -(-height >> down))
        return [luma, chroma, chroma]


FORMATS = {
    "I420": Format("420"),
    "NV12": Format("420", interleaved=(1, 2)),
    "Y42B": Format("422", chroma=(1, 0)),
    "Y444": Format("444", chroma=(0, 0)),
    "RGB": Format("444", chroma=(0, 0), interleaved=(2, 0, 1)),  # matrix 0 of H.273 has the order G, B, R
    "GRAY8": Format("mono", chroma=None),
    "I420_10LE": Format("420p10", 2),
    "I422_10LE": Format("422p10", 2, (1, 0)),
    "Y444_10LE": Format("444p10", 2, (0, 0)),
    "I420_12LE": Format("420p12", 2),
    "I422_12LE": Format("422p12", 2, (1, 0)),
    "Y444_12LE": Format("444p12", 2, (0, 0)),
    "Y444_16LE": Format("444p16", 2, (0, 0)),
    "GRAY16_LE": Format("mono16", 2, None),
}
"""Formats by GStreamer's names, in order of preference."""

TEMPLATE = f"""video/x-raw, format=(string){{ {", ".join(FORMATS)} }}, width=(int)[1, 2147483647],
height=(int)[1, 2147483647], framerate=(fraction)[0/1, 2147483647/1]"""


@dataclass(frozen=True)
class Shape:
    """Position of a frame's samples in a buffer of GStreamer."""

    format: Format
    width: int
    height: int
    strides: Sequence[int]
    """Bytes from row to row, for each plane of GStreamer."""
    offsets: Sequence[int]
    """Offset of the first byte of each plane."""
    size: int
    """Size of a buffer in bytes."""

    @classmethod
    def of(cls, info: Any) -> Shape:
        """Read the shape from a `GstVideo.VideoInfo`, or from a buffer's `GstVideo.VideoMeta`."""
        name = info.finfo.name if hasattr(info, "finfo") else GstVideo.VideoFormat.to_string(info.format)
        strides, offsets = list(info.stride), list(info.offset)
        return cls(FORMATS[name], info.width, info.height, strides, offsets, getattr(info, "size", 0))

    def planes(self, data: memoryview) -> list[bytes]:
        """Extract the planes for YUV4MPEG2 from a buffer."""
        sides = self.format.sides(self.width, self.height)
        mixed = self.format.interleaved
        alone = [n for n in range(len(sides)) if n not in mixed]
        found = {n: _rows(data, self.offsets[n], self.strides[n], *sides[n]) for n in alone}
        if mixed:
            row, rows = sides[mixed[0]]
            last = len(alone)
            together = _rows(data, self.offsets[last], self.strides[last], row * len(mixed), rows)
            found |= {plane: together[at :: len(mixed)] for at, plane in enumerate(mixed)}
        return [found[n] for n in range(len(sides))]

    def buffer(self, picture: bytes) -> bytes:
        """Convert concatenated planes of YUV4MPEG2 to a buffer's
        content, without a copy if they are equal."""
        sides = self.format.sides(self.width, self.height)
        mixed = self.format.interleaved
        starts = [sum(row * rows for row, rows in sides[:n]) for n in range(len(sides))]
        if not mixed and self.size == len(picture) and self._is_close(sides, starts):
            return picture
        planes = [
            picture[start : start + row * rows] for start, (row, rows) in zip(starts, sides, strict=True)
        ]
        alone = [n for n in range(len(sides)) if n not in mixed]
        made = bytearray(self.size)
        for n in alone:
            _place(made, self.offsets[n], self.strides[n], *sides[n], planes[n])
        if mixed:
            row, rows = sides[mixed[0]]
            last = len(alone)
            together = bytearray(row * rows * len(mixed))
            for at, plane in enumerate(mixed):
                together[at :: len(mixed)] = planes[plane]
            _place(made, self.offsets[last], self.strides[last], row * len(mixed), rows, together)
        return bytes(made)

    def _is_close(self, sides: Sequence[tuple[int, int]], starts: Sequence[int]) -> bool:
        """Return whether planes and rows are contiguous."""
        found = list(zip(self.strides, self.offsets, strict=True))[: len(sides)]
        return found == [(row, start) for (row, _), start in zip(sides, starts, strict=True)]


def _rows(data: memoryview, offset: int, stride: int, row: int, rows: int) -> bytes:
    """Return rows without padding."""
    if stride == row:
        return bytes(data[offset : offset + row * rows])
    return b"".join(data[at : at + row] for at in range(offset, offset + stride * rows, stride))


def _place(made: bytearray, offset: int, stride: int, row: int, rows: int, plane: bytes | bytearray) -> None:
    """Write rows with padding, the reverse of `_rows`."""
    if stride == row:
        made[offset : offset + row * rows] = plane
        return
    for number in range(rows):
        at = offset + stride * number
        made[at : at + row] = plane[row * number : row * (number + 1)]


def of_any_size(caps: Any) -> Any:
    """Return the caps of the other side: the same, except for width and height."""
    template = Gst.Caps(TEMPLATE)
    if caps.is_any() or caps.is_empty():
        return template if caps.is_any() else caps
    free = caps.copy()
    for side in ("width", "height"):
        free.set_value(side, Gst.IntRange(range(1, 2**31 - 1)))
    return free.intersect_full(template, Gst.CapsIntersectMode.FIRST)
