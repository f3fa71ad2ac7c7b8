"""Busy time counts for its own stage, and the busiest thread determines the bottleneck."""

from __future__ import annotations

from vsr.pipeline.flow.meter import Meter


def test_the_bottleneck_is_the_longest_stage_of_the_busiest_thread() -> None:
    meter = Meter()
    for stage, seconds in (("decode", 3.0), ("color", 2.0), ("upscale", 2.5), ("encode", 4.0)):
        meter.add(stage, seconds)
    assert meter.bottleneck((("decode",), ("color", "upscale"), ("encode",))) == "upscale"
    assert list(meter.busy()) == ["encode", "decode", "upscale", "color"]


def test_there_is_no_bottleneck_before_any_work() -> None:
    assert Meter().bottleneck((("decode",),)) == ""


def test_timed_counts_the_time_to_make_items_and_closes_upstream() -> None:
    closed = []

    def items():
        try:
            yield from range(3)
        finally:
            closed.append(True)

    meter = Meter()
    timed = meter.timed("decode", items())
    assert next(timed) == 0
    timed.close()
    assert closed == [True]
    assert meter.busy()["decode"] >= 0


def test_counters_add_up() -> None:
    meter = Meter()
    meter.count("frames", 2)
    meter.count("frames", 3)
    assert meter.counts == {"frames": 5}
