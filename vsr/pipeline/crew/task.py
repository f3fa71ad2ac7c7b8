"""What a worker is told: the job, in plain types that travel as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, BinaryIO

from vsr.settings.schema import Backend, Precision, UpscaleSettings
from vsr.settings.toml import from_table
from vsr.system import host


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How the frames are computed, which every worker must do alike to compute the same bits."""

    batch: int
    tile: int
    backend: Backend
    precision: Precision
    """Decided by the process that gives the task, because a worker among others cannot measure it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job of which workers make segments."""

    source: str
    """Path of the input."""
    target: str
    """Path of the output; a worker only looks at its suffix and never writes it."""
    folder: str
    """Path of the work folder, where the segments are stored, if `urls` has no `store`."""
    length: int
    """The number of frames in a segment."""
    key: Mapping[str, Any]
    """The facts that decide the result, see `resume_key`; a worker that finds others refuses the job."""
    engine: Engine
    settings: UpscaleSettings
    urls: Mapping[str, str]
    """The URLs for which `source` and `target` stand, by these names, and as `store` that of the folder into
    which segments are put; for no other process to see."""
    allow_network: bool
    """Whether the network may be used for them."""

    def line(self, worker: str, device: str, threads: int) -> dict[str, Any]:
        """Return the message that tells a worker its task.

        Args:
            worker: Its name, which is part of the names of its temporary files.
            device: The device to use.
            threads: Threads for computation on a CPU; 0 leaves the number to torch.
        """
        table = json.loads(json.dumps(asdict(self), default=_plain))
        return {"task": table, "worker": worker, "device": device, "threads": threads}


def task_of(table: Mapping[str, Any]) -> Task:
    """Return the task in a message.

    Raises:
        ConfigError: a value has the wrong type.
    """
    rest = {name: value for name, value in table.items() if name not in ("settings", "engine", "key", "urls")}
    return Task(
        **rest,
        key=dict(table["key"]),
        urls=dict(table["urls"]),
        engine=from_table(table["engine"], Engine, where="the task of a worker"),
        settings=from_table(table["settings"], UpscaleSettings, where="the task of a worker"),
    )


def with_threads_of_this_machine(task: Task) -> Task:
    """Fix the number of x264's threads to that of this machine, for workers on other machines.

    The packets of x264 depend on it. Other encoders are left alone.
    """
    encoder = task.settings.encoder
    if task.key.get("encoder") != "libx264" or encoder.threads:
        return task
    rows = (int(task.key["output size"].partition("x")[2]) + 15) // 16
    threads = max(1, min(host.cores() * 3 // 2, rows // 2))  # x264's own choice, x264/encoder/encoder.c
    return replace(task, settings=replace(task.settings, encoder=replace(encoder, threads=threads)))


def write_line(file: BinaryIO, message: Mapping[str, Any]) -> None:
    """Write a message as one line.

    Raises:
        OSError: the other process has ended.
    """
    file.write(json.dumps(message).encode() + b"\n")
    file.flush()


def read_line(file: BinaryIO) -> dict[str, Any] | None:
    """Read a message; None if the other process has ended."""
    line = file.readline()
    return dict(json.loads(line)) if line.endswith(b"\n") else None


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(f"{value!r} is no setting that travels")
