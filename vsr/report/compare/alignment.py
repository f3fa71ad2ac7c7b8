"""Frames of several videos that show the same moment.

Timestamps decide. They are checked by what the frames show, as small grey thumbnails: a result of `--start`
begins at 0, like its source, and shows another scene there. Its place in the source is then found by its
content, and videos that show different things are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.color.codes import codes_of
from vsr.errors import InputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.files.opening import shown
from vsr.report.compare.inputs import Input
from vsr.report.compare.screen import as_shown

THUMBNAIL = (18, 32)
"""Height and width; small enough that no network and no codec changes the means."""
SAMPLE = 48
"""Number of frames of a video whose place is searched for."""
SAMPLE_SECONDS = 10
"""They are spread over the first seconds of that video."""
SEARCH_SECONDS = 120
"""Part of the longest video that is searched first; the rest only if nothing fits there."""
_CLEARLY_BETTER = (1.3, 0.3)
"""Another place beats the timestamps if their mean error is more than 1.3 times as large plus 0.3 levels."""
_SAME_LEVELS, _SAME_CORRELATION = 3.0, 0.85
"""Thumbnails show the same if they differ by less than these 8-bit levels, or correlate more than this."""
_PAIRED = 0.8  # share of the sample that must have a partner


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """Thumbnails of a video."""

    times: tuple[Fraction, ...]
    """In seconds on the video's own clock."""
    thumbnails: Tensor
    """`(T, 576)`, luma in 8-bit levels."""

    @property
    def gap(self) -> Fraction:
        """The median time between two frames; 0 for one frame."""
        gaps = sorted(b - a for a, b in zip(self.times, self.times[1:], strict=False))
        return gaps[len(gaps) // 2] if gaps else Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The places of all videos on the clock of one of them."""

    base: int
    """Index of the longest video, whose frames and clock are used."""
    offsets: tuple[Fraction, ...]
    """Seconds to add to the times of each video."""
    gaps: tuple[Fraction, ...]
    """Seconds between two frames of each video; 0 for images."""
    firsts: tuple[Fraction, ...]
    """Time of the first frame of each video on its own clock."""
    notes: tuple[str, ...]
    """Sentences about videos whose timestamps were not used."""


def thumbnail(frame: YuvFrame, info: VideoInfo) -> Tensor:
    """Return the luma of a frame, or the mean of R'G'B', as a player shows it, in 18x32 cells: `(576,)` in
    8-bit levels.
    """
    seen = frame.planes if frame.layout.family == "rgb" else frame.planes[:1]
    codes = codes_of(frame.color.range, frame.layout.bit_depth)
    grey = torch.stack([plane.to(torch.float32) for plane in seen]).mean(0)
    cells = F.adaptive_avg_pool2d(as_shown(grey[None], info)[None], THUMBNAIL).flatten()
    return (cells - codes.luma_offset) * (255 / codes.luma_step)


def align(inputs: Sequence[Input]) -> Alignment:
    """Find which frames show the same moments.

    Raises:
        InputError: a video shows other content than the longest one.
    """
    base = max(range(len(inputs)), key=lambda i: _length(inputs[i]))
    longest = _sketch(inputs[base], seconds=SEARCH_SECONDS)
    sketches = [
        longest if i == base else _sketch(one, seconds=SAMPLE_SECONDS) for i, one in enumerate(inputs)
    ]
    offsets, notes = [], []
    for i, sketch in enumerate(sketches):
        offset, note = (Fraction(0), "") if i == base else _place(inputs[i], sketch, inputs[base], longest)
        offsets.append(offset)
        notes += [note] if note else []
    return Alignment(
        base=base,
        offsets=tuple(offsets),
        gaps=tuple(sketch.gap for sketch in sketches),
        firsts=tuple(sketch.times[0] for sketch in sketches),
        notes=tuple(notes),
    )


def _length(one: Input) -> Fraction:
    return one.info.duration_seconds or Fraction(one.info.frames_promised or 0, 1000)


def _sketch(one: Input, *, seconds: int | None) -> Sketch:
    times: list[Fraction] = []
    thumbnails: list[Tensor] = []
    for frame in one.frames():
        if times and seconds is not None and frame.stamp.seconds - times[0] > seconds:
            break
        times.append(frame.stamp.seconds)
        thumbnails.append(thumbnail(frame, one.info))
    if not times:
        raise InputError(f"{shown(one.path)}: no frame can be decoded")
    return Sketch(times=tuple(times), thumbnails=torch.stack(thumbnails))


def _place(one: Input, own: Sketch, base: Input, longest: Sketch) -> tuple[Fraction, str]:
    """Return the offset to add to a video's times, and a sentence if it was found by the content alone."""
    by_time = list(dict.fromkeys((Fraction(0), longest.times[0] - own.times[0])))
    offset, fits = _best(own, longest, by_time)
    if not fits and longest.times[-1] - longest.times[0] > SEARCH_SECONDS - 1:
        longest = _sketch(base, seconds=None)
        offset, fits = _best(own, longest, by_time)
    if not fits:
        raise InputError(
            f"{shown(one.path)}: shows other content than {base.label} at the same times, and at every "
            "other time; compare versions of one video"
        )
    if offset in by_time:
        return offset, ""
    begins = float(own.times[0] + offset - longest.times[0])
    return offset, f"{one.label} begins {begins:.3f} s into {base.label}: found by its content."


def _best(own: Sketch, longest: Sketch, by_time: list[Fraction]) -> tuple[Fraction, bool]:
    """Return the best offset, which is one of `by_time` unless another fits clearly better."""
    every = [*by_time, *(time - own.times[0] for time in longest.times)]
    errors = [_mismatch(own, longest, offset)[0] for offset in every]
    timed = min(range(len(by_time)), key=errors.__getitem__)
    best = min(range(len(every)), key=errors.__getitem__)
    factor, levels = _CLEARLY_BETTER
    chosen = every[best if errors[timed] > factor * errors[best] + levels else timed]
    error, correlation = _mismatch(own, longest, chosen)
    return chosen, error < _SAME_LEVELS or correlation > _SAME_CORRELATION


def _mismatch(own: Sketch, longest: Sketch, offset: Fraction) -> tuple[float, float]:
    """Return the mean absolute difference in levels and the mean correlation of the frames of a sample."""
    count = len(own.times)
    sample = sorted({i * (count - 1) // (SAMPLE - 1) for i in range(SAMPLE)})
    wanted = torch.tensor([float(own.times[i] + offset) for i in sample], dtype=torch.float64)
    times = torch.tensor([float(time) for time in longest.times], dtype=torch.float64)
    nearest = (wanted[:, None] - times[None]).abs().min(1)
    paired = nearest.values <= float(max(longest.gap, Fraction(1, 1000))) * 0.75
    if paired.double().mean() < _PAIRED:
        return float("inf"), 0.0
    ours = own.thumbnails[torch.tensor(sample)][paired]
    theirs = longest.thumbnails[nearest.indices[paired]]
    return (ours - theirs).abs().mean().item(), correlation_of(ours, theirs)


def correlation_of(a: Tensor, b: Tensor) -> float:
    """Return the mean correlation of thumbnails `(N, 576)`; a flat one correlates with nothing."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return F.cosine_similarity(a, b, dim=-1).mean().item()


class _Cursor:
    """The frames of one video, of which the nearest to a moment is kept."""

    def __init__(self, frames: Iterator[YuvFrame], offset: Fraction, gap: Fraction) -> None:
        self._frames, self._offset, self._gap = frames, offset, gap
        self._here = next(frames, None)
        self._next = next(frames, None)

    def nearest(self, time: Fraction) -> YuvFrame | None:
        """Return the frame nearest to a time, or None if the video does not reach so far.

        Times must not decrease from call to call.
        """
        while self._next is not None and self._distance(self._next, time) <= self._distance(self._here, time):
            self._here, self._next = self._next, next(self._frames, None)
        far = self._gap * Fraction(3, 4)
        return self._here if self._distance(self._here, time) <= far else None

    def is_over(self, time: Fraction) -> bool:
        """Return whether the last frame is before a time."""
        return self._here is None or (self._next is None and self._here.stamp.seconds + self._offset < time)

    def _distance(self, frame: YuvFrame | None, time: Fraction) -> Fraction:
        return Fraction(10**9) if frame is None else abs(frame.stamp.seconds + self._offset - time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The frames of all videos at one time."""

    seconds: Fraction
    """After the first frame of the longest video."""
    frames: tuple[YuvFrame, ...]


def moments(
    inputs: Sequence[Input], alignment: Alignment, *, at: Fraction | None, duration: Fraction
) -> Iterator[Moment]:
    """Yield each frame of the longest video with the nearest frame of each other video.

    Args:
        inputs: The videos.
        alignment: Of these videos.
        at: Time of the first moment in seconds after the longest video's first frame; None is the first that
            all videos show.
        duration: Seconds between the first and the last moment, at most.
    """
    base = alignment.base
    origin = alignment.firsts[base]
    begin = (at or Fraction(0)) + origin
    margin = 2 * max(alignment.gaps)
    if at is None:  # earlier frames have no partner; a margin, because containers round timestamps
        latest = max(
            first + offset for first, offset in zip(alignment.firsts, alignment.offsets, strict=True)
        )
        begin = max(origin, latest - margin)
    step = max(alignment.gaps) or Fraction(1)
    cursors: dict[int, _Cursor] = {}
    for i, one in enumerate(inputs):
        start = begin - alignment.offsets[i] - alignment.firsts[i] - margin
        if i != base:
            frames = one.frames(start if start > 0 else None)
            cursors[i] = _Cursor(frames, alignment.offsets[i], alignment.gaps[i] or step)
    started: Fraction | None = None
    for frame in inputs[base].frames(begin - origin if begin > origin else None):
        time = frame.stamp.seconds
        if started is not None and time - started >= duration:
            return
        others = {i: cursor.nearest(time) for i, cursor in cursors.items()}
        missing = [i for i, other in others.items() if other is None]
        if missing and (started is not None or all(cursors[i].is_over(time) for i in missing)):
            return
        if not missing:
            started = time if started is None else started
            yield Moment(
                seconds=time - origin, frames=tuple(others.get(i) or frame for i in range(len(inputs)))
            )


def first_moments(
    inputs: Sequence[Input], alignment: Alignment, *, at: Fraction | None, count: int
) -> list[Moment]:
    """Return the first moments from `at` on.

    Raises:
        InputError: no moment is in all videos from then on.
    """
    found = list(islice(moments(inputs, alignment, at=at, duration=Fraction(10**6)), count))
    if not found:
        raise nothing_in_common(at)
    return found


def nothing_in_common(at: Fraction | None) -> InputError:
    """Return the error of videos without a common moment."""
    since = "" if at is None else f" from {float(at):g} s on; choose an earlier `at`"
    return InputError(f"no moment is in all videos{since}")
