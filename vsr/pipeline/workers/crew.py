"""The worker processes of this machine: started, told what to do, started again, and ended."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from vsr.errors import DeviceError
from vsr.pipeline.workers.task import Task, read_line, write_line
from vsr.system import host
from vsr.system.processes import start_helper

_MODULE = "vsr.pipeline.worker"
_LAST_LINES = 20
"""Lines of a worker's standard error that are kept, to say why it ended."""
_SECONDS_TO_END = 5.0
"""How long a worker that was asked to end may take before it is killed."""

Event = tuple[str, dict[str, Any] | BaseException | None]
"""The name of a worker and its message; None instead of a message if the worker has ended."""


@dataclass(slots=True)
class _Worker:
    name: str
    device: str
    process: subprocess.Popen[bytes]
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    threads: list[threading.Thread] = field(default_factory=list)
    """They read what it writes, and end with it."""


class Crew:
    """Worker processes, one for each device; they keep their generator from task to task."""

    def __init__(self, devices: Sequence[str]) -> None:
        """Create it without starting a process; `begin` does that.

        Args:
            devices: The device of each worker; `cpu` may be there several times, and shares the cores.
        """
        self.devices = tuple(devices)
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        """What the workers say, in the order in which it arrives."""
        self._workers: dict[str, _Worker] = {}
        self._started = 0
        self._task: Task | None = None

    @property
    def names(self) -> list[str]:
        """Names of the workers that run."""
        return list(self._workers)

    def begin(self, task: Task) -> None:
        """Give all workers a task, and start those that do not run.

        Raises:
            DeviceError: the system refuses to start a process.
        """
        self._task = task
        self.events = queue.SimpleQueue()  # without what is left of an earlier task
        missing = list(self.devices)
        for name, worker in list(self._workers.items()):
            if worker.process.poll() is not None:
                self.retire(name)
                continue
            missing.remove(worker.device)
            self._tell_task(worker)
        for device in missing:
            self._start(device)

    def restart(self, name: str) -> None:
        """Start a worker that ended again, with a new name, because its temporary files may still be there.

        Raises:
            DeviceError: the system refuses to start a process.
        """
        worker = self._workers.pop(name)
        _end(worker)
        self._start(worker.device)

    def retire(self, name: str) -> None:
        """Do without a worker from now on."""
        _end(self._workers.pop(name))

    def tell(self, name: str, message: Mapping[str, Any]) -> None:
        """Send a message to a worker; if it has ended, its end is an event that follows."""
        with suppress(OSError, ValueError):
            write_line(cast(BinaryIO, self._workers[name].process.stdin), message)

    def last_words(self, name: str) -> str:
        """Return why a worker ended, as far as its exit code and its standard error tell."""
        worker = self._workers[name]
        code = worker.process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}: {worker.said[-1]}" if worker.said else how

    def close(self) -> None:
        """End all workers; repeated calls do nothing."""
        workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            _ask_to_end(worker)
        for worker in workers:
            _end(worker)

    def _start(self, device: str) -> None:
        self._started += 1
        name = f"w{self._started}"
        threads = self._threads(device)
        environment = dict(os.environ)
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        try:
            process = start_helper([sys.executable, "-m", _MODULE], environment)
        except OSError as error:
            raise DeviceError(f"a worker for {device} cannot be started ({error.strerror})") from error
        worker = self._workers[name] = _Worker(name, device, process)
        for target in (self._listen, _keep_last_lines):
            thread = threading.Thread(target=target, args=(worker,), name=f"vsr-{name}", daemon=True)
            worker.threads.append(thread)
            thread.start()
        self._tell_task(worker)

    def _tell_task(self, worker: _Worker) -> None:
        assert self._task is not None
        line = self._task.line(worker.name, worker.device, self._threads(worker.device))
        self.tell(worker.name, line)

    def _threads(self, device: str) -> int:
        """Return the threads of a worker on the CPU, its share of the cores; 0 leaves them to torch."""
        sharing = self.devices.count("cpu")
        return max(1, host.cores() // sharing) if device == "cpu" else 0

    def _listen(self, worker: _Worker) -> None:
        """Pass on what a worker says, and that it has ended."""
        with suppress(OSError, ValueError), cast(BinaryIO, worker.process.stdout) as output:
            while (message := read_line(output)) is not None:
                self.events.put((worker.name, message))
        self.events.put((worker.name, None))


def _keep_last_lines(worker: _Worker) -> None:
    with suppress(OSError, ValueError), cast(BinaryIO, worker.process.stderr) as errors:
        for line in errors:
            worker.said.append(line.decode(errors="replace").strip())


def _ask_to_end(worker: _Worker) -> None:
    with suppress(OSError):
        cast(BinaryIO, worker.process.stdin).close()


def _end(worker: _Worker) -> None:
    _ask_to_end(worker)
    try:
        worker.process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        worker.process.wait()
    for thread in worker.threads:
        thread.join()
