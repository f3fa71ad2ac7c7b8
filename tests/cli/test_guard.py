"""Who asks a command to stop is obeyed in time, even while a library lets nothing else run."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

COMMON = """
import hashlib, itertools, os, sys, threading, time
from vsr.cli import signals
signals.GRACE_SECONDS = {grace}

def ready():  # once the main thread lets others run, which it does inside of a library only
    time.sleep(0.05)
    os.write(1, b"ready\\n")

def busy():
    sys.setswitchinterval(1000)
    {work}

with signals.installed():
    if {native}:
        signals.whatever_runs()
        assert signals._guard._library is not None
    try:
        {how}
    except signals.Stopped as stop:
        print(stop.name, stop.left, flush=True)
time.sleep(1)
sys.exit(7)
"""
# One step of Python's own code, which runs neither handlers nor threads; it begins with saying that it does.
LETS_NOBODY_RUN = "sum(itertools.chain(map(os.write, [1], [b'ready\\n']), range(10**15)))"
LETS_THREADS_RUN = "threading.Thread(target=ready, daemon=True).start()\n    " + (
    "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
)
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    *numbers: signal.Signals,
    work: str,
    native: bool,
    grace: float = 0.5,
    how: str = "busy()",
) -> tuple[int, str, str]:
    """Exit code, output and error output of a command that is sent signals once it is busy."""
    program = COMMON.format(grace=grace, work=work, native=native, how=how)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            for number in numbers:
                process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("work", [LETS_NOBODY_RUN, LETS_THREADS_RUN])
def test_a_library_that_does_not_return_is_waited_for_so_long_and_no_longer(
    work: str, number: signal.Signals
) -> None:
    code, _, err = run(number, work=work, native=True)
    assert code == 128 + number
    assert "ended at once" in err


def test_before_there_is_a_compiler_python_waits_where_it_may() -> None:
    code, _, err = run(signal.SIGTERM, work=LETS_THREADS_RUN, native=False)
    assert code == 143
    assert "ended at once" in err


@pytest.mark.parametrize(("native", "work"), [(True, LETS_NOBODY_RUN), (False, LETS_THREADS_RUN)])
def test_a_second_signal_waits_for_nobody(native: bool, work: str) -> None:
    code, _, _ = run(signal.SIGINT, signal.SIGTERM, work=work, native=native, grace=1000)
    assert code in (130, 143)


@pytest.mark.parametrize("native", [False, True])
def test_a_command_that_ends_by_itself_is_left_to_its_end(native: bool) -> None:
    """Though it takes longer to leave than the time that it had to stop."""
    code, out, _ = run(
        signal.SIGINT, work="print('ready', flush=True)\n    time.sleep(60)", native=native, grace=0.3
    )
    assert out == "SIGINT no unfinished file was left behind\n"
    assert code == 7


DEFERRED = """
        with signals.deferred("all is saved", early=KeyError) as asked:
            print("ready", flush=True)
            while not asked():
                time.sleep(0.01)
            {then}
"""


@pytest.mark.parametrize("native", [False, True])
def test_work_that_ends_between_two_steps_has_all_the_time_it_needs(native: bool) -> None:
    how = DEFERRED.format(then="time.sleep(1); raise KeyError").lstrip()
    code, out, _ = run(signal.SIGTERM, work="pass", native=native, grace=0.2, how=how)
    assert out == "SIGTERM all is saved\n"
    assert code == 7


@pytest.mark.parametrize("native", [False, True])
def test_a_second_signal_ends_such_work_at_once_too(native: bool) -> None:
    how = DEFERRED.format(then="time.sleep(1000)").lstrip()
    code, _, _ = run(signal.SIGINT, signal.SIGTERM, work="pass", native=native, grace=1000, how=how)
    assert code in (130, 143)
