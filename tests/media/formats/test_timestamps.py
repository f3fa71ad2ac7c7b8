"""Times are converted from the source's clock to the output's."""

from __future__ import annotations

from fractions import Fraction

import pytest
from av import Packet

from vsr.errors import InputError
from vsr.media.formats.timestamps import Clock


def packet_at(pts: int) -> Packet:
    packet = Packet(b"x")
    packet.time_base = Fraction(1, 12800)
    packet.pts = packet.dts = pts
    return packet


@pytest.mark.parametrize(
    "clock", [Clock(tick=1000), Clock(shift=Fraction(2**62))], ids=["fine ticks", "shift"]
)
def test_a_time_beyond_the_outputs_range_is_reported_in_one_line(clock: Clock) -> None:
    with pytest.raises(InputError, match=r"at 2e\+11 hours.*the source is damaged") as caught:
        clock.stamp(packet_at(2**63 - 1))
    assert "\n" not in str(caught.value)


def test_a_time_of_a_thousand_years_can_be_converted() -> None:
    seconds = 1000 * 365 * 86400
    assert Clock(tick=10_000).stamp(packet_at(12800 * seconds)).pts == seconds * 100_000
