"""Progress for programs: one JSON object a line on standard error (`--progress json`, docs/progress.md).

While it is on, everything that the command would print there as text is an object, too: messages, warnings,
errors, and what Python and other threads report.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsr.cli import console
from vsr.errors import DAMAGED_INPUT
from vsr.media.remote.places import without_credentials

if TYPE_CHECKING:
    from vsr.cli.queue_clock import QueueClock
    from vsr.pipeline.run import Progress

VERSION = 1
"""Of the events. It rises when an event or a key is removed or changes its meaning; others may be added."""
EVERY_SECONDS = 0.5
"""The shortest time between two objects of progress."""

_end: dict[str, Any] = {}
"""What the last object will say besides the exit code."""


def asked_for(words: Sequence[str]) -> bool:
    """Return whether a command line has `--progress json`; known before the words are parsed, for errors in
    them are objects, too."""
    known = words[: words.index("--")] if "--" in words else words
    pairs = itertools.pairwise(known)
    return "--progress=json" in known or ("--progress", "json") in pairs


@contextmanager
def installed(words: Sequence[str], version: str) -> Generator[None, None, None]:
    """Turn all text on standard error into objects inside the block.

    Args:
        words: Of the command line, without the program's name.
        version: Of `vsr`.
    """
    _end.clear()
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda found: _failed(found.exc_value)
    sys.unraisablehook = lambda found: _failed(found.exc_value)
    try:
        with console.diverted(_message), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: emit("warning", text=str(message))
            emit("start", version=VERSION, vsr=version, command=["vsr", *map(without_credentials, words)])
            yield
    finally:
        threading.excepthook, sys.unraisablehook = hooks


def emit(event: str, **facts: Any) -> None:
    """Write one object, if `--progress json` was given; a reader that is gone does no harm."""
    if console.is_diverted():
        console.raw_line(as_line({"event": event, "time": _now(), **facts}))


def result(**facts: Any) -> None:
    """Keep what the last object will say: `message`, `report`, `files`."""
    _end.update(facts)


def end(exit_code: int) -> None:
    """Write the last object."""
    status = {0: "done", DAMAGED_INPUT: "damaged"}.get(exit_code, "failed")
    if exit_code > 128:  # 128 and the number of a signal
        status = "stopped"
    facts = {"message": "", "report": None, "files": None} | _end
    emit("end", status=status, exit_code=exit_code, **facts)


def last_words(text: str) -> bytes:
    """Return the last object for a process that has to end at once; its exit status has the code."""
    row = {"event": "end", "time": None, "status": "stopped", "exit_code": None, "message": text}
    return (as_line({**row, "report": None, "files": None}) + "\n").encode()


def as_line(value: Mapping[str, Any]) -> str:
    """Return an object as one line of ASCII; numbers that JSON does not have are null."""
    return json.dumps(_plain(value), ensure_ascii=True, allow_nan=False)


@contextmanager
def frame_progress(queue: QueueClock | None) -> Generator[Callable[[Progress], None], None, None]:
    """Yield the function that `pipeline.run` calls after each frame."""
    from vsr.cli.progress import Speed

    speed, last = Speed(), -math.inf

    def show(now: Progress) -> None:
        nonlocal last
        speed.add(now.seconds, now.frames)
        done = now.kept + now.frames
        total = None if now.total is None else max(now.total, done)
        if time.monotonic() - last < EVERY_SECONDS and done != total:
            return
        last = time.monotonic()
        left = None if total is None or not speed.fps else (total - done) / speed.fps
        emit(
            "progress",
            number=1 if queue is None else queue.number,
            count=1 if queue is None else queue.count,
            frames=done,
            frames_total=total,
            fps=speed.fps,
            seconds=now.seconds,
            seconds_left=left,
            queue_seconds_left=None if queue is None else queue.seconds_left(now, speed),
            bottleneck=now.bottleneck,
        )

    yield show


def _message(kind: str, text: str) -> None:
    if kind == "error":
        _end["message"] = text
    emit(kind, text=text)


def _failed(error: BaseException | None) -> None:
    """Report an exception that nothing caught, in another thread or in a destructor."""
    if error is not None:
        text = "".join(traceback.format_exception(error))
        emit("log", level="error", logger="python", text=text)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """Convert to types of JSON; text that is not UTF-8 is escaped."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, str | Path):
        return str(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Fraction) else value
