"""Reads facts from FFmpeg's log that PyAV does not expose."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av

_level = threading.Lock()
"""Held while FFmpeg's log level, which applies to the whole process, is raised."""


@contextmanager
def log_level_info() -> Iterator[None]:
    """Set FFmpeg's log level to INFO inside the block; the caller captures the log."""
    with _level:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            yield
        finally:
            av.logging.set_level(before)
