"""Runs `vsr` in separate processes, at a fiftieth of the time that starting Python and torch takes.

    with ForkServer() as server:
        outcome = server.run(["upscale", "in.mp4", "out.mp4"], folder=folder)

A server process imports everything once and forks a child for each command. For each
child it reports exit code or signal, seconds, peak memory, and output. The server itself
never computes, so it can be forked safely.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.processes.helper_process import HelperProcess

PRINTED_BYTES = 1 << 20
"""Largest size in bytes of a child's output; a larger one would block it forever."""
MESSAGES = 200
"""Largest number of lines of a child's stderr that are kept."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command of a child, and its limits."""

    words: Sequence[str]
    """Behind `vsr`."""
    folder: str
    """Working folder."""
    memory: int | None = None
    """RLIMIT_AS in bytes."""
    file_size: int | None = None
    """RLIMIT_FSIZE in bytes."""
    files: int | None = None
    """RLIMIT_NOFILE."""
    fail_at: int | None = None
    """Number of the call that fails; see `nth_call.py`."""
    calls: str | None = None
    """File to which the calls are listed."""
    signal_at: tuple[str, int, int, int] | None = None
    """Where the child sends itself which signal; see `signal_at.install`."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a child ended."""

    code: int | None
    """Exit code; None if a signal ended the child."""
    signal: int | None
    hung: bool
    """Whether it exceeded its time and was killed."""
    seconds: float
    memory: int
    """Peak resident memory in bytes."""
    err: str
    out: str = field(repr=False)

    @property
    def lines(self) -> list[str]:
        """The error lines."""
        return [line for line in self.err.splitlines() if line.startswith("vsr: error:")]

    @property
    def wrong(self) -> str | None:
        """What no run may do with any input; None if there is no violation."""
        if self.hung:
            return f"hung over {self.seconds:.0f} s"
        if self.signal is not None:
            return f"ended by signal {self.signal}"
        if "Traceback" in self.err or "internal error" in self.err:
            return "traceback: " + self.err.strip()[-300:]
        if self.code not in (0, 10, 129, 130, 143) and len(self.lines) != 1:
            return f"exit {self.code} with {len(self.lines)} error lines: {self.err[-300:]}"
        return None


class Printed(NamedTuple):
    """Pipes for a child's output: (reader, writer)."""

    out: tuple[int, int]
    err: tuple[int, int]


class ForkServer(HelperProcess):
    """A server and its children; a context manager."""

    def __init__(self) -> None:
        """Start the server, which takes as long as importing torch."""
        super().__init__("tests.faults.processes.fork_server")

    def start(self, command: Command) -> int:
        """Start a child, and return its process id for signals."""
        return int(self._ask({"start": asdict(command)})["pid"])

    def wait(self, pid: int, *, seconds: float) -> Outcome:
        """Wait for a child up to a time limit, and then kill it."""
        return Outcome(**self._ask({"wait": pid, "seconds": seconds}))

    def run(self, words: Sequence[object], *, folder: Path, seconds: float = 20, **limits: Any) -> Outcome:
        """Run a command to its end."""
        command = Command(words=[str(word) for word in words], folder=str(folder), **limits)
        return self.wait(self.start(command), seconds=seconds)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.answer(json.dumps(question)))
        return answer


def serve() -> None:
    """Answer requests on stdin until it is closed."""
    _import_all()
    children: dict[int, tuple[float, Printed]] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            pid, printed = _start(Command(**question["start"]))
            children[pid] = time.monotonic(), printed
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid = question["wait"]
            answer = _wait(pid, *children.pop(pid), seconds=question["seconds"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _import_all() -> None:
    import torch

    import vsr.cli
    import vsr.pipeline.estimate.dry_run
    import vsr.pipeline.run
    import vsr.training.run.loop  # noqa: F401

    torch.set_num_threads(1)


def _start(command: Command) -> tuple[int, Printed]:
    printed = Printed(out=_pipe(), err=_pipe())
    reader, writer = os.pipe()
    os.close(writer)  # a child's stdin is empty
    pid = os.fork()
    if pid:
        for handle in (reader, printed.out[1], printed.err[1]):
            os.close(handle)
        return pid, printed
    try:
        for number, handle in enumerate((reader, printed.out[1], printed.err[1])):
            os.dup2(handle, number)
        _become(command)
    finally:
        os._exit(99)  # the server's code must not continue in a child


def _pipe() -> tuple[int, int]:
    """Create a pipe for a child's output, read after its end; a file
    could exceed the child's file size limit."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PRINTED_BYTES)
    return reader, writer


def _become(command: Command) -> None:
    """Run `vsr` in this process and end it."""
    from tests.faults.processes import nth_call, signal_at
    from vsr.cli import main

    os.chdir(command.folder)
    sys.argv = ["vsr", *command.words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # nohup may run the tests
        signal.signal(number, signal.SIG_DFL)
    for which, limit in (
        (resource.RLIMIT_AS, command.memory),
        (resource.RLIMIT_FSIZE, command.file_size),
        (resource.RLIMIT_NOFILE, command.files),
    ):
        if limit is not None:
            resource.setrlimit(which, (limit, limit))
    if command.fail_at is not None:
        nth_call.install(command.fail_at, None if command.calls is None else Path(command.calls))
    if command.signal_at is not None:
        signal_at.install(*command.signal_at)
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _wait(pid: int, began: float, printed: Printed, *, seconds: float) -> dict[str, Any]:
    deadline, hung = time.monotonic() + seconds, False
    while True:
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            break
        if not hung and time.monotonic() > deadline:
            hung = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    return {
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "hung": hung,
        "seconds": time.monotonic() - began,
        "memory": used.ru_maxrss * 1024,
        "err": _taken(printed.err[0]),
        "out": _taken(printed.out[0]),
    }


def _taken(reader: int) -> str:
    """Return a child's output."""
    with os.fdopen(reader, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-MESSAGES:])


if __name__ == "__main__":
    serve()
