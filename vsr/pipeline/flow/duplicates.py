"""Frames that repeat the one before, sample for sample, are computed once.

`Repeats.marked` puts a mark in the place of each repeat before the generator, and `Repeats.restored` puts the
frame back after it, with its own stamp; the result is the same, bit for bit, as if all had been computed. A
mark travels in the stream like a frame, so a video that stands still goes on being written.
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
    """Both ends of it; `marked` may run on another thread than `restored`."""

    def __init__(self, meter: Meter, *, length: int | None = None) -> None:
        """Nothing is kept yet.

        Args:
            meter: Counts the repeats.
            length: Frames in a part of the result that a later run may begin with: each part is computed by
                itself. None for one whole.
        """
        self._meter = meter
        self._length = length

    def marked(self, frames: Iterable[YuvFrame]) -> Iterator[YuvFrame | Mark]:
        """The frames, which are on the host, with a mark for each that repeats the one before."""
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
        """As many frames as went into `marked`, in the same order; other marks end here."""
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
    """Whether two pictures on the host have the same samples and mean the same by them."""
    if (one.layout, one.color) != (other.layout, other.color):
        return False
    if (one.alpha is None) != (other.alpha is None):
        return False
    pairs = list(zip(_planes(one), _planes(other), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return False
    # The middle row first: pictures that differ nearly always differ there, and it costs nothing.
    return all(_equal(a[len(a) // 2], b[len(b) // 2]) for a, b in pairs) and all(
        _equal(a, b) for a, b in pairs
    )


def _planes(frame: YuvFrame) -> tuple[Tensor, ...]:
    return frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)


def _equal(a: Tensor, b: Tensor) -> bool:
    """By numpy, not torch, whose operators belong to the caller's thread alone (see `flow.open_frames`)."""
    return np.array_equal(a.numpy(), b.numpy())
