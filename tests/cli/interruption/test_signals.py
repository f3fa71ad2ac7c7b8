"""The message after a signal is true for work that ends between two steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from vsr.cli.interruption import signals
from vsr.errors import OutputError
from vsr.system.last_step import last_step


class EarlyError(Exception):
    pass


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with signals.installed():
        yield
    for number, handler in before.items():
        signal.signal(number, handler)


def work(ends: Exception | None) -> None:
    """Ask the work to stop, and then end it with `ends`."""
    with signals.deferred("all is saved", early=EarlyError) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        if ends is not None:
            raise ends


def test_work_that_ends_early_on_request_names_what_is_left() -> None:
    with pytest.raises(signals.Stopped) as caught:
        work(EarlyError())
    assert (caught.value.left, caught.value.exit_code) == ("all is saved", 143)


def test_work_that_finishes_is_reported_as_finished() -> None:
    work(None)


def test_a_failed_save_is_not_reported_as_saved() -> None:
    with pytest.raises(OutputError, match="disk"):
        work(OutputError("the disk is full"))


def test_the_next_signal_stops_at_once_again() -> None:
    with signals.deferred("all is saved", early=EarlyError):
        pass
    assert signal.getsignal(signal.SIGTERM) is signals._stop


def test_a_signal_during_the_last_step_is_only_recorded_until_the_command_goes_on() -> None:
    with last_step():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(signals.Stopped) as caught:
        signals.go_on()
    assert caught.value.exit_code == 143


def test_without_a_signal_the_command_goes_on_and_can_be_stopped_again() -> None:
    with last_step():
        pass
    signals.go_on()
    with pytest.raises(signals.Stopped):
        os.kill(os.getpid(), signal.SIGINT)


def test_after_a_last_step_that_fails_a_signal_stops_the_command() -> None:
    with pytest.raises(OutputError), last_step():
        raise OutputError("the disk is full")
    with pytest.raises(signals.Stopped):
        os.kill(os.getpid(), signal.SIGINT)
