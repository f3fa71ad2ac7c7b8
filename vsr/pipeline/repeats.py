"""Pictures that repeat the one before, sample for sample, are computed once: holds, duplicates, telecine.

`unique` takes repeats out of the stream before the generator and `restored` puts them back behind it, each
with its own stamp; the result is the same, bit for bit, as if all had been computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from vsr.frame import Stamp, YuvFrame
from vsr.pipeline.meter import Meter
from vsr.pipeline.prefetch import close_items

REPEATED = "pictures repeated"
"""Name of the counter in the meter."""
LONGEST = 64
"""Repeats of one picture in a row; then it is computed again. A film that stands still for hours must go on
being written, and its progress shown."""


class Repeats:
    """What connects both ends; `unique` may run on another thread than `restored`."""

    def __init__(self, meter: Meter, *, length: int | None = None) -> None:
        """Nothing is kept yet.

        Args:
            meter: Counts the repeats.
            length: Pictures in a part of the result that a later run may begin with: each part is computed
                by itself. None for one whole.
        """
        self._meter = meter
        self._length = length
        self._order: deque[Stamp | None] = deque()
        """What comes out next: a picture computed (None), or a repeat of the one before with this stamp."""

    def unique(self, frames: Iterable[YuvFrame]) -> Iterator[YuvFrame]:
        """The frames that are no repeats, on the host."""
        kept: YuvFrame | None = None
        repeats = 0
        try:
            for frame in frames:
                if kept is not None and repeats < LONGEST and self._repeats(kept, frame):
                    repeats += 1
                    self._order.append(frame.stamp)
                    continue
                kept, repeats = frame, 0
                self._order.append(None)
                yield frame
        finally:
            close_items(frames)

    def restored(self, frames: Iterable[YuvFrame]) -> Iterator[YuvFrame]:
        """As many frames as went into `unique`, in the same order."""
        last: YuvFrame | None = None
        for frame in frames:
            yield from self._pending(last)
            self._order.popleft()
            last = frame
            yield frame
        yield from self._pending(last)

    def _pending(self, last: YuvFrame | None) -> Iterator[YuvFrame]:
        while last is not None and self._order and (stamp := self._order[0]) is not None:
            self._order.popleft()
            self._meter.count(REPEATED, 1)
            yield replace(last, stamp=stamp)

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
