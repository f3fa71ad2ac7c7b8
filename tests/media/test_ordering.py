"""Decoding times under presentation times that are not quite in order."""

from __future__ import annotations

import random
from itertools import pairwise

import av
import pytest

from vsr.media.ordering import HELD, DecodingOrder


def through(pairs: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], int]:
    """(pts, dts) of packets, in and out; and how many presentation times were moved."""
    order, out = DecodingOrder(), []
    for pts, dts in pairs:
        packet = av.Packet(b"x")
        packet.pts, packet.dts = pts, dts
        out += order.push(packet)
    out += order.flush()
    return [(packet.pts, packet.dts) for packet in out], order.raised


def test_packets_in_order_are_not_touched() -> None:
    reordered = [(0, -2), (4, -1), (2, 0), (1, 1), (3, 2), (8, 3), (6, 4), (5, 5), (7, 6), (9, 7), (10, 8)]
    assert through(reordered) == (reordered, 0)


def test_a_stray_keeps_its_time_and_those_before_it_are_decoded_earlier() -> None:
    times = [0, 40, 80, 120, 110, 160]
    out, raised = through([(time, time) for time in times])
    assert [pts for pts, _ in out] == times
    assert raised == 0
    assert [dts for _, dts in out] == [0, 40, 80, 109, 110, 160]


def test_a_repeated_time_is_kept() -> None:
    out, raised = through([(0, 0), (40, 40), (40, 40), (80, 80)])
    assert [pts for pts, _ in out] == [0, 40, 40, 80]
    assert raised == 0


def test_a_stray_from_too_far_back_is_moved_and_counted() -> None:
    times = [*range(0, 40 * (HELD + 4), 40), 5]
    out, raised = through([(time, time) for time in times])
    assert raised == 1
    assert out[-1][0] > 5


@pytest.mark.parametrize("seed", range(20))
def test_decoding_times_always_rise_and_never_follow_the_presentation(seed: int) -> None:
    rng = random.Random(seed)
    times = [n * 10 + rng.randint(-40, 40) for n in range(100)]
    out, _ = through([(time, n * 10) for n, time in enumerate(times)])
    assert len(out) == 100
    assert all(dts <= pts for pts, dts in out)
    assert all(a < b for (_, a), (_, b) in pairwise(out))
