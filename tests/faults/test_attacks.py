"""The attacks with few cases; `make soak` runs all of them and prints the figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults import attacks
from tests.faults.attacks import Tally
from tests.faults.inputs.mutations import CONTAINERS, FIRST, MUTATORS
from tests.faults.oracle import Contents
from tests.faults.processes.fork_server import ForkServer

MUTATED = {every: range(0, len(CONTAINERS) * len(MUTATORS), every) for every in (7, 3)}
"""Seeds that cover a seventh or a third of all pairs of mutator and container: each container once or twice,
each mutator at least twice."""


FOUND = (1_000_651,)
"""Seeds that once failed because of a timestamp in the far future."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacks")
    attacks.film(path, frames=30)
    return path


@pytest.fixture(scope="module")
def expected(server: ForkServer, folder: Path) -> Contents:
    return attacks.unbroken(server, folder, "out.mkv")


def nothing_wrong(tally: Tally) -> None:
    assert not tally.wrong, "\n".join(tally.wrong)


@pytest.mark.parametrize("every", [7, pytest.param(3, marks=pytest.mark.slow)])
def test_damaged_inputs_end_with_one_line_or_a_complete_file_and_a_report(
    server: ForkServer, tmp_path: Path, every: int
) -> None:
    tally = attacks.mutate(server, tmp_path, MUTATED[every])
    nothing_wrong(attacks.mutate(server, tmp_path, FOUND, FIRST))
    nothing_wrong(tally)
    assert tally.counts["silent"] <= 0.02 * len(MUTATED[every]), tally.counts  # the limit of issue 4
    assert tally.counts["exit 10"] > len(MUTATED[every]) / 4, "the mutators cause hardly any damage"


def test_when_any_call_fails_the_output_is_absent_or_complete_and_a_rerun_succeeds(
    server: ForkServer, folder: Path, expected: Contents
) -> None:
    """Let the first call of each kind fail; `make soak` covers every call."""
    calls = attacks.nth_calls(server, folder)
    kinds = [re.sub(r"\d+", "", re.sub(r"\S+\.tmp", "tmp", call)) for call in calls]
    numbers = sorted({kinds.index(kind) + 1 for kind in kinds})
    assert len(numbers) > 15
    tally = attacks.nth_call(server, folder, calls, numbers, expected)
    nothing_wrong(tally)
    assert tally.counts["exit 4"] > len(numbers) / 4, tally.counts


def test_a_disk_that_is_full_at_any_size_is_exit_4_and_a_rerun_succeeds(
    server: ForkServer, folder: Path, expected: Contents
) -> None:
    size = attacks.finished_size(server, folder)
    tally = attacks.file_sizes(server, folder, attacks.sizes_around(size, 12), expected)
    nothing_wrong(tally)
    assert tally.counts["exit 4"] == 12, tally.counts


def test_a_run_killed_at_any_point_resumes_to_the_same_file(
    server: ForkServer, folder: Path, expected: Contents
) -> None:
    tally = attacks.kills(server, folder, 10, seed=1, expected=expected)
    nothing_wrong(tally)
    assert tally.counts["killed"] >= 5, tally.counts


def test_ctrl_c_ends_a_run_within_10_seconds(server: ForkServer, folder: Path) -> None:
    tally = attacks.interrupts(server, folder, 3, seed=1)
    nothing_wrong(tally)
    assert tally.worst_seconds < 10
