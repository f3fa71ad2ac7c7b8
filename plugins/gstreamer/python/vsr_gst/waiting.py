"""The queue between the two threads of the element, and its items besides events of GStreamer."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vsr_gst.process import Run


@dataclass(frozen=True)
class Begin:
    """Queue item: frames of another size or format follow."""

    run: Run


@dataclass(frozen=True)
class FrameItem:
    """Queue item: a frame that the process is upscaling, with its metadata."""

    run: Run
    pts: int
    duration: int
    offset: int
    offset_end: int
    flags: Any


@dataclass(frozen=True)
class End:
    """Queue item: the process gets no more frames."""

    run: Run


@dataclass
class Waiting:
    """The queue between the two threads."""

    items: deque[Any] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    flushing: bool = True

    def put(self, item: Any) -> None:
        with self.changed:
            self.items.append(item)
            self.changed.notify()

    def take(self) -> Any | None:
        """Return the next item; None while flushing."""
        with self.changed:
            self.changed.wait_for(lambda: self.items or self.flushing)
            return None if self.flushing else self.items.popleft()

    def flush(self, on: bool) -> None:
        with self.changed:
            self.flushing = on
            self.items.clear()
            self.changed.notify()
