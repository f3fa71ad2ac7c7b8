"""Decoding times are valid even if presentation times are not quite in order."""

from __future__ import annotations

import random
from itertools import pairwise

import av
import pytest

from vsr.media.mux.decode_order import HELD, DecodingOrder


def through(pairs: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], int]:
    """Return (pts, dts) of the packets after `DecodingOrder`, and how many presentation times were
    changed.
    """
    order, out = DecodingOrder(), []
    for pts, dts in pairs:
        packet = av.Packet(b"x")
        packet.pts, packet.dts = pts, dts
        out += order.push(packet)
    out += order.flush()
    return [(packet.pts, packet.dts) for packet in out], order.raised


def test_packets_in_order_are_unchanged() -> None:
    reordered = [(0, -2), (4, -1), (2, 0), (1, 1), (3, 2), (8, 3), (6, 4), (5, 5), (7, 6), (9, 7), (10, 8)]
    assert through(reordered) == (reordered, 0)


def test_a_frame_with_an_earlier_time_keeps_it_and_packets_before_it_are_decoded_earlier() -> None:
    times = [0, 40, 80, 120, 110, 160]
    out, raised = through([(time, time) for time in times])
    assert [pts for pts, _ in out] == times
    assert raised == 0
    assert [dts for _, dts in out] == [0, 40, 80, 109, 110, 160]


def test_a_repeated_time_is_kept() -> None:
    out, raised = through([(0, 0), (40, 40), (40, 40), (80, 80)])
    assert [pts for pts, _ in out] == [0, 40, 40, 80]
    assert raised == 0


def test_a_frame_too_far_back_is_moved_and_counted() -> None:
    times = [*range(0, 40 * (HELD + 4), 40), 5]
    out, raised = through([(time, time) for time in times])
    assert raised == 1
    assert out[-1][0] > 5


@pytest.mark.parametrize("seed", range(20))
def test_decoding_times_always_increase_and_are_never_after_the_presentation(seed: int) -> None:
    rng = random.Random(seed)
    times = [n * 10 + rng.randint(-40, 40) for n in range(100)]
    out, _ = through([(time, n * 10) for n, time in enumerate(times)])
    assert len(out) == 100
    assert all(dts <= pts for pts, dts in out)
    assert all(a < b for (_, a), (_, b) in pairwise(out))


def released(pairs: list[tuple[int, int, int]], end: int | None = None) -> list[tuple[int, int, int]]:
    """Return (pts, dts, duration) of the packets after `DecodingOrder`; with `end`, as in MP4."""
    order, out = DecodingOrder(), []
    for pts, dts, duration in pairs:
        packet = av.Packet(b"x")
        packet.pts, packet.dts, packet.duration = pts, dts, duration
        out += order.push(packet)
    if end is not None:
        order.fill_up(end)
    out += order.flush()
    return [(packet.pts or 0, packet.dts or 0, packet.duration or 0) for packet in out]


@pytest.mark.parametrize("duration", [0, 1])
@pytest.mark.parametrize("seed", range(30))
def test_in_mp4_the_edit_ends_with_the_last_frame_and_the_track_not_before(seed: int, duration: int) -> None:
    rng = random.Random(seed)
    times = [0]
    for _ in range(rng.randint(1, 20)):
        times.append(times[-1] + rng.choice([1, 3, 40, 900]))
    end = times[-1] + rng.choice([1, 7, 500])
    shuffled = _with_b_frames(times, rng)
    delay = rng.choice([0, 1, 2]) if shuffled == times else 2
    decoded = [-10 * delay + 10 * n for n in range(delay)] + times
    pairs = [(pts, dts, duration) for pts, dts in zip(shuffled, decoded, strict=False)]
    if any(dts > pts for pts, dts, _ in pairs):
        pairs = [(pts, dts - 2000, length) for pts, dts, length in pairs]
    out = released(pairs, end)
    assert [pts for pts, _, _ in out] == shuffled
    assert all(dts <= pts for pts, dts, _ in out)
    assert all(a < b for (_, a, _), (_, b, _) in pairwise(out))
    assert out[-1][1] + out[-1][2] - out[0][1] >= end - times[0], "the sum of the steps"
    assert max(pts + length for pts, _, length in out) == end, "the edit"


def _with_b_frames(times: list[int], rng: random.Random) -> list[int]:
    """Return times in decoding order: each P-frame before up to two B-frames that are shown before it."""
    out, rest = times[:1], times[1:]
    while rest:
        group = rest[: rng.randint(1, 3)]
        out += [group[-1], *group[:-1]]
        rest = rest[len(group) :]
    return out


def test_a_frame_lasts_no_longer_than_until_the_next_one() -> None:
    pairs = [(0, -20, 500), (30, -10, 20), (10, 0, 40), (20, 10, 0), (60, 30, 99)]
    assert [length for _, _, length in released(pairs)] == [10, 20, 10, 0, 99]
