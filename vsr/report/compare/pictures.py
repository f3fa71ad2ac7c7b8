"""The images in a page: as many as fit, each so close to the raw frame that it hides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import torch
from torch import Tensor

from vsr.report.compare.coding import Coded, lossless, sequence, square_error
from vsr.report.compare.full_chroma import chroma_error, full_chroma

LARGEST_ERROR = 6.5
"""Largest mean square error of a lossy image in 8-bit levels: 40 dB, where an error is hardly seen even when
both images alternate."""
LADDER = (0, 3, 8, 14, 20, 26, 32)
"""Qualities from best to smallest: 0 is lossless, the others are CRFs of SVT-AV1."""
FULL_CHROMA = {3: 4, 8: 10, 14: 19, 20: 27, 26: 34, 32: 41}
"""The CRFs of libvpx for images of which 4:2:0 would lose too much; about as many bytes for photographs."""
CHUNK = 16
"""Number of frames of a sequence: more take less space, and longer to jump into."""
CHUNK_BYTES = 1 << 28
"""Memory for the raw images of a sequence of all panels."""

_CUT = 25.0
"""Mean difference of two frames in 8-bit levels from which they belong to different shots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Images of some moments, in one file for each panel."""

    moments: tuple[int, ...]
    """Numbers of the moments."""
    panels: tuple[Coded, ...]
    """The same object for panels whose images are equal."""


class Pictures:
    """Codes the images of a comparison, one moment after the other."""

    def __init__(self, *, limit: int, expected: int) -> None:
        """Begin without images.

        Args:
            limit: Bytes that all images may take.
            expected: Number of moments that are expected.
        """
        self.chunks: list[Chunk] = []
        self.moments = 0
        """Number of moments so far, with and without images."""
        self.alike = 0
        """Number of moments in which two panels differ by less than the error of their images."""
        self._limit, self._expected = limit, expected
        self._used = 0
        self._rung, self._step = 0, 1
        self._pending: list[list[Tensor]] = []

    @property
    def square_error(self) -> float:
        """The largest mean square error of an image so far, in 8-bit levels."""
        return max((coded.square_error for chunk in self.chunks for coded in chunk.panels), default=0.0)

    @property
    def shown(self) -> int:
        """Number of moments that have images."""
        return sum(len(chunk.moments) for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        """Size of all images so far."""
        return self._used

    def add(self, images: Sequence[Tensor]) -> None:
        """Take the images of the next moment, one `(3, H, W)` uint8 for each panel."""
        self._pending.append(list(images))
        self.moments += 1
        room = CHUNK_BYTES // max(1, sum(image.numel() for image in images))
        if len(self._pending) >= max(1, min(CHUNK, room)):
            self.flush()

    def flush(self) -> None:
        """Code the moments that wait for their sequence to be full."""
        if not self._pending:
            return
        first, waiting = self.moments - len(self._pending), self._pending
        left = max(self._expected - first, len(waiting))
        share = (self._limit - self._used) * len(waiting) // left
        chunk = self._fitting(list(range(first, self.moments)), waiting, share)
        self._pending = []
        if chunk is None:
            return
        kept = [waiting[moment - first] for moment in chunk.moments]
        self.alike += _alike(kept, max(coded.square_error for coded in chunk.panels))
        self._used += _size(chunk)
        self.chunks.append(chunk)

    def _fitting(self, numbers: list[int], waiting: list[list[Tensor]], share: int) -> Chunk | None:
        """Return the best images that fit; where none of good quality do, of every second, fourth ... moment,
        and of those that begin a shot.

        If not even one moment fits, it has no images, and its share is left for later ones. Only the first
        sequence always has an image.
        """
        step, cuts = min(self._step, len(waiting)), _cuts(waiting)
        while True:
            places = sorted({*range(0, len(waiting), step), *cuts})
            kept = [waiting[place] for place in places]
            chunk, smallest = self._best(tuple(numbers[place] for place in places), kept, share)
            if chunk is not None:
                self._step = max(1, step // 2) if self._rung == 0 and _size(chunk) < share // 2 else step
                return chunk
            if len(kept) == 1:
                return None if self.chunks else smallest
            if step >= len(waiting):
                cuts = []
            step *= 2
            while step < len(waiting) and _size(smallest) * len(waiting[::step]) > 2 * share * len(kept):
                step *= 2  # far too large: these would not fit either

    def _best(
        self, numbers: tuple[int, ...], images: list[list[Tensor]], share: int
    ) -> tuple[Chunk | None, Chunk]:
        """Return the best images that fit, or None, and the smallest ones of good quality.

        The search begins at the quality of the sequence before.
        """
        smallest: Chunk | None = None
        rung, is_worse_too_bad = self._rung, False
        while rung < len(LADDER):
            if rung == 0 and not is_worse_too_bad and _lossless_size(images) > share:
                rung = 1
                continue
            chunk = _coded(numbers, images, LADDER[rung])
            if max(coded.square_error for coded in chunk.panels) > LARGEST_ERROR:
                if smallest is not None:
                    break
                rung, is_worse_too_bad = rung - 1, True
                continue
            smallest, self._rung = chunk, rung
            if _size(chunk) <= share:
                self._rung = rung - 1 if _size(chunk) < share // 2 and rung > 0 else rung
                return chunk, chunk
            if is_worse_too_bad:
                break
            rung += 1
        assert smallest is not None  # lossless images are good
        if _lossless_size(images) < _size(smallest):  # few colours and sharp edges
            chunk = _coded(numbers, images, 0)
            smallest = min(smallest, chunk, key=_size)
        return (smallest if _size(smallest) <= share else None), smallest


def _cuts(images: list[list[Tensor]]) -> list[int]:
    """Return the places at which a new shot begins, except the first place."""
    small = [moment[0][:, ::16, ::16].to(torch.float32) for moment in images]
    return [i for i in range(1, len(small)) if (small[i] - small[i - 1]).abs().mean() > _CUT]


def _alike(images: list[list[Tensor]], error: float) -> int:
    """Return for how many moments two panels differ, but by less than the error of their images."""
    pairs = list(combinations(range(len(images[0])), 2))
    differences = [[square_error(moment[a], moment[b]) for a, b in pairs] for moment in images]
    return sum(any(0 < d < error for d in of_moment) for of_moment in differences)


def _lossless_size(images: list[list[Tensor]]) -> int:
    """Estimate the size of lossless images from the moment in the middle."""
    return len(images) * sum(map(len, lossless(images[len(images) // 2]).files))


def _coded(numbers: tuple[int, ...], images: list[list[Tensor]], quality: int) -> Chunk:
    """Code the images of some moments in one form for all panels; see `LADDER` for the quality."""
    if not quality:
        return _in_form(numbers, images, lossless)
    in_full = partial(full_chroma, crf=FULL_CHROMA[quality])
    if max(map(chroma_error, images[len(images) // 2])) > LARGEST_ERROR:
        return _in_form(numbers, images, in_full)
    chunk = _in_form(numbers, images, partial(sequence, crf=quality))
    good = max(coded.square_error for coded in chunk.panels) <= LARGEST_ERROR
    return chunk if good else _in_form(numbers, images, in_full)


def _in_form(
    numbers: tuple[int, ...], images: list[list[Tensor]], form: Callable[[list[Tensor]], Coded]
) -> Chunk:
    panels: list[Coded] = []
    for panel in range(len(images[0])):
        own = [moment[panel] for moment in images]
        twin = next((i for i in range(panel) if _equal(own, [moment[i] for moment in images])), None)
        panels.append(form(own) if twin is None else panels[twin])
    return Chunk(moments=numbers, panels=tuple(panels))


def _equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def _size(chunk: Chunk) -> int:
    files = {id(coded): sum(map(len, coded.files)) for coded in chunk.panels}
    return sum(files.values())
