"""Copies chapters and tags from Matroska to Matroska that FFmpeg would reduce to one flat list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av.container import InputContainer, OutputContainer

from vsr.media.files.stdio import is_pipe
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska import INFO, children, segment_of, span, walk
from vsr.media.formats.matroska_extras import (
    ATOM,
    CHAPTERS,
    EDITION,
    OTHER_FILE,
    Extras,
    moved_chapters,
    read_extras,
)
from vsr.media.passthrough.marks import Pending
from vsr.media.remote.reader import open_bytes

if TYPE_CHECKING:  # PyAV has it in its stubs only
    from av.container.core import Chapter

_NS = Fraction(1, 10**9)
_SPACE = 64
"""Bytes of a placeholder in addition to its final content, for the headers of elements."""
_LINKS: Mapping[int, Sequence[tuple[int, ...]]] = {
    INFO: [(0x3CB923,), (0x3EB923,)],
    CHAPTERS: [(EDITION, ATOM, OTHER_FILE)],
}
"""Elements that link a file with others (RFC 9559, 17): PrevUUID, NextUUID, ChapterSegmentUUID."""
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


def note_on_links(source: Path, media: InputContainer, container: Container) -> list[str]:
    """Return a sentence if the input is a Matroska file that names other files to play with it.

    Args:
        source: Path of the input.
        media: The same file, open.
        container: Container of the output.
    """
    if "matroska" not in media.format.name or is_pipe(source) or not _is_linked(source):
        return []
    if container.family != "matroska":
        return [f"{container.name} does not support links to other files; the result is not linked with them"]
    return [
        "the source is linked with other files by their UIDs, but results have new UIDs; "
        "mkvpropedit links them again: segment-uid, prev-uid and next-uid of the section info"
    ]


def _is_linked(source: Path) -> bool:
    with suppress(ValueError, OSError), open_bytes(source) as file:
        for part in children(file, *span(segment_of(file))):
            if any(any(walk(file, part, *path)) for path in _LINKS.get(part.id, ())):
                return True
    return False


def _ns(seconds: Fraction | None) -> int | None:
    return None if seconds is None else round(seconds / _NS)


def _lost(container: Container) -> str:
    return (
        f"{container.name} supports one list of chapters with one name each; nested chapters, "
        "further editions, further names and flags are left out; write to .mkv to keep them"
    )
