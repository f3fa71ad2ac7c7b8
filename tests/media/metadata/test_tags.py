"""Facts of a decoded frame, whatever its header says."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.media_maker import picture
from vsr.frame import Stamp
from vsr.media.filters.filters import FilterChain, parse
from vsr.media.metadata.tags import details_of

RESERVED = 65
"""A number of colour that H.273 reserves; damage of an MPEG-2 header made it."""


@pytest.mark.parametrize("name", ["colorspace", "color_range"])
def test_a_reserved_number_of_colour_is_no_error(name: str) -> None:
    frame = picture(1)
    setattr(frame, name, RESERVED)
    assert details_of(frame).field_order == "progressive"


def test_a_reserved_number_of_colour_passes_a_filter() -> None:
    frame = picture(1)
    frame.colorspace = RESERVED
    chain = FilterChain(parse(["deband"], where="filters_before"))
    stamp = Stamp(index=0, pts=0, duration=1, time_base=Fraction(1, 25))
    assert len([*chain.push(frame, stamp), *chain.drain()]) == 1
