"""Copies chapters and tags from Matroska to Matroska that FFmpeg would reduce to one flat list."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av.container import InputContainer, OutputContainer

from vsr.media.files.stdio import is_pipe
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska_extras import Extras, moved_chapters, read_extras
from vsr.media.passthrough.marks import Pending

if TYPE_CHECKING:  # PyAV has it in its stubs only
    from av.container.core import Chapter

_NS = Fraction(1, 10**9)
_SPACE = 64
"""Bytes of a placeholder in addition to its final content, for the headers of elements."""
_STALE = frozenset({"encoder", "duration"})
"""Tags whose values in the source are wrong for the output; the muxer writes its own."""


def keep_extras(
    source: Path,
    media: InputContainer,
    output: OutputContainer,
    chapters: list[Chapter],
    container: Container,
    *,
    clock: tuple[Fraction, Fraction | None, Fraction | None],
) -> tuple[Pending | None, list[str]]:
    """Reserve space in `output` for the chapters and tags of a Matroska file that FFmpeg does not read.

    Args:
        source: Path of the input.
        media: The same file, open.
        output: The output, not started yet; its metadata may get a placeholder.
        chapters: Chapters of the output; the title of the first one may get a placeholder.
        container: Container of `output`.
        clock: The seconds added to every time, and the start and end of the range in seconds on the source's
            clock. With a range, tags are not copied.

    Returns:
        The data to write into the finished file, or None; and a sentence if the container does not support
        the chapters.
    """
    if "matroska" not in media.format.name or is_pipe(source):
        return None, []
    found = read_extras(source, stale=_STALE)
    if container.muxer != "matroska":
        return None, [_lost(container)] if found.structured else []
    shift, start, end = clock
    ranged = start is not None or end is not None
    kept = found.chapters
    if kept and (shift or ranged):
        kept = moved_chapters(kept, round(shift / _NS), _ns(start), _ns(end))
    extras = Extras(kept if chapters else b"", b"" if ranged else found.tags)
    if not (extras.chapters or extras.tags):
        return None, []
    if extras.chapters:
        titles = chapters[0]["metadata"]
        chapters[0] = chapters[0].copy()
        chapters[0]["metadata"] = titles | {"title": "~" * (len(extras.chapters) + _SPACE)}
    if extras.tags:
        output.metadata["VSR_SPACE"] = "~" * (len(extras.tags) + _SPACE)
    return Pending(place="~extras~", extras=extras), []


def _ns(seconds: Fraction | None) -> int | None:
    return None if seconds is None else round(seconds / _NS)


def _lost(container: Container) -> str:
    return (
        f"{container.name} supports one list of chapters with one name each; nested chapters, "
        "further editions, further names and flags are left out; write to .mkv to keep them"
    )
