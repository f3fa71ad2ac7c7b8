"""Reads facts from FFmpeg's log that PyAV does not expose."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container.core import Container

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


def described_codec(media: Container, index: int) -> str:
    """Return FFmpeg's name of the codec of a stream, even if it has no decoder for it (teletext); empty if it
    does not know the codec.

    Args:
        media: An open file.
        index: Of the stream.
    """
    found = re.search(r"\w+", _description(media, index))
    return found[0] if found is not None and found[0] not in ("none", "unknown") else ""


def described_tag(media: Container, index: int) -> str:
    """Return the four characters by which MP4 or QuickTime names the kind of a stream; empty if FFmpeg shows
    none.

    Args:
        media: An open file.
        index: Of the stream.
    """
    found = re.search(r"\((\w{4}) / 0x", _description(media, index))
    return found[1] if found is not None else ""


def _description(media: Container, index: int) -> str:
    """Return FFmpeg's description of a stream, from the codec on; empty if there is none."""
    with log_level_info():
        text: str = media.dumps_format()  # type: ignore[attr-defined]
    kinds = "(?:Video|Audio|Subtitle|Data)"
    found = re.search(rf"^  Stream #0:{index}\b.*?: {kinds}: (.*)$", text, re.MULTILINE)
    return found[1] if found is not None else ""
