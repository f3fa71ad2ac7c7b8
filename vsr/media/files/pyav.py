"""Hides the differences between the supported releases of PyAV: 18, and 19 (which needs Python 3.12).

PyAV 18 returns times as `Fraction`, and None where FFmpeg knows none. PyAV 19 returns `AVRational`, which has
32 bits on each side, rounds the product of two, has no `%` and no `round`, and is zero where FFmpeg knows
none. The functions here convert both to `Fraction`. Metadata and side data differ slightly, too.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import av
from av.sidedata.sidedata import SideData


class Ratio(Protocol):
    """A `Fraction`, or PyAV 19's `AVRational`."""

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
"""Arguments of `av.open` that keep the bytes of metadata that is not UTF-8, as PyAV 19 always does."""


def fraction(value: Ratio | None) -> Fraction | None:
    """Return the number as a `Fraction`; None where FFmpeg does not know it, which PyAV 19 writes as 0/1 or
    0/0.
    """
    return Fraction(value.numerator, value.denominator) if value else None


def time_base_of(timed: _Timed) -> Fraction:
    """Return the seconds per tick of a packet, a frame or a stream that has times."""
    base = fraction(timed.time_base)
    assert base is not None
    return base


def all_of(side_data: Any) -> list[SideData]:
    """Return all side data of a frame in the decoder's order. Iterating in PyAV 19 yields each kind only
    once.
    """
    return list(side_data if _RELEASE < 19 else side_data[:])
