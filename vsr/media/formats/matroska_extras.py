"""Reads and writes chapters and tags of Matroska that FFmpeg reduces to a flat list (RFC 9559, 5.1.7, 5.1.8).

FFmpeg reads only the first edition, no nested chapters, only one name of each chapter, and no flags or
languages. Of several tags with the same name it keeps one. Therefore the bytes of chapters and tags are
copied unchanged from file to file, into the space of a placeholder that the muxer has written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsr.media.formats.matroska import SIMPLE_TAG, TAG, TAG_NAME, TAGS, Element, children, segment_of, span
from vsr.media.formats.matroska_track import VOID, element_of, elements_of, void_of
from vsr.media.remote.reader import open_bytes

CHAPTERS, EDITION, ATOM = 0x1043A770, 0x45B9, 0xB6
START, _END, OTHER_FILE = 0x91, 0x92, 0x6E67
DISPLAY, LANGUAGE, LANGUAGE_BCP47 = 0x80, 0x437C, 0x437D
TITLE = 0x85
_UID, _TEXT_UID, _EDITION_UID, _EDITION_DEFAULT = 0x73C4, 0x5654, 0x45BC, 0x45DB
HIDDEN, ENABLED, EDITION_HIDDEN, ORDERED = 0x98, 0x4598, 0x45BD, 0x45DD
_FLAT_ATOM = frozenset({_UID, _TEXT_UID, START, _END, DISPLAY})
_FLAT_EDITION = frozenset({_EDITION_UID, _EDITION_DEFAULT, ATOM})
_AS_USUAL = {HIDDEN: 0, ENABLED: 1, EDITION_HIDDEN: 0, ORDERED: 0}
"""Maps flags to their default values. FFmpeg loses nothing if a flag has its default."""
TARGETS, LEVEL, _LEVEL_NAME = 0x63C0, 0x68CA, 0x63CA
_ELSEWHERE = frozenset({0x63C5, 0x63C6})
"""Targets of tags: the UIDs of a track and an attachment. FFmpeg assigns new UIDs, and writes these tags
itself."""
_OF_CHAPTERS = frozenset({0x63C9, 0x63C4})
"""Targets of tags: the UIDs of an edition and a chapter."""
TAG_STRING, TAG_LANGUAGE, _TAG_DEFAULT = 0x4487, 0x447A, 0x4484
_FLAT_TAG = frozenset({TAG_NAME, TAG_STRING, TAG_LANGUAGE, _TAG_DEFAULT})
EPISODE = 50
"""TargetTypeValue of a tag that states none."""
_CRC, _UNKNOWN = 0xBF, b"und"
_MOST = 1 << 19
"""Largest size of chapters or tags in bytes; larger ones are not read. A thousand chapters with names in
several languages are smaller."""
_DEEPEST = 32
"""Largest depth of nested chapters that is read."""


@dataclass(frozen=True, slots=True)
class Extras:
    """Chapters and tags as bytes of a Matroska file; empty if FFmpeg reads them completely."""

    chapters: bytes = b""
    """The content of the element Chapters."""
    tags: bytes = b""
    """The elements Tag of the file, its editions and chapters."""
    structured: bool = False
    """Whether the chapters have more than FFmpeg reads, apart from the languages of their names."""


def read_extras(path: Path, *, stale: frozenset[str]) -> Extras:
    """Return what FFmpeg does not read of a Matroska file's chapters and tags.

    Args:
        path: Path of the file.
        stale: Names of tags, in lower case, that would be wrong in a copy.
    """
    found = {CHAPTERS: b"", TAGS: b""}
    with suppress(ValueError, OSError):  # of a damaged file, nothing is returned
        with open_bytes(path) as file:
            for part in children(file, *span(segment_of(file))):
                if part.id in found and part.size <= _MOST:
                    found[part.id] += _content(file, part)
        return _extras(found, stale)
    return Extras()


def _extras(found: Mapping[int, bytes], stale: frozenset[str]) -> Extras:
    chapters = b"" if _is_flat(found[CHAPTERS]) else _without_checksums(found[CHAPTERS])
    tags = [tag for number, tag, _ in elements_of(found[TAGS]) if number == TAG]
    own = [tag for tag in tags if not _uids(tag) & _ELSEWHERE]
    targeted = bool(chapters) and any(_uids(tag) & _OF_CHAPTERS for tag in own)
    if not targeted and _are_flat(own):
        own = []
    structured = not _is_flat(chapters, any_language=True)
    return Extras(chapters, b"".join(_without(tag, stale) for tag in own), structured)


def moved_chapters(content: bytes, shift: int, start: int | None, end: int | None) -> bytes:
    """Return the content of Chapters with shifted times, trimmed to a range; empty if no chapter is left.

    Args:
        content: Content of the element Chapters.
        shift: Nanoseconds to add to each time.
        start: Start of the range in nanoseconds, before the shift; None for no limit.
        end: End of the range, likewise.
    """
    editions = []
    for number, inside, raw in elements_of(content):
        made = _moved_atoms(inside, shift, start, end) if number == EDITION else b""
        if any(inner == ATOM for inner, _, _ in elements_of(made)):
            editions.append(element_of(EDITION, made))
        elif number != EDITION:
            editions.append(raw)
    return b"".join(editions)


def write_extras(path: Path, extras: Extras) -> None:
    """Write chapters and tags into a finished file, in place of those that the muxer wrote.

    Raises:
        ValueError: a placeholder is missing or too small.
    """
    wanted = {number for number, content in ((CHAPTERS, extras.chapters), (TAGS, extras.tags)) if content}
    with path.open("r+b") as file:
        for part in list(children(file, *span(segment_of(file)))) if wanted else []:
            if part.id in wanted:
                made = extras.chapters
                if part.id == TAGS:
                    made = extras.tags + b"".join(map(_of_muxer, elements_of(_content(file, part))))
                file.seek(part.start)
                file.write(made + void_of(part.size - len(made)))
                wanted.discard(part.id)
    if wanted:
        raise ValueError("no space for chapters or tags")


def _content(file: BinaryIO, part: Element) -> bytes:
    file.seek(part.start)
    return file.read(part.size)


def _is_flat(chapters: bytes, *, any_language: bool = False) -> bool:
    """Return whether FFmpeg reads chapters completely; with `any_language`, languages are ignored."""
    editions = [inside for number, inside, _ in elements_of(chapters) if number == EDITION]
    atoms = [a for edition in editions for number, a, _ in elements_of(edition) if number == ATOM]
    plain = all(_has_only(edition, _FLAT_EDITION) for edition in editions)
    return len(editions) <= 1 and plain and all(_is_flat_atom(atom, any_language) for atom in atoms)


def _is_flat_atom(atom: bytes, any_language: bool) -> bool:
    names = [inside for number, inside, _ in elements_of(atom) if number == DISPLAY]
    languages = [{n: i for n, i, _ in elements_of(name)}.get(LANGUAGE, b"eng") for name in names]
    known = {TITLE, LANGUAGE} | ({LANGUAGE_BCP47} if any_language else set())
    plain = all(_has_only(name, frozenset(known)) for name in names)
    unknown = any_language or all(language.rstrip(b"\0") == _UNKNOWN for language in languages)
    return _has_only(atom, _FLAT_ATOM) and len(names) <= 1 and plain and unknown


def _has_only(content: bytes, numbers: frozenset[int]) -> bool:
    known = numbers | {_CRC, VOID}
    return all(
        number in known or _AS_USUAL.get(number) == int.from_bytes(inside, "big")
        for number, inside, _ in elements_of(content)
    )


def _without_checksums(content: bytes, level: int = 0) -> bytes:
    """Return chapters without the checksums of their elements, which would be wrong after any change."""
    if level > _DEEPEST:
        raise ValueError("chapters are nested too deeply")
    made = []
    for number, inside, raw in elements_of(content):
        if number in (EDITION, ATOM, DISPLAY):
            made.append(element_of(number, _without_checksums(inside, level + 1)))
        elif number not in (_CRC, VOID):
            made.append(raw)
    return b"".join(made)


def _moved_atoms(content: bytes, shift: int, start: int | None, end: int | None) -> bytes:
    made = []
    for number, inside, raw in elements_of(content):
        atom = _moved(inside, shift, start, end) if number == ATOM else None
        if number != ATOM:
            made.append(raw)
        elif atom is not None:
            made.append(element_of(ATOM, atom))
    return b"".join(made)


def _moved(atom: bytes, shift: int, start: int | None, end: int | None) -> bytes | None:
    """Return the content of a chapter and its nested chapters; None if it is outside the range."""
    fields = {number: inside for number, inside, _ in elements_of(atom)}
    if OTHER_FILE in fields:  # a linked chapter: its times belong to the other file
        return atom
    times = {key: int.from_bytes(fields[key], "big") for key in (START, _END) if key in fields}
    first, last = times.get(START, 0), times.get(_END)
    if (end is not None and first >= end) or (start is not None and last is not None and last <= start):
        return None
    times[START] = max(first, start or 0)
    if last is not None:
        times[_END] = last if end is None else min(last, end)
    inner = elements_of(_moved_atoms(atom, shift, start, end))
    moved = [element_of(key, max(0, time + shift).to_bytes(8, "big")) for key, time in times.items()]
    return b"".join([*moved, *(raw for number, _, raw in inner if number not in times)])


def _uids(tag: bytes) -> set[int]:
    """Return the kinds of UIDs that a tag is for; 0 stands for all of a kind."""
    targets = (inside for number, inside, _ in elements_of(tag) if number == TARGETS)
    return {number for target in targets for number, inside, _ in elements_of(target) if any(inside)} - {
        LEVEL
    }


def _are_flat(tags: list[bytes]) -> bool:
    """Return whether FFmpeg reads the tags of a file completely."""
    simple = [inside for tag in tags for number, inside, _ in elements_of(tag) if number == SIMPLE_TAG]
    fields = [{number: inside for number, inside, _ in elements_of(one)} for one in simple]
    names = Counter(one.get(TAG_NAME) for one in fields)
    unknown = all(one.get(TAG_LANGUAGE, _UNKNOWN).rstrip(b"\0") == _UNKNOWN for one in fields)
    levels = all(_level(tag) == EPISODE for tag in tags)
    return levels and unknown and all(_has_only(s, _FLAT_TAG) for s in simple) and set(names.values()) <= {1}


def _level(tag: bytes) -> int:
    targets = (inside for number, inside, _ in elements_of(tag) if number == TARGETS)
    levels = [i for target in targets for number, i, _ in elements_of(target) if number == LEVEL]
    return int.from_bytes(levels[0], "big") if levels else EPISODE


def _without(tag: bytes, stale: frozenset[str]) -> bytes:
    """Return a tag as an element, without the names in `stale`; empty if no name is left."""
    kept = [
        (number, raw)
        for number, inside, raw in elements_of(tag)
        if number not in (_CRC, VOID) and not (number == SIMPLE_TAG and _name(inside).lower() in stale)
    ]
    return element_of(TAG, b"".join(raw for _, raw in kept)) if any(n == SIMPLE_TAG for n, _ in kept) else b""


def _of_muxer(part: tuple[int, bytes, bytes]) -> bytes:
    """Return what to keep of an element that the muxer has written: tags of tracks, and the tag ENCODER."""
    number, inside, raw = part
    if number != TAG:
        return b""
    if _uids(inside) & _ELSEWHERE:
        return raw
    own = [tag for n, simple, tag in elements_of(inside) if n == SIMPLE_TAG and _name(simple) == "ENCODER"]
    return element_of(TAG, element_of(TARGETS, b"") + b"".join(own)) if own else b""


def _name(simple: bytes) -> str:
    names: Iterator[bytes] = (inside for number, inside, _ in elements_of(simple) if number == TAG_NAME)
    return next(names, b"").rstrip(b"\0").decode(errors="replace")
