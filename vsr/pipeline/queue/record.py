"""Which results are finished: a hidden file in their folder names the input, the settings and the result.

A name alone says nothing: a file may be of another input, of other settings, or somebody else's. The record
holds fingerprints of input and result, so that a second run of the same command skips what is done, in
milliseconds a file, and notices what was changed since. The record of results in a store lies in the work
folder of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import InputError, OutputError
from vsr.media.files.output_path import local_place
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.places import remote_of
from vsr.media.remote.reader import size_of
from vsr.pipeline.inputfile import fingerprint
from vsr.pipeline.job.report import plain
from vsr.settings.field import settings_of
from vsr.settings.schema import EncoderSettings, UpscaleSettings
from vsr.writing import move_over, new_file, temporary_name

NAME = ".vsr-finished.jsonl"
_KEYS = {"name", "input", "settings", "started"}
_CLOCK_NS = 2 * 10**9
"""By how much the clock of a file system may be behind."""
_MOST_BYTES = 2**26
"""A record larger than that is not ours; a line has about 200 bytes."""


def settings_digest(settings: UpscaleSettings) -> str:
    """Hash of the settings that decide a result, and of the weight files that they name."""
    facts: dict[str, Any] = {
        name: plain(getattr(part, name))
        for kind, part in ((UpscaleSettings, settings), (EncoderSettings, settings.encoder))
        for name, setting in settings_of(kind).items()
        if setting.in_resume_key != "no" and name not in ("device", "threads", "allow_files")
    }
    for name in ("model", "partner"):
        path = Path(str(facts[name])).expanduser()
        with suppress(OSError):
            if path.is_file():
                facts[name] = fingerprint(path)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def finished_code(source: Path, target: Path, digest: str | None) -> int | None:
    """The exit code of the run that made a result, if it is there, unchanged, and was made from this input.

    Args:
        source: The input.
        target: Where its result belongs.
        digest: Of the settings; None accepts a result of any settings.

    Returns:
        0, or that of a damaged input; None where there is no such result.
    """
    entry = _entries(_record_of(target)).get(target.name)
    if entry is None or digest not in (None, entry["settings"]):
        return None
    with suppress(OSError, InputError):
        if _is_result(target, entry) and fingerprint(source) == entry["input"]:
            return int(entry.get("exit_code", 0))
    return None


def _is_result(target: Path, entry: dict[str, Any]) -> bool:
    """Whether a file is the result that an entry is about.

    Where the process ended between giving the result its name and noting that, the entry only says when the
    work was started. A result gets its name complete and checked, so a younger file is that result.
    """
    if "result" not in entry:
        is_local = remote_of(target) is None  # the clock of a store is not this machine's
        return is_local and bool(target.stat().st_mtime_ns >= entry["started"] - _CLOCK_NS)
    return _facts_of(target) == {"result": entry["result"], "bytes": entry["bytes"]}


def _facts_of(target: Path) -> dict[str, Any]:
    """What identifies the content of a result now."""
    close_blocks(target)
    try:
        return {"result": fingerprint(target), "bytes": size_of(target)}
    finally:
        close_blocks(target)


def results_in(folder: Path) -> set[str]:
    """Return the names of the results that the record of a folder lists."""
    return set(_entries(folder / NAME))


def note_started(source: Path, target: Path, digest: str) -> None:
    """Note what is about to be made.

    Raises:
        OutputError: the record cannot be written.
        OSError: the input cannot be read.
    """
    _note(target, {"input": fingerprint(source), "settings": digest, "started": time.time_ns()})


def note_finished(target: Path, exit_code: int) -> None:
    """Note that the result that was started is complete.

    Raises:
        OutputError: the record cannot be written.
        OSError: the result cannot be read.
    """
    entry = _entries(_record_of(target))[target.name]
    _note(target, {**entry, **_facts_of(target), "exit_code": exit_code})


def note_failed(target: Path) -> None:
    """Forget what was started.

    Raises:
        OutputError: the record cannot be written.
    """
    if target.name in _entries(_record_of(target)):
        _note(target, None)


def _note(target: Path, facts: dict[str, Any] | None) -> None:
    """Replace the line of a result; lines of results that are gone are dropped."""
    record, is_local = _record_of(target), remote_of(target) is None
    folder, entries = record.parent, _entries(record)
    if is_local:
        entries = {name: one for name, one in entries.items() if os.path.lexists(folder / name)}
    entries.pop(target.name, None)
    if facts is not None:
        entries[target.name] = {"name": target.name, **facts}
    temporary = temporary_name(folder)
    try:
        with new_file(temporary) as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in entries.values()).encode())
        move_over(temporary, record)  # a link that somebody planted under this name is replaced
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"{record}: cannot be written ({error.strerror}); choose another folder with `to`"
        ) from error


def _record_of(target: Path) -> Path:
    """Where the record of a result is."""
    if remote_of(target) is None:
        return target.parent / NAME
    folder = hashlib.sha256(os.fsencode(target.parent)).hexdigest()[:12]
    return local_place(target).with_name(f".{folder}{NAME}")


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """A record by name of the result; a line that is damaged counts as absent."""
    found: dict[str, dict[str, Any]] = {}
    with suppress(OSError):
        if path.is_symlink() or path.stat().st_size > _MOST_BYTES:
            return found
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.keys() >= _KEYS and isinstance(entry["started"], int):
                    found[str(entry["name"])] = entry
    return found
