"""Reads a track's language and flags, beyond those that FFmpeg reads and writes.

FFmpeg supports three letters of a language, and in MOV only the flag "default". Matroska's LanguageBCP47,
MP4's `elng` and `kind`, and QuickTime's media characteristics (`tagc`) contain more. They are read here from
the source, and `mark_writing` writes them into the finished file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.stream import Disposition, Stream

from vsr.media.files.stdio import is_pipe
from vsr.media.formats.boxes import MAX_BOX, find_boxes, split_boxes
from vsr.media.formats.containers import CONTAINERS, Container
from vsr.media.formats.matroska import (
    TRACK_ENTRY,
    TRACKS,
    Element,
    bytes_of,
    children,
    segment_of,
    span,
    text_of,
    uint_of,
    walk,
)
from vsr.media.formats.matroska_extras import Extras
from vsr.media.metadata.languages import says_more, tag_of, three_letters
from vsr.media.remote.reader import open_bytes

TRACK_TYPE, CODEC_ID, CODEC_PRIVATE, LANGUAGE_BCP47, ENABLED = 0x83, 0x86, 0x63A2, 0x22B59D, 0xB9
WEBVTT = "S_TEXT/WEBVTT"
"""Matroska's own way to store WebVTT (mkvmerge), of which FFmpeg reads only that of WebM."""
_SHOWN_TYPES = frozenset({1, 2, 17})
"""Matroska's track types that FFmpeg exposes as streams: video, audio, subtitles."""
NONE = Disposition(0)
DISABLED = "disabled"
"""Name of a Matroska track that is not used."""
CHARACTERISTICS: Mapping[Disposition, tuple[str, ...]] = {
    Disposition.original: ("public.original-content",),
    Disposition.dub: ("public.translation.dubbed",),
    Disposition.comment: ("public.auxiliary-content",),
    Disposition.forced: ("public.subtitles.forced-only",),
    Disposition.hearing_impaired: (
        "public.accessibility.transcribes-spoken-dialog",
        "public.accessibility.describes-music-and-sound",
    ),
    Disposition.visual_impaired: ("public.accessibility.describes-video",),
}
"""Maps a flag to QuickTime's media characteristics (AVMediaCharacteristic); each is stored in a box
`tagc`."""
_MARKED = {name: flag for flag, names in CHARACTERISTICS.items() for name in names}
_ALIKE = {
    Disposition.captions: Disposition.hearing_impaired,
    Disposition.descriptions: Disposition.visual_impaired,
}
"""FFmpeg's flags that some containers have under one name only."""
_ROOM = 700
"""Bytes added to the title of a track while it is written: more than `mark_writing` ever needs."""


_LONGEST_PRIVATE = 1 << 16
"""Bytes: a longer header of subtitles is not copied."""
_LONGEST_TAG = 255
"""In bytes; a longer language tag is damaged."""


def _all(*flags: Disposition) -> Disposition:
    return reduce(or_, flags, NONE)


_MP4 = _all(Disposition.default, *CHARACTERISTICS, *_ALIKE)
_HELD = {
    "matroska": _all(Disposition.default, *CHARACTERISTICS),
    "webm": Disposition.default | Disposition.forced,
    "mp4": _MP4,
    "mov": _MP4,
}
"""Maps FFmpeg's name of a muxer to the flags that its tracks can have, including those by `mark_writing`."""
_OF_PICTURES = _all(
    Disposition.attached_pic, Disposition.timed_thumbnails, Disposition.still_image, Disposition.multilayer
)
"""Flags that describe the type of a stream, not its purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackMarks:
    """Language and purpose of a track."""

    language: str = ""
    """A BCP 47 tag; empty if unknown."""
    flags: Disposition = NONE
    codec: str = ""
    """Matroska's name of a subtitle codec that FFmpeg does not know."""
    private: bytes = b""
    """Its CodecPrivate."""
    disabled: bool = False
    """Whether Matroska says that players must not use the track (FlagEnabled; RFC 9559, 5.1.4.1.4)."""

    def held_by(self, container: Container) -> Disposition:
        """Return the flags that the track has in the container, where `_ALIKE` flags replace each other."""
        held, flags = _HELD[container.muxer], self.flags
        for flag, alike in _ALIKE.items():
            if flag in flags and flag not in held:
                flags |= alike
        return flags & (held | _OF_PICTURES)

    @property
    def names(self) -> frozenset[str]:
        """FFmpeg's names of the flags, one for those that are alike, and `DISABLED`."""
        flags = self.flags
        for flag, alike in _ALIKE.items():
            flags = flags & ~flag | alike if flag in flags else flags
        named = {flag.name for flag in flags if flag.name}
        return frozenset(named | ({DISABLED} if self.disabled else set()))

    def lost_in(self, container: Container) -> list[str]:
        """Return FFmpeg's names of the flags that the container does not support."""
        kept = self.held_by(container)
        near = _all(*(flag for flag, alike in _ALIKE.items() if alike in kept))
        lost = self.flags & ~(kept | near | _OF_PICTURES)
        return [flag.name.replace("_", " ") for flag in lost if flag.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Marks that must be written into a track of the finished file."""

    place: str
    """A placeholder at the end of the track's title; its length is the space for what is written."""
    letters: str = ""
    """Three letters for MOV; FFmpeg itself writes only the languages of the old Macintosh language codes."""
    language: str = ""
    """A BCP 47 tag."""
    flags: Disposition = NONE
    disabled: bool = False
    """Whether Matroska must say that the track is not used, or MP4 that it is not shown by default."""
    codec: str = ""
    """Matroska's name of the codec, in place of that of which FFmpeg takes the track to be."""
    private: bytes = b""
    """Its CodecPrivate."""
    extras: Extras = field(default_factory=Extras)
    """Chapters and tags of Matroska, for the file and not for a track."""
    box: bytes = b""
    """A box for the end of an MP4 or MOV file's index."""


def read_marks(path: Path, media: InputContainer) -> dict[int, TrackMarks]:
    """Return the marks of each stream of a file, by its index.

    Args:
        path: Path of the file.
        media: The same file, open.
    """
    found: dict[int, TrackMarks] = {}
    if not is_pipe(path):
        with open_bytes(path) as file, suppress(ValueError, OSError):  # a damaged file has no marks
            if "matroska" in media.format.name:
                found = _of_matroska(file, media)
            elif "mov" in media.format.name.split(","):
                found = _of_mp4(file, media)
    return {stream.index: _together(stream, found.get(stream.index)) for stream in media.streams}


def _together(stream: Stream, found: TrackMarks | None) -> TrackMarks:
    known = found or TrackMarks()
    language = known.language or tag_of(stream.metadata.get("language", ""))
    return replace(known, language=language, flags=stream.disposition | known.flags)


def _of_matroska(file: BinaryIO, media: InputContainer) -> dict[int, TrackMarks]:
    """Return the languages of the tracks; FFmpeg's streams are in the same order."""
    tracks = next((p for p in children(file, *span(segment_of(file))) if p.id == TRACKS), None)
    found: list[TrackMarks] = []
    for entry in walk(file, tracks, TRACK_ENTRY) if tracks is not None else ():
        kinds = [uint_of(file, element) for element in walk(file, entry, TRACK_TYPE)]
        if _SHOWN_TYPES.intersection(kinds) and any(walk(file, entry, CODEC_ID)):
            found.append(_of_entry(file, entry))
    pairs = list(zip(media.streams, found, strict=False))
    return {stream.index: mark if _is_unknown(stream) else replace(mark, codec="") for stream, mark in pairs}


def _of_entry(file: BinaryIO, entry: Element) -> TrackMarks:
    """Return language and codec of a track, of the codec only what can be copied as it is."""
    names = [text_of(file, e) for e in walk(file, entry, LANGUAGE_BCP47) if e.size <= _LONGEST_TAG]
    codecs = [text_of(file, e) for e in walk(file, entry, CODEC_ID) if e.size <= _LONGEST_TAG]
    private = next((e for e in walk(file, entry, CODEC_PRIVATE) if e.size <= _LONGEST_PRIVATE), None)
    header = b"" if private is None else bytes_of(file, private)
    return TrackMarks(
        language=tag_of(names[0]) if names else "",
        codec=codecs[0] if codecs else "",
        private=header,
        disabled=0 in [uint_of(file, element) for element in walk(file, entry, ENABLED)],
    )


def _is_unknown(stream: Stream) -> bool:
    """Return whether a stream has subtitles of a codec that FFmpeg does not know."""
    return stream.type == "subtitle" and getattr(stream, "codec_context", None) is None


def _of_mp4(file: BinaryIO, media: InputContainer) -> dict[int, TrackMarks]:
    """Return extended languages and media characteristics, by the tracks' numbers."""
    numbers = {stream.id: stream.index for stream in media.streams}
    size = file.seek(0, 2)
    found = {}
    for start, end in find_boxes(file, 0, size, b"moov", b"trak"):
        heads = list(_contents(file, start, end, b"tkhd"))
        head = heads[0] if heads else bytes(24)
        number = int.from_bytes(head[20:24] if head[:1] == b"\1" else head[12:16], "big")
        extended = _contents(file, start, end, b"mdia", b"elng")
        tags = [tag_of(text[4:].decode("utf-8", "replace")) for text in extended]
        users = list(_contents(file, start, end, b"udta"))
        marked = [inside for user in users for kind, inside in split_boxes(user)[0] if kind == b"tagc"]
        names = (inside.decode("utf-8", "replace").strip("\0") for inside in marked)
        flags = _all(*(_MARKED[name] for name in names if name in _MARKED))
        if number in numbers:
            found[numbers[number]] = TrackMarks(language=tags[0] if tags else "", flags=flags)
    return found


def _contents(file: BinaryIO, start: int, end: int, *path: bytes) -> Iterator[bytes]:
    for begin, stop in find_boxes(file, start, end, *path):
        file.seek(begin)
        yield file.read(min(stop - begin, MAX_BOX))


def apply_marks(made: Stream, marks: TrackMarks, container: Container, *, box: bytes = b"") -> Pending | None:
    """Set the marks of a track that FFmpeg can write; return those that must be written into the finished
    file.

    Args:
        made: A stream of the output, whose header is not written yet; its title may get a placeholder.
        marks: Of the source's stream.
        container: Of the output.
        box: For the end of the index, written together with the marks.
    """
    name = made.metadata.get("language", "")
    if len(name) == 3 and name.isascii():
        made.metadata["language"] = name.lower()
    elif marks.language:
        mp4 = container.family == "mp4"
        made.metadata["language"] = three_letters(marks.language, terminology=mp4)
    flags = made.disposition = marks.held_by(container)
    language = marks.language if says_more(marks.language) else ""
    if container.muxer == "mp4":
        flags &= Disposition.original
    unwritten = flags & ~(Disposition.default | _OF_PICTURES) if container.family == "mp4" else NONE
    letters = made.metadata.get("language", "") if container.muxer == "mov" else ""
    letters = letters if len(letters) == 3 and letters != "und" else ""
    own = container.muxer == "matroska" and bool(marks.codec)
    # FFmpeg's muxer enables the first subtitles even if none are shown by default.
    hidden = container.family == "mp4" and made.type == "subtitle" and Disposition.default not in marks.flags
    off = marks.disabled or hidden
    if not (letters or language or unwritten or box or own or off):
        return None
    private = marks.private if own else b""
    place = f"~{made.index:04d}{'~' * (_ROOM + len(box) + len(private))}"
    made.metadata["title"] = made.metadata.get("title", "") + place
    pending = Pending(place=place, letters=letters, language=language, flags=unwritten, disabled=off, box=box)
    return replace(pending, codec=marks.codec, private=private) if own else pending


def lost_marks(marks: TrackMarks, label: str, container: Container) -> str | None:
    """Return a sentence for the flags of a track that a container does not support, or None.

    Args:
        marks: Of the source's stream.
        label: Name of the stream in the sentence.
        container: Of the output.
    """
    lost = marks.lost_in(container)
    if not lost:
        return None
    others = [suffix for suffix in (".mkv", ".mp4") if not marks.lost_in(CONTAINERS[suffix])]
    remedy = f"write to {others[0]} to keep it" if others else "no container that vsr writes does"
    return f"{label} is marked as {', '.join(lost)}, which {container.name} does not support; {remedy}"
