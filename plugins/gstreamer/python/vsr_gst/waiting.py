"""The queue between the two threads of the element, and what lies in it beside events of GStreamer."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vsr_gst.process import Run


@dataclass(frozen=True)
class Begin:
    """In the queue: pictures of another size or format follow."""

    run: Run


@dataclass(frozen=True)
class Picture:
    """In the queue: a picture that is in the process, and what belongs to it."""

    run: Run
    pts: int
    duration: int
    offset: int
    offset_end: int
    flags: Any


@dataclass(frozen=True)
class End:
    """In the queue: the process has no more pictures."""

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
        """The next; None when flushing."""
        with self.changed:
            self.changed.wait_for(lambda: self.items or self.flushing)
            return None if self.flushing else self.items.popleft()

    def flush(self, on: bool) -> None:
        with self.changed:
            self.flushing = on
            self.items.clear()
            self.changed.notify()
