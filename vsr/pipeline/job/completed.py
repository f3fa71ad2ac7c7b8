"""Ends what a killed run has left undone after its result was complete.

Before a result gets its name, a note in the work folder says of which input and settings it is, what its
content is, and what the run reports. The folder is the last thing that a run removes. If the process is
killed in between, the next run that is asked for the same result compares the file under its name with the
note. If it is that result, only the report has to be written, and the folder to be removed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, VsrError
from vsr.media.decode.facts.probe import probe
from vsr.media.files.opening import MAX_PIXELS
from vsr.media.files.output_path import is_taken, local_place
from vsr.media.files.stdio import is_pipe
from vsr.media.mux.resumable.entry import folder_of
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.folder import StoreFolder
from vsr.media.remote.places import is_nameless, name_of, parts_of
from vsr.pipeline.crew.hosts import LOCAL
from vsr.pipeline.inputfile import fingerprint, sample_of
from vsr.pipeline.job.chosen_settings import ChosenSettings, fitted
from vsr.pipeline.job.report import Report, report_of
from vsr.pipeline.job.settings_digest import settings_digest
from vsr.settings.schema import UpscaleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A complete result of an earlier run, which was ended before it had removed its work folder."""

    exit_code: int
    report: dict[str, Any]
    """Of that run, as plain types."""


def note_of(source: Path, settings: UpscaleSettings, file: Path, report: Report) -> dict[str, Any]:
    """Return the note about a complete result.

    Args:
        source: The input.
        settings: Of the run.
        file: The result under its temporary name.
        report: Complete.

    Raises:
        OSError: a local file cannot be read.
        VsrError: a remote one cannot be read.
    """
    return {
        "input": None if is_pipe(source) else fingerprint(source),
        "settings": settings_digest(settings),
        "result": sample_of(file),
        "report": report.as_dict(),
    }


@contextmanager
def completed(
    source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool
) -> Generator[Completed | None, None, None]:
    """Yield what is known of the result that a run would make again, and then remove its work folder.

    None is yielded if the run is needed. A folder of another complete result is removed before. If the result
    is to be replaced by the same one, the folder stays, and the run resumes from it.

    Args:
        source: The input.
        target: Path of the result.
        chosen: Settings of the run.
        overwrite: Whether an existing result is replaced.
    """
    work = _left_behind(target, chosen.settings)
    if work is None:
        yield None
        return
    is_done = is_same = False
    again = overwrite or chosen.settings.restart
    try:
        with suppress(OSError, VsrError):
            note = work.noted()
            is_done = bool(note) and is_result(target, note)
            is_same = is_done and is_note_of(note, source, chosen, target)
        yield _completed(note) if is_same and not again else None
    except BaseException:
        is_done = False
        raise
    finally:
        work.leave(done=is_done and not (is_same and again))


def completed_before(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> Report | None:
    """Return the report of the result that a run would make again, as `completed` for a Python program.

    Raises:
        VsrError: the source cannot be read.
    """
    with completed(source, target, chosen, overwrite=overwrite) as found, suppress(LookupError, TypeError):
        if found is not None:
            settings = chosen.settings
            most = settings.max_pixels or MAX_PIXELS
            return report_of(found.report, probe(source, video_stream=settings.video_stream, max_pixels=most))
    return None


def _left_behind(target: Path, settings: UpscaleSettings) -> WorkFolder | None:
    """Return the work folder beside an existing result; None if there is none, or another process uses it."""
    if is_pipe(target) or is_nameless(target):
        return None
    with suppress(OSError, VsrError):  # the run itself has the better message
        parts = parts_of(target, beside=settings.on != LOCAL)
        place = local_place(target)
        if (parts is not None or folder_of(place).is_dir()) and is_taken(target):
            return WorkFolder(place, name_of(target), None if parts is None else StoreFolder(parts))
    return None


def is_result(target: Path, note: Mapping[str, Any]) -> bool:
    """Return whether the content of a file is that of the result that a note describes.

    Raises:
        OSError: a local file cannot be read.
        VsrError: a remote one cannot be read.
    """
    close_blocks(target)
    try:
        return sample_of(target) == note.get("result")
    finally:
        close_blocks(target)


def is_note_of(note: Mapping[str, Any], source: Path, chosen: ChosenSettings, target: Path) -> bool:
    """Return whether a note is about the result of this input with these settings.

    Raises:
        OSError: a local file cannot be read.
        VsrError: a remote one cannot be read.
    """
    with suppress(ConfigError):  # a picture
        chosen = fitted(chosen, target)
    if is_pipe(source) or note.get("settings") != settings_digest(chosen.settings):
        return False
    return note.get("input") == fingerprint(source) and isinstance(note.get("report"), dict)


def _completed(note: Mapping[str, Any]) -> Completed:
    report: dict[str, Any] = note["report"]
    return Completed(exit_code=int(report.get("exit_code", 0)), report=report)
