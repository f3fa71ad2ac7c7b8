"""The watchdog ends what hangs, and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vsr.cli.watchdog import watchdog

TICK = 0.02
PATIENCE = 10 * TICK / 60
"""Minutes: ten ticks."""


def test_what_hangs_is_ended_with_the_stacks_of_all_threads(capfd: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()
    with watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set()):
        assert ended.wait(20)
    err = capfd.readouterr().err
    assert "nothing has moved" in err
    assert "test_what_hangs_is_ended" in err  # where this thread stands


def test_what_moves_is_left_alone() -> None:
    ended = threading.Event()
    with watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set()) as alive:
        for _ in range(30):
            alive()
            time.sleep(TICK)
    time.sleep(15 * TICK)  # nor is it woken by what comes after
    assert not ended.is_set()


def test_no_patience_means_no_watchdog() -> None:
    with watchdog(0, tick=TICK):
        assert not [t for t in threading.enumerate() if t.name == "vsr-watchdog" and t.is_alive()]


def test_a_process_that_was_suspended_is_not_taken_for_one_that_hangs() -> None:
    program = """
import time
from pathlib import Path
from vsr.cli.watchdog import watchdog
with watchdog(1.0 / 60, tick=0.1) as alive:
    print("ready", flush=True)
    for _ in range(40):
        alive()
        time.sleep(0.05)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)  # twice its patience
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 0
    process.stdout.close()


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count a process's bytes")
def test_while_files_are_put_together_bytes_are_a_sign_of_life_and_nothing_else_is(tmp_path: Path) -> None:
    ended = threading.Event()
    with watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set()) as dog, dog.files_only():
        with (tmp_path / "film").open("wb", buffering=0) as film:
            for _ in range(30):
                film.write(b"x")
                time.sleep(TICK)
        assert not ended.is_set()
        assert ended.wait(20)


def test_while_pictures_are_computed_bytes_are_none(tmp_path: Path) -> None:
    ended = threading.Event()
    dog = watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set())
    with dog, (tmp_path / "film").open("wb", buffering=0) as film:
        while not ended.wait(TICK):
            film.write(b"x")
