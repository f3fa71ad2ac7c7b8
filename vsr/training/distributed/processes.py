"""How the processes of a training run are started and find each other.

`vsr.train(workers=N)` starts N - 1 others with `torch.multiprocessing`. `torchrun`, or a program that has
called `torch.distributed.init_process_group` as Ray Train does, starts all of them itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import FileStore  # type: ignore[attr-defined]  # torch does not list it
from torch.distributed.rendezvous import rendezvous

import vsr.errors
from vsr.engine.device import choose_device
from vsr.errors import ConfigError, VsrError
from vsr.system.scratch import scratch_folder
from vsr.training.distributed.group import Group, LostProcessError

_OF_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment by which torch's launchers name a process."""
_ARRIVED = "vsr/arrived/"
"""Beginning of the key in the store of each started process."""
_FAILURE = "vsr/failure"
"""Key in the store of the first error that ended a process."""
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
_GLANCE = 0.02
"""Seconds between two looks whether all processes are ready."""
_PATIENCE = 10.0
"""Seconds in which processes notice that the run has ended."""
_RESUMES = "The same command resumes from the last checkpoint"

Work = Callable[["Place", Any, Any], object]
"""What a started process does: a function of a module, which gets its place, the store through which the
processes find each other, and the order that `started` was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process stands among those of its run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number among the processes on this machine."""
    local_size: int = 1
    launched: bool = False
    """Whether another program has started the processes."""


def place_of(workers: int | None) -> Place:
    """Return where this process stands; `workers` are started here unless a launcher has done so.

    Raises:
        ConfigError: The number is below 1, or not that of the launcher.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"`workers` {workers} is not possible. Use 1 or more")
    found = _launched()
    if found is None:
        return Place(size=workers or 1, local_size=workers or 1)
    if workers not in (None, found.size):
        raise ConfigError(
            f"`workers` {workers} differs from the {found.size} processes that were launched. Leave it out"
        )
    return found


def _launched() -> Place | None:
    if dist.is_available() and dist.is_initialized():
        rank, size = dist.get_rank(), dist.get_world_size()
    elif all(name in os.environ for name in _OF_TORCHRUN):
        rank, size = _number("RANK", 0), _number("WORLD_SIZE", 1)
    else:
        return None
    local_size = _number("LOCAL_WORLD_SIZE", 1)
    return Place(
        rank=rank, size=size, local_rank=_number("LOCAL_RANK", 0), local_size=local_size, launched=True
    )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(f"the variable {name} is {text!r}, which is no number. Start with torchrun")
    return int(text)


def own_device(name: str, place: Place) -> torch.device:
    """Return the device of a process: of several on a machine with GPUs, each has one of its own.

    Raises:
        ConfigError: Processes that are started here cannot all have the device.
        DeviceError: The device is not available.
    """
    device = choose_device(name)
    if place.size == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ConfigError(f"device {name} is one device. Several processes train on CUDA GPUs or on cpu")
    if name not in ("auto", "cuda"):
        if place.launched:
            return device
        raise ConfigError(f"`device` {name} is one device. Use cuda for `workers` {place.size}")
    if place.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"there are {torch.cuda.device_count()} GPUs for {place.local_size} processes. Start one for each"
        )
    return torch.device("cuda", place.local_rank)


@contextmanager
def joined(place: Place, device: torch.device, store: Any = None) -> Generator[Group, None, None]:
    """Join the processes of a run, and leave them at the end of the block.

    An error of one process is raised by process 0, which prints it.

    Args:
        place: Where this process stands.
        device: Its device.
        store: Through which the processes of `started` find each other; None asks the launcher.

    Raises:
        LostProcessError: Another process has ended.
    """
    if place.size == 1:
        yield Group()
    elif dist.is_initialized():
        yield _group(place, on_host=dist.new_group(backend="gloo"))
    else:
        local = store is not None
        if local and place.rank:
            store.set(f"{_ARRIVED}{place.rank}", "")
        store = next(iter(rendezvous("env://")))[0] if store is None else store
        with _on_loopback(local), _initialised(place, device, store), _failures_told(place, store):
            yield _group(place)


def _group(place: Place, on_host: Any = None) -> Group:
    return Group(rank=place.rank, size=place.size, local_size=place.local_size, on_host=on_host)


@contextmanager
def _initialised(place: Place, device: torch.device, store: Any) -> Generator[None, None, None]:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.size)
    except RuntimeError as error:
        raise LostProcessError(f"the {place.size} processes of the run did not find each other") from error
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _on_loopback(local: bool) -> Generator[None, None, None]:
    """Let processes of one machine listen on the loopback interface only."""
    name = _LOOPBACK.get(sys.platform)
    wanted = [key for key in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if key not in os.environ]
    wanted = wanted if local and name is not None else []
    os.environ.update(dict.fromkeys(wanted, name or ""))
    try:
        yield
    finally:
        for key in wanted:
            del os.environ[key]


@contextmanager
def _failures_told(place: Place, store: Any) -> Generator[None, None, None]:
    """Store the error of this process, or raise that which another one has stored."""
    try:
        yield
    except LostProcessError as lost:
        raise _failure(store) or lost from lost
    except Exception as error:
        _tell(error, place, store)
        raise


def _tell(error: Exception, place: Place, store: Any) -> None:
    """Store the error of a process for process 0."""
    if not place.rank or isinstance(error, LostProcessError):
        return
    known = isinstance(error, VsrError)
    kind, text = ("", str(error)) if known else (f"{type(error).__name__}: ", str(error))
    name = type(error).__name__ if known else "VsrError"
    store.set(_FAILURE, f"{name} worker process {place.rank}: {kind}{text}")


def _failure(store: Any) -> VsrError | None:
    """Return the error that another process has stored; None if there is none, or the store has gone."""
    try:
        if not store.check([_FAILURE]):
            return None
        name, _, text = store.get(_FAILURE).decode().partition(" ")
    except (RuntimeError, UnicodeDecodeError):
        return None
    kind = getattr(vsr.errors, name, VsrError)
    return kind(text) if isinstance(kind, type) and issubclass(kind, VsrError) else VsrError(text)


@contextmanager
def started(place: Place, work: Work, order: Any) -> Generator[Any, None, None]:
    """Start the other processes of a run on this machine; all have ended after the block.

    Args:
        place: Of this process, which leads.
        work: What they do, see `Work`.
        order: Passed to it; plain values.

    Yields:
        The store through which the processes find each other, for `joined`.

    Raises:
        LostProcessError: One of them has ended; the message says how.
        VsrError: One of them has failed before it joined the others.
    """
    from torch.multiprocessing.spawn import start_processes

    with scratch_folder("vsr-") as folder:
        path = str(Path(folder) / "store")  # a file, since a TCP store would listen on all interfaces
        threads = max(1, torch.get_num_threads() // place.size)
        context = start_processes(
            _helper,
            args=(work, place.size, path, threads, order),
            nprocs=place.size - 1,
            join=False,
            daemon=True,
            start_method="spawn",
        )
        try:
            store = FileStore(path, place.size)
            _wait_for_all(context.processes, store)
            with _threads(threads):
                yield store
        except LostProcessError as lost:
            raise LostProcessError(_how_it_ended(context.processes) or str(lost)) from lost
        finally:
            _end(context.processes)


@contextmanager
def _threads(number: int) -> Generator[None, None, None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _helper(index: int, work: Work, size: int, path: str, threads: int, order: Any) -> None:
    """Run a started process. It prints nothing: process 0 tells its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and process 0 decides
    torch.set_num_threads(threads)
    place = Place(rank=index + 1, size=size, local_rank=index + 1, local_size=size)
    store = FileStore(path, size)
    try:
        work(place, store, order)
    except Exception as error:
        _tell(error, place, store)
        sys.exit(1)


def _wait_for_all(processes: Sequence[BaseProcess], store: Any) -> None:
    """Wait until all started processes are ready to join.

    Raises:
        VsrError: One of them has ended.
    """
    keys = [f"{_ARRIVED}{number}" for number in range(1, len(processes) + 1)]
    while not store.check(keys):
        if wait([process.sentinel for process in processes], timeout=_GLANCE):
            raise _failure(store) or LostProcessError("a worker process ended before the training began")


def _how_it_ended(processes: Sequence[BaseProcess]) -> str | None:
    """Describe the first process that has ended by itself; None if none does."""
    for process in processes:
        process.join(_PATIENCE / len(processes))
    for number, process in enumerate(processes, 1):
        code = process.exitcode
        if code is not None and code < 0:
            return f"worker process {number} was ended by {signal.Signals(-code).name}. {_RESUMES}"
    return None


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
        process.join()
