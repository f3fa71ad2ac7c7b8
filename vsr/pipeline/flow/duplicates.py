"""Duplicate frames, equal to the previous frame sample for sample, are computed only once.

`Repeats.marked` replaces each duplicate by a mark before the generator, and `Repeats.restored` puts the frame
back afterwards with its own time stamp. The result is the same to the bit as if all frames had been computed.
A mark travels through the stages like a frame, so a static video is written continuously.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from vsr.frame import YuvFrame
from vsr.pipeline.flow.marks import Mark, Repeat
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.threads import close_items

REPEATED = "pictures repeated"
"""Name of the counter in the meter."""


class Repeats:
    """Marks and restores duplicate frames; `marked` and `restored` may run on different threads."""

    def __init__(self, meter: Meter, *, length: int | None = None) -> None:
        """Create the object without a previous frame.

        Args:
            meter: Counts the duplicates.
            length: Number of frames in a segment of a resumable run. Each segment is computed on its own.
                None if there are no segments.
        """
        self._meter = meter
        self._length = length

    def marked(self, frames: Iterable[YuvFrame]) -> Iterator[YuvFrame | Mark]:
        """Yield the frames, which are in host memory, with a mark instead of each duplicate."""
        kept: YuvFrame | None = None
        try:
            for frame in frames:
                if kept is not None and self._repeats(kept, frame):
                    yield Repeat(frame.stamp)
                else:
                    kept = frame
                    yield frame
        finally:
            close_items(frames)

    def restored(self, frames: Iterable[YuvFrame | Mark]) -> Iterator[YuvFrame]:
        """Yield as many frames as went into `marked`, in the same order; other marks are removed."""
        last: YuvFrame | None = None
        for frame in frames:
            if isinstance(frame, YuvFrame):
                last = frame
                yield frame
            elif isinstance(frame, Repeat):
                assert last is not None
                self._meter.count(REPEATED, 1)
                yield replace(last, stamp=frame.stamp)

    def _repeats(self, kept: YuvFrame, frame: YuvFrame) -> bool:
        if self._length and kept.stamp.index // self._length != frame.stamp.index // self._length:
            return False
        with self._meter("compare"):
            return same(kept, frame)


def same(one: YuvFrame, other: YuvFrame) -> bool:
    """Return whether two frames in host memory have the same samples, layout and colour."""
    if (one.layout, one.color) != (other.layout, other.color):
        return False
    if (one.alpha is None) != (other.alpha is None):
        return False
    pairs = list(zip(_planes(one), _planes(other), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return False
    # Compare the middle row first: frames that differ almost always differ there, and it takes no time.
    return all(_equal(a[len(a) // 2], b[len(b) // 2]) for a, b in pairs) and all(
        _equal(a, b) for a, b in pairs
    )


def _planes(frame: YuvFrame) -> tuple[Tensor, ...]:
    return frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)


def _equal(a: Tensor, b: Tensor) -> bool:
    """Compare with numpy, because only the caller's thread may use
    torch's operators (see `flow.open_frames`)."""
    return np.array_equal(a.numpy(), b.numpy())
