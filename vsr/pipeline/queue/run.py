"""One input after the other: a failure ends one file and not the queue, and what is finished is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vsr.errors import DAMAGED_INPUT, ConfigError, DeviceError, InputError, OutputError, VsrError
from vsr.media.files.output_path import is_taken
from vsr.media.remote.places import name_of, remote_of
from vsr.pipeline.job.report import VERSION, Report, plain
from vsr.pipeline.queue.record import (
    finished_code,
    note_failed,
    note_finished,
    note_started,
    settings_digest,
)
from vsr.settings.schema import UpscaleSettings

Status = Literal["done", "damaged", "skipped", "failed", "not tried"]
Work = Callable[[Path, Path], Report]
"""Upscales an input into a target and returns the report; raises `VsrError` where it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one input."""

    source: Path
    target: Path
    status: Status
    exit_code: int = 0
    message: str = ""
    """Why it failed or was skipped, in one line."""
    report: Report | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for one line of JSON."""
        made = None if self.report is None else self.report.as_dict()
        head = {
            "report_version": VERSION,
            "source": plain(name_of(self.source)),
            "target": plain(name_of(self.target)),
        }
        what = {"status": self.status, "exit_code": self.exit_code, "message": plain(self.message)}
        return {**head, **what, "report": made}


def run_queue(
    pairs: Iterable[tuple[Path, Path]],
    settings: UpscaleSettings,
    work: Work,
    *,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Iterator[Outcome]:
    """Upscale inputs in turn, and yield what became of each.

    Args:
        pairs: Inputs with the paths of their results; folders are made where they are missing.
        settings: Those of every file; the record of finished results holds them.
        work: Upscales one file.
        overwrite: Make every result anew.
        skip_existing: Skip an input with a finished result of other settings, too.
    """
    digest = settings_digest(settings)
    lost: VsrError | None = None
    for source, target in pairs:
        if lost is not None:
            yield Outcome(source=source, target=target, status="not tried", exit_code=lost.exit_code)
            continue
        try:
            outcome = None if overwrite else _kept(source, target, digest, skip_existing=skip_existing)
        except VsrError as error:  # a store does not answer
            outcome = _failed(source, target, error)
        if outcome is None:
            outcome, lost = _tried(source, target, digest, work)
        yield outcome


def worst(outcomes: Iterable[Outcome]) -> int:
    """The exit code of a queue: that of a file that failed before that of a damaged one, else 0."""
    codes = [(one.exit_code != DAMAGED_INPUT, one.exit_code) for one in outcomes if one.exit_code]
    return max(codes)[1] if codes else 0


def _kept(source: Path, target: Path, digest: str, *, skip_existing: bool) -> Outcome | None:
    """The outcome of an input whose result is there; None where there is work to do."""
    if not is_taken(target):
        return None
    code = finished_code(source, target, None if skip_existing else digest)
    if code is not None:
        message = "finished before" + (", from a damaged input" if code else "")
        return Outcome(source=source, target=target, status="skipped", exit_code=code, message=message)
    error = ConfigError(
        f"{name_of(target)}: exists already, and is no finished result of this input with these settings;"
        " `overwrite=True` replaces it, `name` gives another name"
    )
    return _failed(source, target, error)


def _failed(source: Path, target: Path, error: VsrError) -> Outcome:
    return Outcome(
        source=source, target=target, status="failed", exit_code=error.exit_code, message=str(error)
    )


def _tried(source: Path, target: Path, digest: str, work: Work) -> tuple[Outcome, VsrError | None]:
    """The outcome of one file, and the error after which no other file can succeed."""
    try:
        if remote_of(target) is None:
            _make_folder(target.parent)
        _note_started(source, target, digest)
        report = work(source, target)
        note_finished(target, report.exit_code)
    except VsrError as error:
        with suppress(VsrError):
            note_failed(target)
        return _failed(source, target, error), error if isinstance(error, DeviceError) else None
    status: Status = "damaged" if report.exit_code else "done"
    return (
        Outcome(source=source, target=target, status=status, exit_code=report.exit_code, report=report),
        None,
    )


def _note_started(source: Path, target: Path, digest: str) -> None:
    with suppress(OSError, InputError):  # an input that cannot be read: the work says so in its own words
        note_started(source, target, digest)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder with `to`"
        ) from error
