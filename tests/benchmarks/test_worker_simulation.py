"""The simulation of many workers agrees with arithmetic where that is possible, and with real runs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

pytest.importorskip("simpy", reason="simpy is not installed (pip install -e '.[dev]')")

from benchmarks.scale import worker_simulation as simulation
from benchmarks.scale.worker_simulation import RATE, Costs, Film, Plan

IDEAL = Costs(
    decode_s=0.0,
    entry_s=0.0,
    reading_s=0.0,
    start_s=0.0,
    handling_s=0.0,
    join_frame_s=0.0,
    join_mb_s=0.0,
    check_frame_s=0.0,
    check_mb_s=0.0,
    frame_s=1.0,
    disk_mb=float("inf"),
    spread=0.0,
    slow=0.0,
    failures_per_hour=0.0,
)
DISK = Plan(from_store=False)
SECONDS = 1000
"""A film of 100 segments."""


@pytest.mark.parametrize("workers", [1, 2, 10, 100])
def test_without_costs_n_workers_are_n_times_as_fast(workers: int) -> None:
    assert Film(IDEAL, DISK, SECONDS, workers).times().total == pytest.approx(SECONDS * RATE / workers)


def test_a_last_segment_that_remains_costs_a_whole_one() -> None:
    assert Film(IDEAL, DISK, SECONDS, 99).times().total == pytest.approx(2 * 10 * RATE)


def test_no_run_is_shorter_than_the_decoding_of_the_driver() -> None:
    costs = replace(IDEAL, decode_s=8.0, driver_cores=8.0)
    assert Film(costs, DISK, SECONDS, 1000).times().total == pytest.approx(SECONDS * RATE)


def test_no_run_is_shorter_than_the_messages_to_the_driver() -> None:
    costs = replace(IDEAL, handling_s=1000.0)
    assert Film(costs, DISK, SECONDS, 100).times().total >= 99 * 1000


def test_joining_beside_the_work_costs_only_the_last_segment() -> None:
    """Ten workers make ten segments at a time; appending one takes a hundredth of making one."""
    costs = replace(IDEAL, join_frame_s=0.01)
    early, late = (
        Film(costs, replace(DISK, joins_early=joins_early), SECONDS, 10).times().total
        for joins_early in (True, False)
    )
    made = SECONDS * RATE / 10
    assert late == pytest.approx(made + SECONDS * RATE * 0.01)
    assert early == pytest.approx(made + 10 * 240 * 0.01)


def test_a_slow_machine_at_the_end_is_overtaken_by_a_second_one() -> None:
    costs = replace(IDEAL, slow=0.5)
    alone, helped = (
        Film(costs, replace(DISK, duplicates=duplicates), SECONDS, 100, seed=3).times().total
        for duplicates in (False, True)
    )
    assert helped < alone


def test_workers_that_fail_cost_time_and_nothing_else() -> None:
    costs = replace(IDEAL, failures_per_hour=2.0, start_s=10.0)
    film = Film(costs, DISK, SECONDS, 10)
    assert film.times().total > SECONDS * RATE / 10
    assert film.claims.finished == set(range(100))


def test_real_runs_of_one_to_four_workers_are_within_a_tenth_of_the_simulation() -> None:
    """A tenth is what the speed of a shared machine changes between runs."""
    measured = json.loads((simulation.FOLDER / "measured.json").read_text())
    for row in simulation.check(measured):
        assert row["measured_s"] == pytest.approx(row["simulated_s"], rel=0.1), row


def test_the_picture_shows_the_committed_result_and_is_well_formed() -> None:
    result = json.loads((simulation.FOLDER / "simulated.json").read_text())
    shown = simulation.PICTURE.read_text()
    assert shown == simulation.picture(result)
    assert ET.fromstring(shown).tag.endswith("svg")
