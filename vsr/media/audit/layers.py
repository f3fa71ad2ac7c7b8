"""Describes chapters and tags of Matroska that FFmpeg reduces to a flat list, to compare them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from vsr.media.formats.matroska import SIMPLE_TAG, TAG, TAG_NAME
from vsr.media.formats.matroska_extras import (
    ATOM,
    DISPLAY,
    EDITION,
    EDITION_HIDDEN,
    ENABLED,
    EPISODE,
    HIDDEN,
    LANGUAGE,
    LANGUAGE_BCP47,
    LEVEL,
    ORDERED,
    START,
    TAG_LANGUAGE,
    TAG_STRING,
    TARGETS,
    TITLE,
    read_extras,
)
from vsr.media.formats.matroska_track import elements_of
from vsr.media.metadata.languages import says_more, tag_of, three_letters

_FLAGS = {HIDDEN: "hidden", EDITION_HIDDEN: "hidden", ORDERED: "ordered"}
_NS = Fraction(1, 10**9)
_STALE = frozenset({"encoder", "duration"})
_DEEPEST = 32
"""Levels within each other; more are not compared."""


def layers_of(path: Path, origin: Fraction) -> tuple[tuple[tuple[str, Fraction], ...], tuple[str, ...]]:
    """Return the chapters of a Matroska file, each with its edition, parents, names, languages and flags in
    words and its begin in seconds after `origin`, and its tags with their levels and parents. Both are empty
    where FFmpeg reads all of them.

    Args:
        path: Of the file.
        origin: Time of the first frame in seconds.
    """
    found = read_extras(path, stale=_STALE)
    editions = [content for number, content, _ in elements_of(found.chapters) if number == EDITION]
    chapters: list[tuple[str, Fraction]] = []
    for number, edition in enumerate(editions if found.structured else [], start=1):
        parent = f"edition {number}{_flags(edition)}"
        chapters += [(name, begin - origin) for name, begin in _chapters(edition, parent)]
    tags = [line for number, tag, _ in elements_of(found.tags) if number == TAG for line in _tags(tag)]
    return tuple(chapters), tuple(tags)


def _chapters(content: bytes, parent: str, level: int = 0) -> Iterator[tuple[str, Fraction]]:
    for number, atom, _ in elements_of(content):
        if number == ATOM and level < _DEEPEST:
            begins = [int.from_bytes(inside, "big") for kind, inside, _ in elements_of(atom) if kind == START]
            names = " / ".join(_name(inside) for kind, inside, _ in elements_of(atom) if kind == DISPLAY)
            name = f"{parent} > {names or 'a chapter without a name'}{_flags(atom)}"
            yield name, (begins[0] if begins else 0) * _NS
            yield from _chapters(atom, name, level + 1)


def _name(display: bytes) -> str:
    fields = {number: _text(inside) for number, inside, _ in elements_of(display)}
    language = _language(fields.get(LANGUAGE_BCP47) or fields.get(LANGUAGE, "eng"))
    return f"{fields.get(TITLE, '')} ({language})"


def _flags(content: bytes) -> str:
    values = {number: int.from_bytes(inside, "big") for number, inside, _ in elements_of(content)}
    words = [word for flag, word in _FLAGS.items() if values.get(flag)]
    words += ["not enabled"] if values.get(ENABLED, 1) == 0 else []
    return f", {', '.join(words)}" if words else ""


def _tags(tag: bytes) -> Iterator[str]:
    targets = [inside for number, inside, _ in elements_of(tag) if number == TARGETS]
    levels = [inside for target in targets for number, inside, _ in elements_of(target) if number == LEVEL]
    level = int.from_bytes(levels[0], "big") if levels else EPISODE
    yield from _simple(tag, f"level {level}")


def _simple(content: bytes, parent: str, level: int = 0) -> Iterator[str]:
    for number, simple, _ in elements_of(content):
        if number == SIMPLE_TAG and level < _DEEPEST:
            fields = {kind: _text(inside) for kind, inside, _ in elements_of(simple)}
            language = _language(fields.get(TAG_LANGUAGE, ""))
            words = f"{parent} > {fields.get(TAG_NAME, '')} = {fields.get(TAG_STRING, '')}"
            yield f"{words} ({language})" if language != "und" else words
            yield from _simple(simple, words, level + 1)


def _language(text: str) -> str:
    """Return a language in one form, of the two that Matroska has for it."""
    tag = tag_of(text)
    return tag if says_more(tag) else three_letters(tag)


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode("utf-8", "replace")
