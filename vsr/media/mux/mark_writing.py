"""Writes languages and flags into a finished file, in the space of a placeholder in the title.

As for the video (`matroska_track`, `mp4_track`), the index keeps its length, so every offset into the file
stays valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from av.stream import Disposition

from vsr.media.formats.atoms import top_level_atoms
from vsr.media.formats.boxes import box, edited, first_box, full_box, split_boxes
from vsr.media.formats.matroska import TRACK_ENTRY, TRACKS, children, segment_of, span, walk
from vsr.media.formats.matroska_extras import write_extras
from vsr.media.formats.matroska_track import NAME, element_of, elements_of, void_of
from vsr.media.formats.mp4_track import padded_to
from vsr.media.passthrough.marks import (
    CHARACTERISTICS,
    CODEC_ID,
    CODEC_PRIVATE,
    ENABLED,
    LANGUAGE_BCP47,
    Pending,
)

_ROLES = "urn:mpeg:dash:role:2011"
_KINDS = {
    Disposition.dub: "dub",
    Disposition.comment: "commentary",
    Disposition.forced: "forced-subtitle",
    Disposition.hearing_impaired: "caption",
    Disposition.captions: "caption",
    Disposition.visual_impaired: "description",
    Disposition.descriptions: "description",
}
"""The roles of MPEG-DASH (ISO/IEC 23009-1, 5.8.5.5) that FFmpeg writes into MP4, and reads from MOV, too."""


def write_marks(path: Path, pending: Sequence[Pending], *, matroska: bool) -> None:
    """Write the marks that FFmpeg could not write into the tracks of a finished file.

    Args:
        path: Path of a file whose track titles end in the placeholders of `pending`.
        pending: The marks to write.
        matroska: Whether it is Matroska or WebM, else MP4 or MOV.

    Raises:
        ValueError: a placeholder is missing or too small.
    """
    if pending:
        (_into_matroska if matroska else _into_mp4)(path, pending)


def _into_matroska(path: Path, pending: Sequence[Pending]) -> None:
    with path.open("r+b") as file:
        tracks = next(part for part in children(file, *span(segment_of(file))) if part.id == TRACKS)
        for entry in list(walk(file, tracks, TRACK_ENTRY)):
            file.seek(entry.start)
            old = file.read(entry.size)
            mark = next((mark for mark in pending if mark.place.encode() in old), None)
            if mark is not None:
                file.seek(entry.start)
                file.write(_entry(old, mark))
    for mark in pending:
        write_extras(path, mark.extras)


def _entry(old: bytes, mark: Pending) -> bytes:
    """Return the content of a track entry with the same length."""
    parts = []
    gone = {LANGUAGE_BCP47} | ({CODEC_ID, CODEC_PRIVATE} if mark.codec else set())
    for number, content, raw in elements_of(old):
        if number == NAME:
            title = content.rstrip(b"\0").removesuffix(mark.place.encode())
            parts.append(element_of(NAME, title) if title else b"")
        elif number not in gone:
            parts.append(raw)
    if mark.disabled:
        parts.append(element_of(ENABLED, b"\0"))
    if mark.language:
        parts.append(element_of(LANGUAGE_BCP47, mark.language.encode()))
    if mark.codec:
        parts.append(element_of(CODEC_ID, mark.codec.encode()))
        parts += [element_of(CODEC_PRIVATE, mark.private)] if mark.private else []
    made = b"".join(parts)
    return made + void_of(len(old) - len(made))


def _into_mp4(path: Path, pending: Sequence[Pending]) -> None:
    with path.open("r+b") as file:
        moov = next(a for a in top_level_atoms(file, path.stat().st_size) if a.kind == b"moov")
        file.seek(moov.start + 8)
        old = file.read(moov.length - 8)
        boxes, rest = split_boxes(old)
        tracks = (_track(inside, pending) if kind == b"trak" else inside for kind, inside in boxes)
        made = b"".join(box(kind, new) for (kind, _), new in zip(boxes, tracks, strict=True))
        file.seek(moov.start + 8)
        file.write(padded_to(made + b"".join(mark.box for mark in pending) + rest, len(old)))


def _track(trak: bytes, pending: Sequence[Pending]) -> bytes:
    name = first_box(trak, b"udta", b"name") or b""
    mark = next((mark for mark in pending if name.endswith(mark.place.encode())), None)
    if mark is None:
        return trak
    trak = edited(trak, _disabled, b"tkhd") if mark.disabled else trak
    trak = edited(trak, partial(_user_data, mark=mark), b"udta")
    return edited(trak, partial(_media, mark=mark), b"mdia")


def _disabled(tkhd: bytes) -> bytes:
    """Return a track header without the flag "enabled" (ISO/IEC 14496-12, 8.3.2)."""
    return tkhd[:3] + bytes([tkhd[3] & ~1]) + tkhd[4:]


def _user_data(udta: bytes, *, mark: Pending) -> bytes | None:
    """Return the title without the placeholder, roles and characteristics; None if nothing is left."""
    kept = edited(udta, lambda name: name.removesuffix(mark.place.encode()) or None, b"name")
    values = dict.fromkeys(value for flag, value in _KINDS.items() if flag in mark.flags)
    kinds = [full_box(b"kind", f"{_ROLES}\0{value}\0".encode()) for value in values]
    known = [names for flag, names in CHARACTERISTICS.items() if flag in mark.flags]
    tags = [box(b"tagc", name.encode()) for names in known for name in names]
    return kept + b"".join(kinds + tags) or None


def _media(mdia: bytes, *, mark: Pending) -> bytes:
    """Add the language, and the extended language after the media header (ISO/IEC 14496-12, 8.4.6)."""
    boxes, rest = split_boxes(mdia)
    made = []
    for kind, inside in boxes:
        head = kind == b"mdhd"
        made.append(box(kind, _with_letters(inside, mark.letters) if head and mark.letters else inside))
        if head and mark.language:
            made.append(full_box(b"elng", mark.language.encode() + b"\0"))
    return b"".join(made) + rest


def _with_letters(mdhd: bytes, letters: str) -> bytes:
    """Set a language of three letters, five bits each (ISO/IEC 14496-12, 8.4.2)."""
    if not (letters.isascii() and letters.islower()):
        return mdhd
    place = 32 if mdhd[:1] == b"\1" else 20
    first, second, third = (ord(letter) - 0x60 for letter in letters)
    packed = first << 10 | second << 5 | third
    return mdhd[:place] + packed.to_bytes(2, "big") + mdhd[place + 2 :]
