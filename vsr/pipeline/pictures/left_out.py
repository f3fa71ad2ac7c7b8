"""Sentences for what pictures cannot hold of a source, the same for every kind of picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vsr.media.files.opening import reopen_media, shown


def streams_left_out(source: Path, target: Path) -> list[str]:
    """Return a sentence if a video has other streams, which pictures cannot hold."""
    with reopen_media(source) as media:
        others = len(media.streams) - 1
    return [f"{shown(target)}: pictures only; {others} other streams of the source are left out"] * bool(
        others
    )


def left_out(phrases: Iterable[str]) -> list[str]:
    """Return one sentence for phrases that each name something; none for no phrases."""
    words = "; ".join(dict.fromkeys(phrases))
    return [f"left out: {words}"] if words else []
