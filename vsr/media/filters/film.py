"""Inverse telecine: NTSC video that was made from film becomes 24 frames a second again.

Telecine shows four frames of film as five frames of video, two of which mix fields of two frames. FFmpeg's
fieldmatch puts the fields of each frame together again, bwdif deinterlaces what has no partner, and one frame
in five is then a repetition, which is left out. It is searched here and not by FFmpeg's decimate, which loses
the times, and cannot tell film whose frames are not repeated in the file (soft telecine) from a still image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from vsr.frame import FieldOrder, Stamp
from vsr.media.filters.filters import Filter, FilterChain, Stamped

NTSC = Fraction(30000, 1001)
"""Frames of video a second."""
CYCLE = 5
"""Frames of video for four frames of film."""
FINER = 4
"""By which the ticks are divided, so that four frames share the time of five exactly."""
REPEATED = 0.011
"""A frame repeats the one before if no block differs by more than this share of the range: `dupthresh` of
FFmpeg's decimate."""
_BLOCK = 16
_ORDERS: dict[FieldOrder, str] = {"top-first": "tff", "bottom-first": "bff"}

Luma = NDArray[np.int32]


class Film:
    """Takes frames of telecined video, and returns those of the film; frames that are not telecined stay."""

    def __init__(self, forced: FieldOrder | None, warn: Callable[[str], None]) -> None:
        """Start before the first frame.

        Args:
            forced: Field order of all frames, whatever their flags say; None uses the flags.
            warn: Takes a sentence for the user, possibly the same one repeatedly.
        """
        order = "auto" if forced is None else _ORDERS[forced]
        match = Filter("fieldmatch", f"order={order}:combmatch=full")
        self._chain = FilterChain([match, Filter("bwdif", "mode=send_frame:parity=auto:deint=interlaced")])
        self._warn = warn
        self._group: list[Stamped] = []
        self._before: Luma | None = None
        self._kept = self._reduced = 0

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a frame, and yield those that are ready. All frames must have the same size and format."""
        for one in self._chain.push(frame, stamp):
            yield from self._grouped(one)

    def drain(self) -> Iterator[Stamped]:
        """Yield the remaining frames at the end of the stream."""
        for one in self._chain.drain():
            yield from self._grouped(one)
        yield from self._finished(None)
        if self._kept and not self._reduced:
            self._warn("no frame repeats another, so none is left out: the video is no telecined film")
        elif self._kept:
            groups = self._reduced + self._kept
            self._warn(f"{self._kept} of {groups} groups of five frames are no telecined film; they are kept")

    def _grouped(self, one: Stamped) -> Iterator[Stamped]:
        """Add a matched frame; yield the group before it if it begins another one."""
        if self._group and self._group[0][1].index // CYCLE != one[1].index // CYCLE:
            yield from self._finished(one[1])
        self._group.append(one)

    def _finished(self, following: Stamp | None) -> Iterator[Stamped]:
        group, self._group = self._group, []
        if not group:
            return
        end = following.pts if following is not None else _end_of(group)
        dropped = self._repetition(group, end)
        if dropped is None:
            self._kept += len(group) == CYCLE
            yield from ((frame, _finer(stamp)) for frame, stamp in group)
            return
        self._reduced += 1
        yield from _spread(group, dropped, end)

    def _repetition(self, group: list[Stamped], end: int) -> int | None:
        """Return which frame of a group repeats the one before; None if the group is not telecined film."""
        first = group[0][1]
        lumas = [_luma(frame) for frame, _ in group]
        before, self._before = self._before, lumas[-1]
        frames = (end - first.pts) * first.time_base * NTSC
        if len(group) < CYCLE or not CYCLE - 0.5 < frames < CYCLE + 0.5:
            return None
        previous = [before, *lumas[:-1]]
        changes = [
            np.inf if old is None else _change(old, new) for old, new in zip(previous, lumas, strict=True)
        ]
        least = int(np.argmin(changes))
        return least if changes[least] < REPEATED else None


def _end_of(group: list[Stamped]) -> int:
    last = group[-1][1]
    steps = [b.pts - a.pts for (_, a), (_, b) in pairwise(group)]
    return last.pts + (last.duration or (steps[-1] if steps else 1))


def _finer(stamp: Stamp) -> Stamp:
    """Return the stamp in the finer ticks."""
    return replace(
        stamp, pts=stamp.pts * FINER, duration=stamp.duration * FINER, time_base=stamp.time_base / FINER
    )


def _spread(group: list[Stamped], dropped: int, end: int) -> Iterator[Stamped]:
    """Yield four frames, each for a quarter of the time of the five."""
    first = group[0][1]
    step = end - first.pts
    captions = group[dropped][1].messages
    left = [one for number, one in enumerate(group) if number != dropped]
    heir = min(dropped, CYCLE - 2)
    """Number of the frame that carries the captions of the dropped one as well."""
    for number, (frame, stamp) in enumerate(left):
        if number == heir and captions:
            both = (*captions, *stamp.messages) if heir == dropped else (*stamp.messages, *captions)
            stamp = replace(stamp, messages=both)
        made = _finer(stamp)
        pts = first.pts * FINER + number * step
        yield frame, replace(made, index=first.index // CYCLE * CYCLE + number, pts=pts, duration=step)


def _luma(frame: VideoFrame) -> Luma:
    """Return the first plane as 8-bit numbers, cut to whole blocks."""
    deep = frame.format.components[0].bits
    plane = frame.planes[0]
    rows: NDArray[Any] = np.frombuffer(memoryview(plane), np.uint8 if deep == 8 else np.uint16)
    rows = rows.reshape(plane.height, -1)[:, : plane.width]
    height, width = (side // _BLOCK * _BLOCK or side for side in rows.shape)
    return (rows[:height, :width] >> (deep - 8)).astype(np.int32)


def _change(old: Luma, new: Luma) -> float:
    """Return the greatest mean difference of a block of 32x32, as a share of the range of luma."""
    height, width = (min(_BLOCK, side) for side in old.shape)
    blocks = np.abs(new - old).reshape(old.shape[0] // height, height, -1, width).sum(axis=(1, 3))
    pairs = blocks[1:] + blocks[:-1] if len(blocks) > 1 else blocks * 2
    squares = pairs[:, 1:] + pairs[:, :-1] if pairs.shape[1] > 1 else pairs * 2
    return float(squares.max()) / (4 * height * width * 219)
