"""The watchdog ends processes that hang, and no others."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vsr.cli.interruption.watchdog import watchdog
from vsr.media.remote.traffic import note

TICK = 0.02
PATIENCE = 10 * TICK / 60
"""Ten ticks, in minutes."""


def test_a_hanging_process_is_ended_with_the_stacks_of_all_threads(capfd: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()
    with watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set()):
        assert ended.wait(20)
    err = capfd.readouterr().err
    assert "no progress" in err
    assert "test_a_hanging_process_is_ended" in err  # the stack of this thread


def test_a_process_with_progress_is_not_ended() -> None:
    ended = threading.Event()
    with watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set()) as alive:
        for _ in range(30):
            alive()
            time.sleep(TICK)
    time.sleep(15 * TICK)  # nothing happens after its end either
    assert not ended.is_set()


def test_a_patience_of_zero_disables_the_watchdog() -> None:
    with watchdog(0, tick=TICK):
        assert not [t for t in threading.enumerate() if t.name == "vsr-watchdog" and t.is_alive()]


def test_a_suspended_process_does_not_count_as_hanging() -> None:
    program = """
import time
from pathlib import Path
from vsr.cli.interruption.watchdog import watchdog
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


@pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="this system does not count the bytes of a process"
)
def test_during_muxing_only_bytes_count_as_progress(tmp_path: Path) -> None:
    ended = threading.Event()
    with watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set()) as dog, dog.files_only():
        with (tmp_path / "film").open("wb", buffering=0) as film:
            for _ in range(30):
                film.write(b"x")
                time.sleep(TICK)
        assert not ended.is_set()
        assert ended.wait(20)


def test_during_computation_bytes_do_not_count_as_progress(tmp_path: Path) -> None:
    ended = threading.Event()
    dog = watchdog(PATIENCE, tick=TICK, end=lambda code: ended.set())
    with dog, (tmp_path / "film").open("wb", buffering=0) as film:
        while not ended.wait(TICK):
            film.write(b"x")


def test_bytes_of_the_network_count_where_files_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.cli.interruption.watchdog.bytes_moved", lambda: "as before")
    with watchdog(0) as dog, dog.files_only():
        dog.has_moved()
        assert not dog.has_moved()
        note(1)
        assert dog.has_moved()
        assert not dog.has_moved()
