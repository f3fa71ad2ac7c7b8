"""What differs between the releases of PyAV that vsr runs on, 18 and 19 (which needs Python 3.12).

PyAV 18 gives times as `Fraction`, and None where FFmpeg knows none. PyAV 19 gives `AVRational`, which holds
32 bits a side, rounds the product of two, has no `%` and no `round`, and is zero where FFmpeg knows none. The
functions here turn both into fractions where they enter. Metadata and side data differ in small ways, too.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import av
from av.sidedata.sidedata import SideData


class Ratio(Protocol):
    """A `Fraction`, or an `AVRational` of PyAV 19."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


class _Timed(Protocol):
    """A packet, a frame or a stream."""

    @property
    def time_base(self) -> Any: ...


_RELEASE = int(av.__version__.partition(".")[0])

TEXT: dict[str, Any] = {"metadata_errors": "surrogateescape"} if _RELEASE < 19 else {}
"""Arguments of `av.open` so that metadata that is not UTF-8 keeps its bytes, as it always does in PyAV 19."""


def fraction(value: Ratio | None) -> Fraction | None:
    """The same number; None where FFmpeg does not know it, which PyAV 19 writes as 0/1 or 0/0."""
    return Fraction(value.numerator, value.denominator) if value else None


def time_base_of(timed: _Timed) -> Fraction:
    """Seconds per tick of a packet, a frame or a stream that has times."""
    base = fraction(timed.time_base)
    assert base is not None
    return base


def all_of(side_data: Any) -> list[SideData]:
    """All side data of a frame in the decoder's order; iterated, PyAV 19's gives kinds, each of them once."""
    return list(side_data if _RELEASE < 19 else side_data[:])
