"""The workers of a run: started, told their task, started again after they end early, and ended."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from vsr.pipeline.crew.process import OnMessage, WorkerProcess
from vsr.pipeline.crew.task import Task
from vsr.system import host

Event = tuple[str, dict[str, Any] | BaseException | None]
"""The name of a worker and its message; None instead of a message if the worker has ended."""


class Worker(Protocol):
    """A worker process, on whatever machine; see `process.WorkerProcess` for what each member does."""

    @property
    def has_ended(self) -> bool: ...
    def tell(self, message: Mapping[str, Any]) -> None: ...
    def last_words(self) -> str: ...
    def ask_to_end(self) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Member:
    device: str
    worker: Worker


class Crew:
    """Workers, one for each device; they keep their generator from task to task."""

    def __init__(
        self,
        devices: Sequence[str],
        *,
        start: Callable[[str, str, int, OnMessage], Worker],
        threads: Callable[[str], int],
        duplicates: bool = False,
        adapted: Callable[[Task], Task] = lambda task: task,
    ) -> None:
        """Create it without starting a worker; `begin` does that.

        Args:
            devices: The device of each worker.
            start: Starts a worker with a name, a device and a number of threads, and calls the function with
                each of its messages.
            threads: Returns the threads of a worker on a device; 0 leaves them to torch.
            duplicates: Whether an idle worker may make a segment that another one is making.
            adapted: Returns the task as workers on several kinds of machines get it.
        """
        self.devices = tuple(devices)
        self.duplicates = duplicates
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        """What the workers say, in the order in which it arrives."""
        self._start_worker, self._threads, self._adapted = start, threads, adapted
        self._members: dict[str, _Member] = {}
        self._started = 0
        self._task: Task | None = None

    @property
    def names(self) -> list[str]:
        """Names of the workers; some may still wait for a machine."""
        return list(self._members)

    def begin(self, task: Task) -> None:
        """Give all workers a task, and start those that do not run.

        Raises:
            DeviceError: the system refuses to start a process.
        """
        self._task = self._adapted(task)
        self.events = queue.SimpleQueue()  # without what is left of an earlier task
        missing = list(self.devices)
        for name, member in list(self._members.items()):
            if member.worker.has_ended:
                self.retire(name)
                continue
            missing.remove(member.device)
            self._tell_task(name)
        for device in missing:
            self._start(device)

    def restart(self, name: str) -> None:
        """Start a worker that ended again, with a new name, because its temporary files may still be there.

        Raises:
            DeviceError: the system refuses to start a process.
        """
        member = self._members.pop(name)
        member.worker.end()
        self._start(member.device)

    def retire(self, name: str) -> None:
        """Do without a worker from now on."""
        self._members.pop(name).worker.end()

    def tell(self, name: str, message: Mapping[str, Any]) -> None:
        """Send a message to a worker; if it has ended, its end is an event that follows."""
        self._members[name].worker.tell(message)

    def last_words(self, name: str) -> str:
        """Return why a worker ended."""
        return self._members[name].worker.last_words()

    def close(self) -> None:
        """End all workers; repeated calls do nothing."""
        members, self._members = list(self._members.values()), {}
        for member in members:
            member.worker.ask_to_end()
        for member in members:
            member.worker.end()

    def _start(self, device: str) -> None:
        self._started += 1
        name = f"w{self._started}"
        worker = self._start_worker(name, device, self._threads(device), partial(self._hear, name))
        self._members[name] = _Member(device, worker)
        self._tell_task(name)

    def _hear(self, name: str, message: dict[str, Any] | None) -> None:
        self.events.put((name, message))

    def _tell_task(self, name: str) -> None:
        assert self._task is not None
        device = self._members[name].device
        self.tell(name, self._task.line(name, device, self._threads(device)))


def local_crew(devices: Sequence[str]) -> Crew:
    """Return workers on this machine; those on the CPU share its cores."""
    share = max(1, host.cores() // max(1, devices.count("cpu")))
    return Crew(devices, start=WorkerProcess, threads=lambda device: share if device == "cpu" else 0)
