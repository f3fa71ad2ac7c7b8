"""Records which results are finished, in a hidden file in the folder of the results.

The name of a file does not show that it is the result: it can come from another input, from other settings,
or from another program. The record therefore contains fingerprints of the input and the result. A second run
of the same command checks them in milliseconds a file, skips finished results, and notices later changes. For
results in a store, the record is in the work folder of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.errors import InputError, OutputError, VsrError
from vsr.media.files.output_path import local_place
from vsr.media.files.stdio import is_pipe
from vsr.media.formats.containers import CONTAINERS
from vsr.media.pictures.kinds import ANIMATED, SUFFIXES
from vsr.media.pictures.sequence import files_behind, pictures_made
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.places import is_nameless, remote_of
from vsr.pipeline.inputfile import fingerprint
from vsr.pipeline.job.settings_digest import settings_digest
from vsr.pipeline.queue.content import facts_of, is_one_of, is_result, is_there
from vsr.reading import read_file
from vsr.settings.schema import UpscaleSettings
from vsr.writing import write_beside

NAME = ".vsr-finished.jsonl"
_KEYS = {"name", "input", "settings", "started"}
_MOST_BYTES = 2**26
"""Largest size of a record in bytes; a larger file was not written by `vsr`. A line has about 200 bytes."""
_STANDARD = UpscaleSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A result of an earlier run."""

    exit_code: int
    """Of the run that made it: 0, or 10 if the input was damaged."""
    unlogged: dict[str, Any] | None
    """The report of that run, if the run was ended before it could write the report anywhere."""
    is_noted: bool
    """Whether that run lived to record the result under its name, and so to remove its unfinished work."""


def finished(source: Path, target: Path, digest: str | None) -> Finished | None:
    """Return what is known of a result, if it is complete and unchanged; None if there is none.

    Args:
        source: The input; it must be unchanged since that run.
        target: Path of the result.
        digest: `settings_digest` of the run; None accepts a result of any settings.
    """
    entry = _entries(_record_of(target)).get(target.name)
    if entry is None or digest not in (None, entry["settings"]):
        return None
    with suppress(OSError, InputError):
        if is_result(target, entry) and fingerprint(source) == entry["input"]:
            report = entry.get("unlogged")
            return Finished(
                exit_code=int(entry.get("exit_code", 0)),
                unlogged=report if isinstance(report, dict) else None,
                is_noted="result" in entry,
            )
    return None


def results_among(paths: Iterable[Path]) -> set[Path]:
    """Return those of the paths that `vsr` made, by the records of their folders and by their content."""
    records: dict[Path, dict[str, dict[str, Any]]] = {}
    found = set()
    for path in paths:
        with suppress(OSError, VsrError):
            record = _record_of(path)
            if record not in records:
                records[record] = _entries(record)
            entry = records[record].get(path.name)
            if is_result(path, entry) if entry else _is_numbered(path, records[record].values()):
                found.add(path)
    return found


def _is_numbered(path: Path, entries: Iterable[dict[str, Any]]) -> bool:
    """Return whether a file is one of the numbered pictures that a record contains."""
    return any("prints" in entry and is_one_of(path, entry) for entry in entries)


def results_of(paths: Iterable[Path], inputs: Iterable[Path]) -> set[Path]:
    """Return those of the paths that `vsr` made of one of the inputs.

    Args:
        paths: Results, as `results_among` returns them.
        inputs: Files, perhaps the same ones: a result can be the input of another.
    """
    made = {path: _entries(_record_of(path)).get(path.name, {}).get("input") for path in paths}
    if not any(made.values()):
        return set()
    prints = set()
    for path in inputs:
        with suppress(OSError, VsrError):
            prints.add(fingerprint(path))
    return {path for path, source in made.items() if source in prints}


def note_made(
    source: Path,
    target: Path,
    settings: UpscaleSettings = _STANDARD,
    *,
    exit_code: int = 0,
    frames: int = 1,
) -> None:
    """Record a finished result of a run that was no queue, if a later queue could take it for an input.

    That is so if it is a video or a picture in the folder of its input, or below; of numbered pictures, in
    the folder that contains theirs, or below. If the record cannot be written, nothing is recorded.

    Args:
        source: The input.
        target: Path of the result: of a video, of a picture that shows one, or the pattern of numbered ones.
        settings: Of the run.
        exit_code: Of the run.
        frames: The number of frames of the result.
    """
    if is_pipe(source) or is_pipe(target) or is_nameless(target):
        return
    is_media = target.suffix.lower() in {*CONTAINERS, *SUFFIXES, *ANIMATED}
    if is_media and target.absolute().parent.is_relative_to(_top_of(source)):
        pictures = pictures_made(source, target, frames)
        with suppress(OSError, VsrError):
            facts = {"settings": settings_digest(settings), "started": time.time_ns(), "exit_code": exit_code}
            try:
                _note(target, {"input": fingerprint(source), **facts, **facts_of(target, pictures)})
            finally:
                close_blocks(source)


def _top_of(source: Path) -> Path:
    """Return the folder in and below which results of an input are recorded."""
    folder = source.absolute().parent
    return folder.parent if files_behind(source) else folder


def note_started(source: Path, target: Path, digest: str) -> None:
    """Record that a result is started.

    Args:
        source: The input.
        target: Path of the result.
        digest: `settings_digest` of the run.

    Raises:
        OutputError: the record cannot be written.
        OSError: the input cannot be read.
    """
    facts = {"input": fingerprint(source), "settings": digest, "started": time.time_ns()}
    _note(target, facts, without_absent=True)


def note_complete(target: Path, exit_code: int, report: dict[str, Any]) -> None:
    """Record what is known of a result that will now get its name, after `note_started`.

    If the process ends before `note_logged`, the next run finds the exit code and the report here.

    Args:
        target: Path of the result.
        exit_code: Exit code of the run, 0 or 10.
        report: Of the run, as plain types.

    Raises:
        OutputError: the record cannot be written.
    """
    entry = _entries(_record_of(target)).get(target.name)
    if entry is not None:
        _note(target, {**entry, "exit_code": exit_code, "unlogged": report})


def note_logged(target: Path) -> None:
    """Record that the report of a result has been written where the user wants it.

    Raises:
        OutputError: the record cannot be written.
    """
    entry = _entries(_record_of(target)).get(target.name, {})
    if entry.pop("unlogged", None) is not None:
        _note(target, entry)


def note_finished(target: Path, pictures: Sequence[Path] = ()) -> None:
    """Record that a result has its name, after `note_complete`.

    Nothing is recorded if another run in the same folder has removed the entry, because the result was absent
    then.

    Args:
        target: Path of the result.
        pictures: The numbered pictures, if `target` is the pattern of their names.

    Raises:
        OutputError: the record cannot be written.
        OSError: the result cannot be read.
    """
    entry = _entries(_record_of(target)).get(target.name)
    if entry is not None:
        _note(target, {**entry, **facts_of(target, pictures)})


def note_failed(target: Path) -> None:
    """Remove a result that was not completed from the record.

    Raises:
        OutputError: the record cannot be written.
    """
    if target.name in _entries(_record_of(target)):
        _note(target, None)


def _note(target: Path, facts: dict[str, Any] | None, *, without_absent: bool = False) -> None:
    """Replace a result's line in the record, or remove it if `facts` is None.

    With `without_absent`, lines of local files that do not exist are removed, too. While a result is made,
    its own line is one of them.
    """
    record = _record_of(target)
    folder, entries = record.parent, _entries(record)
    if without_absent and remote_of(target) is None:
        entries = {name: one for name, one in entries.items() if is_there(folder / name)}
    entries.pop(target.name, None)
    if facts is not None:
        entries[target.name] = {"name": target.name, **facts}
    try:
        lines = "".join(json.dumps(entry) + "\n" for entry in entries.values())
        write_beside(record, lines.encode(), sync=False)
    except OSError as error:
        raise OutputError(
            f"{record}: cannot be written ({error.strerror}); choose another folder with `to`"
        ) from error


def _record_of(target: Path) -> Path:
    """Return the path of the record in which a result is listed."""
    if remote_of(target) is None:
        return target.parent / NAME
    folder = hashlib.sha256(os.fsencode(target.parent)).hexdigest()[:12]
    return local_place(target).with_name(f".{folder}{NAME}")


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return a record as a mapping from a result's name to its entry. Damaged lines are ignored."""
    found: dict[str, dict[str, Any]] = {}
    with suppress(OSError):
        if path.is_symlink():
            return found
        text = read_file(path, most_bytes=_MOST_BYTES).decode("utf-8", "replace")
        for line in text.splitlines():
            with suppress(ValueError, TypeError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.keys() >= _KEYS and isinstance(entry["started"], int):
                    found[str(entry["name"])] = entry
    return found
