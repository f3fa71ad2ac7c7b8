"""Compares what the frames show.

There are three questions, each with its own measure, because lossy encoders affect each differently. Is the
video as a whole rotated, negated, grey or of another brightness? Does a frame show something else? Does a
frame show what an earlier or later one should show? The limits come from x264, x265 and SVT-AV1 at CRF 18 to
51 on real clips, fades, dark and grainy footage (`docs/reliability.md`); the errors of these encoders stay
below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Grids = NDArray[np.float32]
"""`(N, 3, 8, 8)`: Y', Cb, Cr of N frames, in 8-bit codes."""
Numbers = NDArray[np.float32]

LEVEL, SHARE = 10.0, 0.3
"""A frame shows something else if it differs by more than `LEVEL` codes plus this share of its contrast."""
BETTER, WHOLE = 0.5, 0.25
"""Another explanation of a frame (`BETTER`) or of the video is accepted if less than this share of the
difference remains."""
LEAST, NOISES = 0.3, 3.5
"""In codes, and in multiples of the encoder's noise: below this, the order of frames cannot be compared."""
TONE, TONE_NOISES, GAIN, DULL = 6.0, 2.0, 0.12, 1.3
"""Limits for brightness and contrast of the video: codes, multiples of the noise, share of the contrast, and
codes of the latter."""
PLACE, PLACE_NOISES = 12.0, 6.0
"""In codes, and in multiples of the noise: the amount by which a cell may differ in most frames. At CRF 51
some differ by 9.8."""
FLAT = 1.0
"""A contrast in codes below which a component or frame shows too little to compare."""
_STILL = 0.02
"""Codes by which the repetitions of one frame in a result may differ."""


def _negated(grids: Grids) -> Grids:
    return np.array([251, 256, 256], np.float32).reshape(3, 1, 1) - grids  # 16 + 235, and 2 * 128


def _rotated(quarters: int) -> Callable[[Grids], Grids]:
    return lambda grids: np.rot90(grids, quarters, axes=(2, 3))


EXPLANATIONS: tuple[tuple[str, Callable[[Grids], Grids]], ...] = (
    ("mirrored", lambda grids: grids[:, :, :, ::-1]),
    ("upside down and mirrored", lambda grids: grids[:, :, ::-1]),
    ("upside down", _rotated(2)),
    ("rotated by 90 degrees", _rotated(1)),
    ("rotated by 90 degrees", _rotated(3)),
    ("negated", _negated),
    ("shown with Cb and Cr swapped", lambda grids: grids[:, [0, 2, 1]]),
    ("shown in reverse order", lambda grids: grids[::-1]),
)
"""What may have been done to a whole video, and a function that reverses it."""


def compare_images(before: Grids, after: Grids) -> Iterator[str]:
    """Yield sentences where frames of a result do not show what those of the source show.

    Args:
        before: Frames of the source.
        after: Frames of the result, one for each of the source.
    """
    whole = _explained(before, after)
    if whole is not None:
        yield f"frames: all are {whole}"
        return
    own, best = _misfits(before, after)
    noise = float(np.percentile(np.minimum(own, best), 25)) if len(own) else 0.0
    other = _shows_something_else(before, after)
    shows = before.std(axis=(2, 3)).max(axis=1) > FLAT
    moved = shows & (best < BETTER * own) & (own > max(LEAST, NOISES * noise)) & ~other
    yield from _named(other, "show something else than the source's")
    yield from _named(moved, "show what an earlier or later frame of the source shows")
    if not (other | moved).any():
        yield from _covered(before, after, max(PLACE, PLACE_NOISES * noise))
    if not other.all():
        yield from _tones(before[~other], after[~other], max(TONE, TONE_NOISES * noise))


def unknown_order(before: Grids) -> int:
    """Return how many frames differ so little from the previous one that their order cannot be compared."""
    steps = _rms(before[1:] - before[:-1], axis=(1, 2, 3))
    return int((steps < LEAST).sum())


def contrast(before: Grids) -> bool:
    """Return whether frames show enough to compare."""
    return bool(before.std(axis=(0, 2, 3)).max(initial=0) > FLAT)


def _named(bad: NDArray[np.bool_], what: str) -> Iterator[str]:
    numbers = np.flatnonzero(bad)
    if len(numbers):
        yield f"frames: {len(numbers)} of {len(bad)} {what}, from frame {numbers[0]} on"


def _explained(before: Grids, after: Grids) -> str | None:
    """Return what was done to the whole video, if one of `EXPLANATIONS` explains most of the difference."""
    now = _typical(before, after)
    if now < FLAT:
        return None
    found = {name: _typical(before, undo(after)) for name, undo in reversed(EXPLANATIONS)}
    name = min(found, key=lambda name: found[name])
    return name if found[name] < WHOLE * now else None


def _typical(before: Grids, after: Grids) -> float:
    return float(np.median(_rms(after - before, axis=(1, 2, 3)))) if len(before) else 0.0


def _shows_something_else(before: Grids, after: Grids) -> NDArray[np.bool_]:
    bad = np.zeros(len(before), bool)
    for part in (slice(0, 1), slice(1, 3)):  # luma, chroma
        contrast = before[:, part].std(axis=(2, 3)).max(axis=1)
        bad |= _rms(after[:, part] - before[:, part], axis=(1, 2, 3)) > LEVEL + SHARE * contrast
    return bad


def _misfits(before: Grids, after: Grids) -> tuple[Numbers, Numbers]:
    """Return how badly each frame fits its own source frame, and how badly it fits the best of the others, in
    codes.

    Brightness and contrast are fitted first, because in a fade encoders lag by several codes.
    """
    count = len(before)
    shapes, targets = _shape(before), _shape(after)
    own = _misfit(targets, shapes)
    best = np.full(count, np.inf, np.float32)
    for step in _distances(count):
        for here, there in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            best[here] = np.minimum(best[here], _misfit(targets[here], shapes[there]))
    repeated = _start_of_repeats(after)
    is_repeated = repeated != np.arange(count)
    best[is_repeated] = np.minimum(best, _misfit(targets, shapes[repeated]))[is_repeated]
    return own, best


def _distances(count: int) -> Iterator[int]:
    """Yield 1, 2, 3, 4, 6, 8, 12 ... frames, up to the number of frames."""
    step = 1
    while step < count:
        yield step
        if step > 1 and step * 3 // 2 < count:
            yield step * 3 // 2
        step *= 2


def _start_of_repeats(after: Grids) -> NDArray[np.intp]:
    """Return, for each frame of the result, the first of the frames that it repeats."""
    is_new = np.ones(len(after), bool)
    is_new[1:] = np.abs(after[1:] - after[:-1]).max(axis=(1, 2, 3)) > _STILL
    return np.maximum.accumulate(np.where(is_new, np.arange(len(after)), 0))


def _shape(grids: Grids) -> Numbers:
    """Return the grids without each component's mean, `(N, 192)`."""
    return (grids - grids.mean(axis=(2, 3), keepdims=True)).reshape(len(grids), -1)


def _misfit(targets: Numbers, shapes: Numbers) -> Numbers:
    """Return the RMS of each target, in codes, after its shape has been fitted to it with one positive
    gain.
    """
    energy = np.einsum("ij,ij->i", targets, targets)
    inner = np.maximum(np.einsum("ij,ij->i", targets, shapes), 0)
    size = np.maximum(np.einsum("ij,ij->i", shapes, shapes), 1e-6)
    left = np.maximum(energy - inner * inner / size, 0) / targets.shape[1]
    return np.asarray(np.sqrt(left), np.float32)


def _covered(before: Grids, after: Grids, allowed: float) -> Iterator[str]:
    """Yield a sentence about cells that differ in most frames, beyond the whole video's difference: an
    overlay.
    """
    difference = after - before
    usual = np.median(difference - difference.mean(axis=(2, 3), keepdims=True), axis=0)
    count = int((np.abs(usual).max(axis=0) > allowed).sum())
    if count:
        yield f"frames: {count} of {usual[0].size} places in the frame differ throughout"


def _tones(before: Grids, after: Grids, allowed: float) -> Iterator[str]:
    """Yield differences in brightness, contrast and saturation of the whole video; `allowed` is in codes."""
    for name, part in (("brightness", 0), ("colour Cb", 1), ("colour Cr", 2)):
        old, new = before[:, part], after[:, part]
        shift = float((new - old).mean())
        contrast = float(old.std())
        spread = old - old.mean()
        gain = float((spread * (new - new.mean())).sum() / max(float((spread * spread).sum()), 1e-6))
        off = abs(gain - 1)
        if abs(shift) > allowed:
            yield f"{name}: {abs(shift):.1f} of 255 codes {'more' if shift > 0 else 'less'} than the source's"
        elif contrast > FLAT and off > GAIN and off * contrast > DULL:
            yield f"{name}: {gain:.0%} of the source's contrast"


def _rms(values: Grids, *, axis: Sequence[int]) -> Numbers:
    return np.asarray(np.sqrt((values * values).mean(axis=tuple(axis))), np.float32)


def as_codes(thumbnails: NDArray[np.int16], units: int) -> Grids:
    """Convert stored thumbnails to codes."""
    return thumbnails.astype(np.float32) / np.float32(units)
