"""SIGKILL at any step after a result is complete: the same command then ends what is left, and says so.

The process kills itself at a step that is counted, so nothing depends on the speed of a machine. Steps are
spread from the one in which the result gets its name to the end of the process.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import attacks
from tests.faults.oracle import contents, remains
from tests.faults.processes.fork_server import ForkServer, Outcome

FRAMES = 6
ONE = ("upscale", "in.mp4", "out.mp4", *attacks.UPSCALE, "--report", "report.json")
QUEUE = ("upscale", "in.mp4", "two.mp4", "--to", "out", *attacks.UPSCALE, "--report", "report.jsonl", "-y")
PICTURES = ("upscale", "in.mp4", "out/%03d.png", *attacks.UPSCALE, "--report", "report.json")
ANIMATION = ("upscale", "in.mp4", "out.webp", *attacks.UPSCALE, "--report", "report.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return attacks.two_films(tmp_path, FRAMES)


def clear(folder: Path) -> None:
    attacks.clear_all_but(folder, "in.mp4", "two.mp4")


def steps(first: int = 0) -> Iterator[int]:
    """Yield numbers of steps, close together at first: names are given and removed there."""
    step = float(first)
    while True:
        yield int(step)
        step = max(step + 4, step * 2.5)


def killed_runs(
    server: ForkServer, folder: Path, words: tuple[str, ...], function: str
) -> Iterator[tuple[int, Outcome]]:
    """Kill a command at steps from a function on, until its end; yield how the same command ends then."""
    for after in steps():
        clear(folder)
        killed = server.run(words, folder=folder, signal_at=(function, 1, after, signal.SIGKILL), seconds=120)
        if killed.signal is None:
            assert killed.code == 0, killed
            assert after > 50, f"{function} is called too late"
            return
        again = server.run(words, folder=folder, seconds=120)
        assert again.wrong is None, (after, again)
        yield after, again


def pictures(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "out" / name).read_bytes() for name in remains(folder / "out")}


@pytest.mark.slow
def test_one_file_is_finished_by_the_same_command(server: ForkServer, folder: Path) -> None:
    expected, said = attacks.unbroken(server, folder, "out.mp4"), 0
    shutil.copy(folder / "in.mp4", folder / "two.mp4")
    for after, again in killed_runs(server, folder, ONE, "put_in_place"):
        assert remains(folder, "in.mp4", "two.mp4") == ["out.mp4", "report.json"], (after, again)
        assert contents(folder / "out.mp4") == expected
        report = json.loads((folder / "report.json").read_text())
        assert (report["frames_out"], report["exit_code"], report["target"]) == (FRAMES, 0, "out.mp4")
        if again.code:  # the command was at its end: nothing is left to be done
            assert (again.code, "exists already" in again.err) == (2, True), (after, again)
        said += "out.mp4: already finished, by a run that was killed at its end" in again.err
    assert said > 3


def test_another_job_is_still_refused_and_what_is_left_of_the_finished_one_is_removed(
    server: ForkServer, folder: Path
) -> None:
    words = (*ONE[:-2], "--scale", "3")
    killed = server.run(ONE, folder=folder, signal_at=("sync_folder", 99, 0, signal.SIGKILL), seconds=120)
    assert killed.code == 0, "the function is called less often"
    clear(folder)
    killed = server.run(ONE, folder=folder, signal_at=("_after", 1, 0, signal.SIGKILL), seconds=120)
    assert killed.signal == signal.SIGKILL
    made = (folder / "out.mp4").read_bytes()
    assert list(folder.glob(".*.vsr/*.segment"))
    other = server.run(words, folder=folder, seconds=120)
    assert (other.code, "out.mp4: exists already" in other.err) == (2, True), other
    assert (folder / "out.mp4").read_bytes() == made
    assert remains(folder, "in.mp4", "two.mp4") == ["out.mp4"]
    replaced = server.run((*words, "-y"), folder=folder, seconds=120)
    assert replaced.code == 0, replaced


def test_a_file_that_replaced_the_result_is_not_taken_for_it(server: ForkServer, folder: Path) -> None:
    killed = server.run(ONE, folder=folder, signal_at=("_after", 1, 0, signal.SIGKILL), seconds=120)
    assert killed.signal == signal.SIGKILL
    (folder / "out.mp4").write_bytes(b"precious")
    again = server.run(ONE, folder=folder, seconds=120)
    assert (again.code, "out.mp4: exists already" in again.err) == (2, True), again
    assert (folder / "out.mp4").read_bytes() == b"precious"
    assert list(folder.glob(".*.vsr/*.segment")), "the parts are all that is left of the result"
    (folder / "out.mp4").unlink()
    resumed = server.run(ONE, folder=folder, seconds=120)
    assert (resumed.code, "resuming after 6 frames" in resumed.err) == (0, True), resumed


def test_overwriting_resumes_the_same_job_and_starts_another_anew(server: ForkServer, folder: Path) -> None:
    for words, resumes in ((ONE, True), ((*ONE, "--scale", "3"), False)):
        clear(folder)
        killed = server.run(ONE, folder=folder, signal_at=("_after", 1, 0, signal.SIGKILL), seconds=120)
        assert killed.signal == signal.SIGKILL
        again = server.run((*words, "-y"), folder=folder, seconds=120)
        assert (again.code, "resuming after 6 frames" in again.err) == (0, resumes), again
        assert remains(folder, "in.mp4", "two.mp4") == ["out.mp4", "report.json"]


@pytest.mark.slow
def test_a_run_without_resume_leaves_nothing_either(server: ForkServer, folder: Path) -> None:
    for after, again in killed_runs(server, folder, (*ONE, "--no-resume"), "put_in_place"):
        assert remains(folder, "in.mp4", "two.mp4") == ["out.mp4", "report.json"], (after, again)
        assert again.code in (0, 2), (after, again)


@pytest.mark.slow
def test_a_queue_is_finished_by_the_same_command(server: ForkServer, folder: Path) -> None:
    words = QUEUE[:-1]
    for after, again in killed_runs(server, folder, words, "put_in_place"):
        assert again.code == 0, (after, again)
        assert remains(folder / "out") == ["in-2x.mp4", "two-2x.mp4"], (after, again)
        rows = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
        made = {row["target"] for row in rows if row["report"] is not None}
        assert made == {"out/in-2x.mp4", "out/two-2x.mp4"}, (after, rows)


@pytest.mark.slow
def test_numbered_pictures_are_finished_by_the_same_command(server: ForkServer, folder: Path) -> None:
    assert server.run(PICTURES, folder=folder, seconds=120).code == 0
    expected = pictures(folder)
    assert len(expected) == FRAMES
    shutil.rmtree(folder / "out")
    kept = 0
    for function in ("put_in_place", "write_pictures"):  # of the hidden video; of the pictures
        for after, again in killed_runs(server, folder, PICTURES, function):
            assert pictures(folder) == expected, (after, again)
            assert remains(folder, "in.mp4", "two.mp4") == ["out", "report.json"]
            assert json.loads((folder / "report.json").read_text())["bytes_out"] == sum(
                map(len, expected.values())
            )
            assert again.code == 0 or "exists already" in again.err, (after, again)
            kept += "bicubic" not in again.err
    assert kept > 5, "complete frames are computed again"


@pytest.mark.slow
def test_an_animation_is_finished_by_the_same_command(server: ForkServer, folder: Path) -> None:
    assert server.run(ANIMATION, folder=folder, seconds=120).code == 0
    expected = (folder / "out.webp").read_bytes()
    for function in ("put_in_place", "write_result"):
        for after, again in killed_runs(server, folder, ANIMATION, function):
            assert (folder / "out.webp").read_bytes() == expected, (after, again)
            assert remains(folder, "in.mp4", "two.mp4") == ["out.webp", "report.json"], (after, again)
            assert again.code == 0 or "exists already" in again.err, (after, again)


@pytest.mark.slow
def test_a_queue_of_pictures_is_finished_by_the_same_command(server: ForkServer, folder: Path) -> None:
    """Numbered pictures have no single file that shows whether they are complete."""
    words = ("upscale", "in.mp4", "two.mp4", "--to", "out", "--name", "{stem}-%03d.png", *attacks.UPSCALE)
    for after, again in killed_runs(server, folder, words, "write_pictures"):
        assert again.code == 0, (after, again)
        assert len(remains(folder / "out")) == 2 * FRAMES, (after, again)


def test_a_picture_is_finished_by_the_same_command(server: ForkServer, folder: Path) -> None:
    assert server.run(PICTURES, folder=folder, seconds=120).code == 0
    shutil.copy(folder / "out" / "001.png", folder / "two.mp4")
    (folder / "two.mp4").rename(folder / "two.png")
    words = ("upscale", "two.png", "big.png", "-m", "bicubic")
    for after in steps():
        attacks.clear_all_but(folder, "in.mp4", "two.png")
        killed = server.run(
            words, folder=folder, signal_at=("write_result", 1, after, signal.SIGKILL), seconds=120
        )
        if killed.signal is None:
            break
        again = server.run(words, folder=folder, seconds=120)
        assert again.code == 0 or "exists already" in again.err, (after, again)
        assert remains(folder, "in.mp4", "two.png") == ["big.png"], (after, again)
