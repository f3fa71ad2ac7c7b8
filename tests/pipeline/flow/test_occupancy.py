"""A record of busy time keeps every second, whatever the length of the run."""

from __future__ import annotations

import random

import pytest

from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.occupancy import MOST, Occupancy


def test_busy_time_lies_in_the_intervals_in_which_it_passed() -> None:
    record = Occupancy()
    record.add("decode", 0.1, 0.2)
    record.add("decode", 0.2, 0.8)
    record.add("encode", 1.0, 1.25)
    found = record.as_dict()
    assert found["interval_seconds"] == 0.25
    assert found["busy"]["decode"] == pytest.approx([0.15, 0.25, 0.25, 0.05, 0])
    assert found["busy"]["encode"] == pytest.approx([0, 0, 0, 0, 0.25])


@pytest.mark.parametrize("length", [1, 60, 3600, 3 * 86400])
def test_no_second_is_lost_and_memory_does_not_grow(length: float) -> None:
    rng, record, expected = random.Random(0), Occupancy(), 0.0
    at, step = 0.0, length / 500
    while at < length:
        busy = rng.uniform(0, step)
        record.add("upscale", at, at + busy)
        expected += busy
        at += step
    found = record.as_dict()
    row = found["busy"]["upscale"]
    assert sum(row) == pytest.approx(expected, abs=0.001 * MOST)  # each is rounded to a millisecond
    assert len(row) <= MOST
    assert found["interval_seconds"] * (len(row) - 1) <= length
    assert all(busy <= found["interval_seconds"] + 0.001 for busy in row)


def test_the_record_of_a_worker_is_added_where_it_began() -> None:
    record, worker = Occupancy(), Occupancy()
    for second in range(100):  # the worker's intervals are longer
        worker.add("upscale", second, second + 0.5)
    record.merge(worker.as_dict(), start=20)
    found = record.as_dict()
    assert sum(found["busy"]["upscale"]) == pytest.approx(50, abs=0.1)
    first = next(n for n, busy in enumerate(found["busy"]["upscale"]) if busy)
    assert first * found["interval_seconds"] == pytest.approx(20, abs=found["interval_seconds"])
    Occupancy().merge(worker.as_dict(), start=-3)  # clocks of two processes differ a little


def test_the_meter_records_what_it_adds_up() -> None:
    meter = Meter()
    for _ in range(3):
        with meter("color"):
            pass
    assert sum(meter.occupancy()["busy"].get("color", [0])) == pytest.approx(meter.busy()["color"], abs=0.002)
    other = Meter()
    with other("upscale"):
        pass
    meter.merge(other.occupancy(), lasted=other.elapsed)
    assert "upscale" in {*meter.occupancy()["busy"], *other.occupancy()["busy"]}
