"""A command stops in time after a signal, even while a library blocks all other threads."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

COMMON = """
import hashlib, itertools, os, sys, threading, time
from vsr.cli.interruption import signals
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
# One call that runs neither signal handlers nor other Python threads; it first reports that it has started.
LETS_NOBODY_RUN = "sum(itertools.chain(map(os.write, [1], [b'ready\\n']), range(10**15)))"
LETS_THREADS_RUN = "threading.Thread(target=ready, daemon=True).start()\n    " + (
    "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
)
HANG_UP = pytest.param(
    signal.SIGHUP,
    marks=pytest.mark.skipif(
        signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="nohup runs the tests, so nothing hangs up"
    ),
)
NUMBERS = (signal.SIGINT, signal.SIGTERM, HANG_UP)


def run(
    *numbers: signal.Signals,
    work: str,
    native: bool,
    grace: float = 0.5,
    how: str = "busy()",
) -> tuple[int, str, str]:
    """Run a command and send it signals once it is busy; return exit code, stdout and stderr."""
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
def test_a_call_that_does_not_return_is_waited_for_only_during_the_grace_period(
    work: str, number: signal.Signals
) -> None:
    code, _, err = run(number, work=work, native=True)
    assert code == 128 + number
    assert "ended at once" in err


def test_without_the_native_thread_python_waits_where_it_can() -> None:
    code, _, err = run(signal.SIGTERM, work=LETS_THREADS_RUN, native=False)
    assert code == 143
    assert "ended at once" in err


@pytest.mark.parametrize(("native", "work"), [(True, LETS_NOBODY_RUN), (False, LETS_THREADS_RUN)])
def test_a_second_signal_ends_the_process_at_once(native: bool, work: str) -> None:
    code, _, _ = run(signal.SIGINT, signal.SIGTERM, work=work, native=native, grace=1000)
    assert code in (130, 143)


@pytest.mark.parametrize("native", [False, True])
def test_a_command_that_ends_itself_may_take_longer(native: bool) -> None:
    """Leaving the context ends the limit, although the process then takes longer than the grace period."""
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
def test_deferred_work_has_unlimited_time(native: bool) -> None:
    how = DEFERRED.format(then="time.sleep(1); raise KeyError").lstrip()
    code, out, _ = run(signal.SIGTERM, work="pass", native=native, grace=0.2, how=how)
    assert out == "SIGTERM all is saved\n"
    assert code == 7


@pytest.mark.parametrize("native", [False, True])
def test_a_second_signal_also_ends_deferred_work_at_once(native: bool) -> None:
    how = DEFERRED.format(then="time.sleep(1000)").lstrip()
    code, _, _ = run(signal.SIGINT, signal.SIGTERM, work="pass", native=native, grace=1000, how=how)
    assert code in (130, 143)
