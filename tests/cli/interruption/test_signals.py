"""The message after a signal is true for work that ends between two steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from vsr.cli.interruption import signals
from vsr.errors import OutputError


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
