"""Upscales a queue of inputs one after the other: skips finished results, and continues after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vsr.errors import DAMAGED_INPUT, ConfigError, DeviceError, InputError, OutputError, VsrError
from vsr.media.files.output_path import local_place
from vsr.media.mux.resumable.work_folder import has_note, remove_finished
from vsr.media.pictures.kinds import becomes_animation
from vsr.media.pictures.sequence import is_pattern, pictures_made
from vsr.media.remote.places import name_of, remote_of
from vsr.pipeline.job.chosen_settings import unchanged
from vsr.pipeline.job.completed import completed
from vsr.pipeline.job.report import VERSION, Report, plain
from vsr.pipeline.job.settings_digest import settings_digest
from vsr.pipeline.pictures.lossless_video import hidden_video
from vsr.pipeline.queue.content import exists
from vsr.pipeline.queue.record import (
    finished,
    note_complete,
    note_failed,
    note_finished,
    note_logged,
    note_started,
)
from vsr.settings.schema import UpscaleSettings

Status = Literal["done", "damaged", "skipped", "failed", "not tried"]
Work = Callable[[Path, Path, Callable[[Report], None]], Report]
"""Upscales an input to a target and returns the report; raises `VsrError` if it fails. It calls the function
with the complete report before the result gets its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one input in a queue."""

    source: Path
    target: Path
    status: Status
    exit_code: int = 0
    message: str = ""
    """The reason for a failure or for skipping, on one line."""
    report: Report | None = None
    unlogged: dict[str, Any] | None = None
    """The report of an earlier run that was ended before it could write it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain types, for one line of JSON."""
        made = self.unlogged if self.report is None else self.report.as_dict()
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
    """Upscale the inputs one after the other, and yield the outcome of each.

    When the next outcome is asked for, the one before counts as logged: a run that is ended earlier yields it
    again the next time.

    After a `DeviceError`, the remaining inputs are not tried, because they would fail, too.

    Args:
        pairs: Inputs with the paths of their results; missing folders are created.
        settings: The settings of all files. The record of finished results contains their hash.
        work: Upscales one file.
        overwrite: Whether to make finished results again.
        skip_existing: Whether to skip an input whose finished result was made with other settings, too.
    """
    digest = settings_digest(settings)
    lost: VsrError | None = None
    for source, target in pairs:
        if lost is not None:
            yield Outcome(source=source, target=target, status="not tried", exit_code=lost.exit_code)
            continue
        try:
            _end_killed(source, target, settings, digest, overwrite=overwrite)
            outcome = None if overwrite else _kept(source, target, digest, skip_existing=skip_existing)
        except VsrError as error:  # a store does not answer
            outcome = _failed(source, target, error)
        if outcome is None:
            outcome, lost = _tried(source, target, digest, work)
        yield outcome
        if outcome.report is not None or outcome.unlogged is not None:
            with suppress(VsrError):  # then it is logged twice
                note_logged(target)


def worst(outcomes: Iterable[Outcome]) -> int:
    """Return the exit code of a queue: that of a failed file, else 10 if an input was damaged, else 0."""
    codes = [(one.exit_code != DAMAGED_INPUT, one.exit_code) for one in outcomes if one.exit_code]
    return max(codes)[1] if codes else 0


def _end_killed(
    source: Path, target: Path, settings: UpscaleSettings, digest: str, *, overwrite: bool
) -> None:
    """Record the result of a run that was killed when it was complete, and remove its work folder."""
    if is_pattern(target) or becomes_animation(source, target):
        return
    with completed(source, target, unchanged(settings), overwrite=overwrite) as found:
        if found is None or finished(source, target, digest) is not None:
            return
        note_started(source, target, digest)
        note_complete(target, found.exit_code, found.report)
        note_finished(target)


def _kept(source: Path, target: Path, digest: str, *, skip_existing: bool) -> Outcome | None:
    """Return the outcome of an input whose target exists; None if the target does not exist."""
    if not exists(target) or _are_pictures_kept(source, target):
        return None
    found = finished(source, target, None if skip_existing else digest)
    if found is not None:
        if not found.is_noted:
            remove_finished(local_place(target))
            _note_finished(target)
        code = found.exit_code
        status: Status = "skipped" if found.unlogged is None else "damaged" if code else "done"
        return Outcome(
            source=source,
            target=target,
            status=status,
            exit_code=code,
            message="already finished" + (", from a damaged input" if code else ""),
            unlogged=found.unlogged,
        )
    error = ConfigError(
        f"{name_of(target)}: exists already, and is not a finished result of this input with these settings;"
        " replace it with `overwrite=True`, or choose another `name`"
    )
    return _failed(source, target, error)


def _are_pictures_kept(source: Path, target: Path) -> bool:
    """Return whether a killed run has completed pictures or an animation; the next run names the rest."""
    return (is_pattern(target) or becomes_animation(source, target)) and has_note(hidden_video(target))


def _failed(source: Path, target: Path, error: VsrError) -> Outcome:
    return Outcome(
        source=source, target=target, status="failed", exit_code=error.exit_code, message=str(error)
    )


def _tried(source: Path, target: Path, digest: str, work: Work) -> tuple[Outcome, VsrError | None]:
    """Upscale one file; return its outcome, and the error if no other file can succeed after it."""
    try:
        if remote_of(target) is None:
            _make_folder(target.parent)
        _note_started(source, target, digest)
        report = work(source, target, partial(_note_complete, target))
        note_finished(target, pictures_made(source, target, report.frames_out))
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
    with suppress(OSError, InputError):  # if the input cannot be read, `work` raises a better message
        note_started(source, target, digest)


def _note_finished(target: Path) -> None:
    with suppress(OSError, VsrError):
        note_finished(target)


def _note_complete(target: Path, report: Report) -> None:
    note_complete(target, report.exit_code, report.as_dict())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be created ({error.strerror}); choose another folder with `to`"
        ) from error
