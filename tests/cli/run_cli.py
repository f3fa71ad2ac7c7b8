"""Runs the command line in the test's process, since importing torch for each case would take seconds."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

import vsr.cli


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """Return the single error line; fails if there is none or more than one."""
        lines = [line for line in self.err.splitlines() if line.startswith("vsr: error:")]
        assert len(lines) == 1, self.err
        return lines[0]


def run_cli(capfd: pytest.CaptureFixture[str], *words: object) -> Outcome:
    """Run `vsr WORDS...` and return its exit code and what it printed."""
    patch = pytest.MonkeyPatch()
    patch.setattr("sys.argv", ["vsr", *map(str, words)])
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    capfd.readouterr()
    try:
        vsr.cli.main()
        code: object = 0
    except SystemExit as stop:
        code = stop.code
    finally:
        patch.undo()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    out, err = capfd.readouterr()
    return Outcome(code if isinstance(code, int) else 0 if code is None else 1, out, err)
