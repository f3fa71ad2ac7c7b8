"""Runs the workers of `vsr upscale --on ray` in actors of a Ray cluster, one for each device.

An actor starts the same worker process that `vsr` starts on its own machine (`vsr.pipeline.worker`), and
passes lines between it and the driver. Lines contain paths and numbers, never frames or objects. The input,
the output and its folder must have the same paths on all machines. A worker refuses the job if its version of
a package, the hash of its weights or its copy of the input differ from the driver's.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from vsr import ConfigError, DeviceError
from vsr.workers import Event, Task, WorkerProcess, with_threads_of_this_machine

_THREADS_OF_ACTOR = 2
"""One waits for the worker while the other one passes a message to it."""
_SECONDS = 1.0
"""How long an actor waits for a message before it answers that there is none."""


class _Relay:
    """The actor: a worker process, and what it says."""

    def __init__(self, name: str, device: str, threads: int) -> None:
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._process = WorkerProcess(name, device, threads, self._said.put)

    def tell(self, message: dict[str, Any]) -> None:
        """Pass a message to the worker."""
        self._process.tell(message)

    def listen(self) -> list[dict[str, Any] | None]:
        """Return what the worker has said since the last call; None means that it has ended."""
        found: list[dict[str, Any] | None] = []
        with suppress(queue.Empty):
            found.append(self._said.get(timeout=_SECONDS))
            while True:
                found.append(self._said.get_nowait())
        return found

    def last_words(self) -> str:
        """Return why the worker ended."""
        return self._process.last_words()


@dataclass(frozen=True, slots=True)
class _Worker:
    device: str
    actor: Any


class RayCrew:
    """Workers in actors; the members are those of `vsr.pipeline.workers.crew.LocalCrew`."""

    duplicates = True

    def __init__(self, devices: Sequence[str]) -> None:
        """Create it without starting an actor; the cluster is connected."""
        self.devices = tuple(devices)
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._workers: dict[str, _Worker] = {}
        self._why: dict[str, str] = {}
        self._started = 0
        self._task: Task | None = None

    @property
    def names(self) -> list[str]:
        """Names of the workers; some may still wait for a machine."""
        return list(self._workers)

    def begin(self, task: Task) -> None:
        """Give all workers a task, and ask the cluster for those that are missing."""
        self._task = with_threads_of_this_machine(task)
        self.events = queue.SimpleQueue()
        missing = list(self.devices)
        for name, worker in list(self._workers.items()):
            if name in self._why:
                self.retire(name)
                continue
            missing.remove(worker.device)
            self._tell_task(name)
        for device in missing:
            self._start(device)

    def restart(self, name: str) -> None:
        """Ask the cluster for another actor in place of one that ended."""
        device = self._workers[name].device
        self.retire(name)
        self._start(device)

    def retire(self, name: str) -> None:
        """Do without a worker from now on."""
        ray.kill(self._workers.pop(name).actor)

    def tell(self, name: str, message: Mapping[str, Any]) -> None:
        """Send a message to a worker, without waiting."""
        self._workers[name].actor.tell.remote(dict(message))

    def last_words(self, name: str) -> str:
        """Return why a worker ended: its own words, or those of Ray if its machine is lost."""
        try:
            return str(ray.get(self._workers[name].actor.last_words.remote(), timeout=10))
        except RayError as error:
            return self._why.get(name) or _first_line(error)

    def close(self) -> None:
        """End all workers; the connection to the cluster stays."""
        for name in self.names:
            self.retire(name)

    def _start(self, device: str) -> None:
        self._started += 1
        name = f"r{self._started}"
        threads = self._threads(device)
        wanted: dict[str, Any] = {"num_cpus": threads or 1, "max_concurrency": _THREADS_OF_ACTOR}
        if device != "cpu":
            wanted["num_gpus"] = 1
        actor = ray.remote(_Relay).options(**wanted).remote(name, device, threads)
        self._workers[name] = _Worker(device, actor)
        threading.Thread(target=self._listen, args=(name, actor), name=f"vsr-{name}", daemon=True).start()
        self._tell_task(name)

    def _tell_task(self, name: str) -> None:
        assert self._task is not None
        device = self._workers[name].device
        self.tell(name, self._task.line(name, device, self._threads(device)))

    def _listen(self, name: str, actor: Any) -> None:
        """Pass on what a worker says, on a thread; the end of its actor or its machine is its end, too."""
        try:
            while True:
                for message in ray.get(actor.listen.remote()):
                    self.events.put((name, message))
                    if message is None:
                        self._why.setdefault(name, "")
                        return
        except RayError as error:
            self._why[name] = _first_line(error)
            self.events.put((name, None))

    def _threads(self, device: str) -> int:
        """Return the cores of a worker on the CPU: its share, but no more than the smallest machine has."""
        if device != "cpu":
            return 0
        share = sum(_cores()) // self.devices.count("cpu")
        return max(1, min(share, *_cores()))


def devices(address: str, device: str) -> tuple[str, ...]:
    """Return the device of each worker on a cluster.

    Args:
        address: `HOST:PORT` of a Ray client server; empty for RAY_ADDRESS, a running cluster, or a new one on
            this machine.
        device: `auto` is one worker for each GPU, or for each machine where there is none; `cuda:all`, `cuda`
            and `cpu` likewise; `cpu:N` is N workers, for which the cluster may still have to start machines.

    Raises:
        ConfigError: the name is another one.
        DeviceError: the cluster cannot be reached, or has no GPU.
    """
    _connect(address)
    kind, _, number = device.partition(":")
    if kind == "cpu" and number.isdecimal() and int(number):
        return ("cpu",) * int(number)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if device in ("auto", "cuda", "cuda:all") and gpus:
        return ("cuda:0",) * gpus  # an actor sees only its own GPU
    if device in ("auto", "cpu"):
        return ("cpu",) * len(_cores())
    if device in ("cuda", "cuda:all"):
        raise DeviceError(
            f"device {device!r} was requested, but the Ray cluster has no GPU; use `device='cpu:4'`"
        )
    raise ConfigError(f"`device={device!r}` is no device of a cluster; use auto, cuda:all, cpu or cpu:N")


def crew(address: str, devices: Sequence[str]) -> RayCrew:
    """Return workers on the cluster that `devices` connected to."""
    return RayCrew(devices)


def _connect(address: str) -> None:
    if ray.is_initialized():
        return
    try:
        ray.init(
            address=f"ray://{address}" if address else None,
            include_dashboard=None if address else False,
            configure_logging=False,
            log_to_driver=False,
        )
    except (RayError, OSError, RuntimeError, ValueError) as error:
        where = f"the Ray cluster at {address}" if address else "a Ray cluster"
        raise DeviceError(f"{where} cannot be reached ({_first_line(error)})") from error


def _cores() -> list[int]:
    """Return the cores of each machine of the cluster."""
    return [int(node["Resources"].get("CPU", 0)) or 1 for node in ray.nodes() if node["Alive"]]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
