"""Reads the report of a run, and says in sentences what bounds it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError
from vsr.media.files.opening import shown
from vsr.pipeline.job.job import TOGETHER
from vsr.reading import read_file

MOST_BYTES = 2**28
"""Largest report; the same as of the report of a queue."""
_BOUND = 0.7
"""Share of the time for which a thread must be busy to bound a run: the rest is the start and the end."""

_ADVICE = {
    "decode": "`hwaccel='auto'` decodes on a GPU; copy a source from a slow disk or network first.",
    "compare": "`reuse=False` leaves out the comparison with the frame before.",
    "upload": "The copies to the device take the time; a larger model would cost nothing.",
    "color": "The conversion of colours takes the time; a larger model would cost nothing.",
    "upscale": "A smaller model (`model='fast'`), another number format (`precision`) or another `device`"
    " makes it faster; another encoder does not.",
    "download": "The host waits for the GPU; a smaller model (`model='fast'`) makes it faster.",
    "encode": "A faster `preset` or an encoder of graphics hardware (vsr doctor lists them) makes it faster;"
    " a faster model does not.",
}
"""What helps, by the stage that bounds a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a report says about the time of one run."""

    source: str
    target: str
    frames: int
    seconds: float
    fps: float
    busy_seconds: Mapping[str, float]
    threads: Sequence[Sequence[str]]
    """The stages of each thread."""
    workers: int
    """Processes whose times are added up; 1 for a run in one process."""
    interval_seconds: float | None
    """Length of an interval of `busy`; None for a report without one."""
    busy: Mapping[str, Sequence[float]]
    """Busy seconds of each stage in each interval."""
    facts: Sequence[tuple[str, str]]
    """Further facts, for people."""

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return max((len(row) for row in self.busy.values()), default=0)

    def share(self, stage: str) -> float:
        """Return for which part of the run a stage was busy, of all workers."""
        return self.busy_seconds.get(stage, 0.0) / (self.seconds * self.workers) if self.seconds else 0.0

    def share_of(self, thread: Sequence[str]) -> float:
        """Return for which part of the run a thread was busy."""
        return sum(map(self.share, thread))

    def shares_over_time(self, stage: str) -> list[float]:
        """Return the share of each interval for which a stage was busy; the last interval may be shorter."""
        width = self.interval_seconds or 1.0
        row = list(self.busy.get(stage, ()))
        row += [0.0] * (self.intervals - len(row))
        lengths = [min(width, max(self.seconds - number * width, width / 100)) for number in range(len(row))]
        return [min(1.0, busy / (length * self.workers)) for busy, length in zip(row, lengths, strict=True)]

    @property
    def bound(self) -> tuple[str, Sequence[str]]:
        """The largest stage of the busiest thread, and that thread."""
        thread = max(self.threads, key=self.share_of)
        return max(thread, key=self.share), thread


def read_runs(path: Path) -> list[Run]:
    """Read a report of `vsr upscale --report`: of one file, or of a queue, with a line for each file.

    Raises:
        ConfigError: it is no such report, or no run in it was complete.
    """
    try:
        text = read_file(path, most_bytes=MOST_BYTES).decode()
        values = _values(text)
    except OSError as error:
        raise ConfigError(
            f"{shown(path)}: cannot be read ({error.strerror or error}); name a report"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{shown(path)}: is no report in JSON; name one that vsr upscale wrote") from error
    reports = [found for value in values if (found := _report_in(value)) is not None]
    if not reports:
        raise ConfigError(f"{shown(path)}: has no complete run; name a report that vsr upscale wrote")
    try:
        return [_run(report) for report in reports]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{shown(path)}: is no report of vsr upscale ({error!r})") from error


def _values(text: str) -> list[Any]:
    """Return the value of a file, or those of its lines."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _report_in(value: Any) -> dict[str, Any] | None:
    """Return the report in a value: itself, or that in a line of a queue's report."""
    if not isinstance(value, dict):
        return None
    found = value if "busy_seconds" in value else value.get("report")
    return found if isinstance(found, dict) and "busy_seconds" in found else None


def _run(report: dict[str, Any]) -> Run:
    occupancy = report.get("occupancy") or {}
    threads = report.get("stage_threads") or [list(stages) for stages in TOGETHER]
    return Run(
        source=str(report["source"]),
        target=str(report["target"]),
        frames=int(report["frames_out"]) - int(report["frames_kept"]),
        seconds=float(report["seconds"]),
        fps=float(report["fps"]),
        busy_seconds={str(stage): float(busy) for stage, busy in report["busy_seconds"].items()},
        threads=[[str(stage) for stage in stages] for stages in threads],
        workers=max(1, len(report["engine"].get("workers") or [1])),
        interval_seconds=float(occupancy["interval_seconds"]) if occupancy.get("busy") else None,
        busy={str(s): [float(v) for v in row] for s, row in occupancy.get("busy", {}).items()},
        facts=list(_facts(report)),
    )


def _facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    engine, info, host = report["engine"], report["info"], report.get("host") or {}
    yield (
        "source",
        f"{info.get('codec', '')} {info.get('width')}x{info.get('height')}, decoded: {report['decoder']}",
    )
    yield "result", f"{report['width']}x{report['height']}, {report['encoder'].get('codec', '')}"
    yield "model", str(report["model"].get("name", ""))
    device = f"{engine.get('device')}, {engine.get('precision')}, {engine.get('backend')}"
    yield "device", f"{device}, batch {engine.get('batch')}"
    yield "machine", ", ".join(str(host[key]) for key in ("system", "processor") if host.get(key))
    yield "command", " ".join(map(str, report.get("command") or []))
    yield "started", str(report.get("started", ""))


def sentences(run: Run) -> list[str]:
    """Return what bounds a run, and what would make it faster."""
    stage, thread = run.bound
    busy = run.share_of(thread)
    if busy < _BOUND:
        return [
            f"No stage bounds the run: the busiest thread ({', '.join(thread)}) was busy for"
            f" {busy:.0%} of the time.",
            "The threads waited for each other, for a disk, a network or a pipe, or for cores that other"
            " programs used; short runs spend much of their time on the start and the end.",
        ]
    own = f", {run.share(stage):.0%} with this stage" if len(thread) > 1 else ""
    return [
        f"The stage {stage} bounds the run: its thread was busy for {busy:.0%} of the time{own}.",
        *([_ADVICE[stage]] if stage in _ADVICE else []),
    ]


def lines(run: Run) -> list[str]:
    """Return the summary of a run as text: what it did, a line for each thread, and what bounds it."""
    workers = f" with {run.workers} workers" if run.workers > 1 else ""
    speed = f"{run.frames} frames in {run.seconds:.1f} s, {run.fps:.2f} fps{workers}"
    head = f"{run.source} -> {run.target}: {speed}"
    rows = [
        f"  thread {number} was busy for {run.share_of(thread):.0%} of the time: "
        + ", ".join(f"{stage} {run.share(stage):.0%}" for stage in thread)
        for number, thread in enumerate(run.threads, 1)
    ]
    return [head, *rows, *sentences(run)]
