"""Which results are finished: a hidden file in their folder names the input, the settings and the result.

A name alone says nothing: a file may be of another input, of other settings, or somebody else's. The record
holds fingerprints of input and result, so that a second run of the same command skips what is done, in
milliseconds a file, and notices what was changed since.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import OutputError
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
    entry = _entries(target.parent).get(target.name)
    if entry is None or digest not in (None, entry["settings"]):
        return None
    with suppress(OSError):
        if _is_result(target, entry) and fingerprint(source) == entry["input"]:
            return int(entry.get("exit_code", 0))
    return None


def _is_result(target: Path, entry: dict[str, Any]) -> bool:
    """Whether a file is the result that an entry is about.

    Where the process ended between giving the result its name and noting that, the entry only says when the
    work was started. A result gets its name complete and checked, so a younger file is that result.
    """
    facts = target.stat()
    if "result" not in entry:
        return bool(facts.st_mtime_ns >= entry["started"] - _CLOCK_NS)
    return facts.st_size == entry["bytes"] and fingerprint(target) == entry["result"]


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
    entry = _entries(target.parent)[target.name]
    facts = {"result": fingerprint(target), "bytes": target.stat().st_size, "exit_code": exit_code}
    _note(target, {**entry, **facts})


def note_failed(target: Path) -> None:
    """Forget what was started.

    Raises:
        OutputError: the record cannot be written.
    """
    if target.name in _entries(target.parent):
        _note(target, None)


def _note(target: Path, facts: dict[str, Any] | None) -> None:
    """Replace the line of a result; lines of results that are gone are dropped."""
    folder = target.parent
    entries = {name: one for name, one in _entries(folder).items() if os.path.lexists(folder / name)}
    entries.pop(target.name, None)
    if facts is not None:
        entries[target.name] = {"name": target.name, **facts}
    temporary = temporary_name(folder)
    try:
        with new_file(temporary) as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in entries.values()).encode())
        move_over(temporary, folder / NAME)  # a link that somebody planted under this name is replaced
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"{folder / NAME}: cannot be written ({error.strerror}); choose another folder with `to`"
        ) from error


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    """The record of a folder by name of the result; a line that is damaged counts as absent."""
    found: dict[str, dict[str, Any]] = {}
    with suppress(OSError):
        path = folder / NAME
        if path.is_symlink() or path.stat().st_size > _MOST_BYTES:
            return found
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.keys() >= _KEYS and isinstance(entry["started"], int):
                    found[str(entry["name"])] = entry
    return found
