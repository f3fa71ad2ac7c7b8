"""The workers of this machine: started, told their task, started again after they end early, and ended."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vsr.pipeline.workers.process import WorkerProcess
from vsr.pipeline.workers.task import Task
from vsr.system import host

Event = tuple[str, dict[str, Any] | BaseException | None]
"""The name of a worker and its message; None instead of a message if the worker has ended."""


@dataclass(frozen=True, slots=True)
class _Worker:
    device: str
    process: WorkerProcess


class LocalCrew:
    """Worker processes, one for each device; they keep their generator from task to task."""

    duplicates = False
    """Whether an idle worker may make a segment that another one is making. Here they share the cores."""

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
            if worker.process.has_ended:
                self.retire(name)
                continue
            missing.remove(worker.device)
            self._tell_task(name)
        for device in missing:
            self._start(device)

    def restart(self, name: str) -> None:
        """Start a worker that ended again, with a new name, because its temporary files may still be there.

        Raises:
            DeviceError: the system refuses to start a process.
        """
        worker = self._workers.pop(name)
        worker.process.end()
        self._start(worker.device)

    def retire(self, name: str) -> None:
        """Do without a worker from now on."""
        self._workers.pop(name).process.end()

    def tell(self, name: str, message: Mapping[str, Any]) -> None:
        """Send a message to a worker; if it has ended, its end is an event that follows."""
        self._workers[name].process.tell(message)

    def last_words(self, name: str) -> str:
        """Return why a worker ended."""
        return self._workers[name].process.last_words()

    def close(self) -> None:
        """End all workers; repeated calls do nothing."""
        workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.process.ask_to_end()
        for worker in workers:
            worker.process.end()

    def _start(self, device: str) -> None:
        self._started += 1
        name = f"w{self._started}"
        process = WorkerProcess(name, device, self._threads(device), partial(self._hear, name))
        self._workers[name] = _Worker(device, process)
        self._tell_task(name)

    def _hear(self, name: str, message: dict[str, Any] | None) -> None:
        self.events.put((name, message))

    def _tell_task(self, name: str) -> None:
        assert self._task is not None
        device = self._workers[name].device
        self.tell(name, self._task.line(name, device, self._threads(device)))

    def _threads(self, device: str) -> int:
        """Return the threads of a worker on the CPU, its share of the cores; 0 leaves them to torch."""
        sharing = self.devices.count("cpu")
        return max(1, host.cores() // sharing) if device == "cpu" else 0
