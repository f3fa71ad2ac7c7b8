"""What FFmpeg prints of a file or a frame, where PyAV has no name for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av

_level = threading.Lock()
"""Held while FFmpeg's log level, which is the whole process's, is raised."""


@contextmanager
def talkative() -> Iterator[None]:
    """Let FFmpeg log at the level INFO inside the block; the caller captures what it says."""
    with _level:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            yield
        finally:
            av.logging.set_level(before)
