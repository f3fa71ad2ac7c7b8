"""Runs the workers of `vsr upscale --on ray` in actors of a Ray cluster, one for each device.

An actor starts the same worker process that `vsr` starts on its own machine, `vsr.pipeline.workers.worker`,
and passes lines between it and the driver. Lines contain paths and numbers, never frames or objects. The
input, the output and its folder must have the same paths on all machines. A worker refuses the job if its
version of a package, the hash of its weights or its copy of the input differ from the driver's.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError

from vsr import ConfigError, DeviceError
from vsr.workers import Crew, OnMessage, WorkerProcess, with_threads_of_this_machine

_THREADS_OF_ACTOR = 2
"""One waits for the worker while the other one passes a message to it."""
_ONE_EACH = {"cpu": "cpu", "gpu": "cuda:0"}
"""The device of each of N workers; an actor sees only its own GPU."""
_SECONDS = 10.0
"""How long an actor waits for a message before it answers that there is none."""
_GATHERED = 1.0
"""How long an actor gathers messages of single frames that are computed, before it answers with all of them;
others are passed on at once. With more than `_OFTEN` workers it is longer, see `_gathering`."""
_FIRST = 1 / 8
"""The part of that time for which it gathers the first frames of a film; then twice as long each time. The
remaining time is known from the first frames on, so they must not arrive all at once."""
_OFTEN = 50
"""How many calls a second the driver answers at most to show progress. One takes it 1.6 ms (measured)."""


class _Relay:
    """The actor: a worker process, and what it says."""

    def __init__(self, name: str, device: str, threads: int) -> None:
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._part = _FIRST
        self._process = WorkerProcess(name, device, threads, self._said.put)

    def tell(self, message: dict[str, Any]) -> None:
        """Pass a message to the worker."""
        if "task" in message:
            self._part = _FIRST
        self._process.tell(message)

    def listen(self, seconds: float) -> list[dict[str, Any] | None]:
        """Return what the worker has said since the last call; None means that it has ended.

        Args:
            seconds: How long to gather messages about frames at most, if there is no other.
        """
        found: list[dict[str, Any] | None] = []
        with suppress(queue.Empty):
            found.append(self._said.get(timeout=_SECONDS))
            end = time.monotonic() + seconds * self._part
            if _is_progress(found[-1]):
                self._part = min(1.0, 2 * self._part)
            while _is_progress(found[-1]):
                found.append(self._said.get(timeout=max(0.0, end - time.monotonic())))
            while True:
                found.append(self._said.get_nowait())
        return found

    def last_words(self) -> str:
        """Return why the worker ended."""
        return self._process.last_words()


class _RemoteWorker:
    """A worker in an actor, as `vsr.workers.Worker`; it may still wait for a machine."""

    def __init__(
        self, name: str, device: str, threads: int, on_message: OnMessage, *, gathering: float
    ) -> None:
        """Ask the cluster for the actor; `gathering` is as in `_Relay.listen`."""
        wanted: dict[str, Any] = {"num_cpus": threads or 1, "max_concurrency": _THREADS_OF_ACTOR}
        if device != "cpu":
            wanted["num_gpus"] = 1
        self.actor: Any = ray.remote(_Relay).options(**wanted).remote(name, device, threads)
        self.has_ended = False
        self._on_message, self._gathering = on_message, gathering
        self._why = ""
        threading.Thread(target=self._listen, name=f"vsr-{name}", daemon=True).start()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send it a message, without waiting."""
        self.actor.tell.remote(dict(message))

    def last_words(self) -> str:
        """Return why it ended: its own words, or those of Ray if its machine is lost."""
        try:
            return str(ray.get(self.actor.last_words.remote(), timeout=10))
        except RayError as error:
            return self._why or _first_line(error)

    def ask_to_end(self) -> None:
        """Let it end."""
        ray.kill(self.actor)

    def end(self) -> None:
        """Let it end; Ray waits for it."""
        ray.kill(self.actor)

    def _listen(self) -> None:
        """Pass on what it says, on a thread; the end of its actor or its machine is its end, too."""
        try:
            while not self.has_ended:
                for message in ray.get(self.actor.listen.remote(self._gathering)):
                    self.has_ended |= message is None
                    self._on_message(message)
        except RayError as error:
            self._why, self.has_ended = _first_line(error), True
            self._on_message(None)


def devices(address: str, device: str) -> tuple[str, ...]:
    """Return the device of each worker on a cluster.

    Args:
        address: `HOST:PORT` of a Ray client server; empty for RAY_ADDRESS, a running cluster, or a new one on
            this machine.
        device: `auto` is one worker for each GPU, or for each machine where there is none; `cuda:all`, `cuda`
            and `cpu` likewise; `cpu:N` is N workers, and `gpu:N` is N workers with a GPU each, for which an
            autoscaler may still have to start machines.

    Raises:
        ConfigError: the name is another one.
        DeviceError: the cluster cannot be reached, or has no GPU.
    """
    _connect(address)
    kind, _, number = device.partition(":")
    if kind in _ONE_EACH and number.isdecimal() and int(number):
        return (_ONE_EACH[kind],) * int(number)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if device in ("auto", "cuda", "cuda:all") and gpus:
        return (_ONE_EACH["gpu"],) * gpus
    if device in ("auto", "cpu"):
        return ("cpu",) * len(_cores())
    if device in ("cuda", "cuda:all"):
        raise DeviceError(
            f"`device={device!r}` is impossible: the Ray cluster has no GPU; use `device='cpu:4'`"
        )
    raise ConfigError(
        f"`device={device!r}` is no device of a cluster; use auto, cuda:all, cpu, cpu:N or gpu:N"
    )


def crew(address: str, devices: Sequence[str]) -> Crew:
    """Return workers on the cluster that the function `devices` connected to."""
    return Crew(
        devices,
        start=partial(_RemoteWorker, gathering=_gathering(len(devices))),
        threads=partial(_threads, devices),
        duplicates=True,
        adapted=with_threads_of_this_machine,
    )


def _gathering(workers: int) -> float:
    """Return the seconds for which each of some workers gathers its progress."""
    return _GATHERED * max(1.0, workers / _OFTEN)


def _threads(devices: Sequence[str], device: str) -> int:
    """Return the cores of a worker on the CPU: its share, but no more than the smallest machine has."""
    if device != "cpu":
        return 0
    cores = _cores()
    return max(1, min(sum(cores) // devices.count("cpu"), *cores))


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
    except Exception as error:  # Ray raises plain ones, too, as when a machine is too busy to start it
        where = f"the Ray cluster at {address}" if address else "a Ray cluster"
        raise DeviceError(f"{where} cannot be reached ({_first_line(error)})") from error


def _cores() -> list[int]:
    """Return the cores of each machine of the cluster."""
    return [int(node["Resources"].get("CPU", 0)) or 1 for node in ray.nodes() if node["Alive"]]


def _is_progress(message: dict[str, Any] | None) -> bool:
    return message is not None and "frame" in message


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
