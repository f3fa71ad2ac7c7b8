"""Chapters and tags of Matroska go from file to file whole: editions, levels, languages, flags."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import pytest

from tests import judges
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip
from vsr.media.audit import verify
from vsr.media.formats.matroska import SEGMENT, TAGS
from vsr.media.formats.matroska_extras import ATOM, CHAPTERS, EDITION, Extras, read_extras
from vsr.media.formats.matroska_track import element_of

FAR = 2**63 + 11
"""A number of a chapter, of which FFmpeg would keep 32 bits."""


def element(name: str, *inside: str) -> str:
    return f"<{name}>{''.join(inside)}</{name}>"


def name(text: str, language: str) -> str:
    return element("ChapterDisplay", element("ChapterString", text), element("ChapterLanguage", language))


def chapter(uid: int, start: int, end: int, *inside: str) -> str:
    """From and to in seconds."""
    times = element("ChapterTimeStart", f"00:00:0{start}.0"), element("ChapterTimeEnd", f"00:00:0{end}.0")
    return element("ChapterAtom", element("ChapterUID", str(uid)), *times, *inside)


SCENES = [chapter(2, 0, 1, name("Scene 1", "eng")), chapter(3, 1, 2, name("Scene 2", "eng"))]
FILM = element(
    "EditionEntry",
    element("EditionUID", "100"),
    chapter(FAR, 0, 2, name("Part", "eng"), name("Teil", "ger"), *SCENES),
    chapter(4, 2, 4, name("End", "eng"), element("ChapterFlagHidden", "1")),
)
CUT = element(
    "EditionEntry",
    element("EditionUID", "200"),
    element("EditionFlagOrdered", "1"),
    chapter(11, 2, 4, name("First the end", "eng")),
    chapter(12, 0, 2, name("Then the rest", "eng")),
)


def simple(key: str, value: str, *inside: str) -> str:
    return element("Simple", element("Name", key), element("String", value), *inside)


def tag(level: int, *inside: str, chapter: int = 0) -> str:
    of_chapter = element("ChapterUID", str(chapter)) if chapter else ""
    return element("Tag", element("Targets", element("TargetTypeValue", str(level)), of_chapter), *inside)


SERIES = (
    tag(70, simple("TITLE", "Series", element("TagLanguage", "eng"))),
    tag(60, simple("PART_NUMBER", "2")),
    tag(50, *(simple("ACTOR", who, simple("CHARACTER", whom)) for who, whom in [("Ann", "A"), ("Bob", "B")])),
    tag(30, simple("SUBTITLE", "of a chapter"), chapter=FAR),
)


def film(folder: Path, chapters: Sequence[str], tags: Sequence[str] = ()) -> Path:
    clip = make_clip(
        folder / "in.mkv", frames=100, audio=[Audio()], attachments=[("f.ttf", "font/ttf", b"x")]
    )
    write(clip, "Chapters", chapters)
    write(clip, "Tags", tags)
    return clip


def write(clip: Path, root: str, parts: Sequence[str]) -> None:
    """Replace the chapters or tags of a file, unless there are no `parts`."""
    path = clip.with_name(f"{root}.xml")
    path.write_text(f'<?xml version="1.0"?>\n{element(root, *parts)}', encoding="utf-8")
    if parts:
        where = str(path) if root == "Chapters" else f"all:{path}"
        judges.run("mkvpropedit", str(clip), f"--{root.lower()}", where)


def chapters_of(path: Path) -> str:
    return judges.run("mkvextract", str(path), "chapters", "-")


def tags_of(path: Path) -> list[str]:
    """Tags of the file and its chapters, by mkvextract."""
    parts = judges.run("mkvextract", str(path), "tags", "-").split("<Tag>")[1:]
    own = [part for part in parts if "TrackUID" not in part and "<Name>ENCODER" not in part]
    return [part.removesuffix("</Tags>\n").rstrip() for part in own]


def test_editions_nested_chapters_names_and_flags_are_kept(tmp_path: Path) -> None:
    source = film(tmp_path, [FILM, CUT])
    out = pass_through(source, tmp_path / "out.mkv")
    assert chapters_of(out.path) == chapters_of(source)
    assert "Teil" in chapters_of(source), "mkvextract reads what the test wrote"
    assert judges.mkvmerge(out.path)["chapters"] == judges.mkvmerge(source)["chapters"]
    with av.open(str(out.path)) as box:
        assert [stream.type for stream in box.streams] == ["video", "audio", "attachment"]
        assert sum(1 for _ in box.decode(video=0)) == 100


def test_verify_compares_editions_nested_chapters_and_layered_tags(tmp_path: Path) -> None:
    source = film(tmp_path, [FILM, CUT], SERIES)
    result = pass_through(source, tmp_path / "out.mkv").path

    def lost() -> list[str]:
        return [line for line in verify(source, result).lost if line.startswith(("chapters", "tags"))]

    assert lost() == []
    changes = {
        "chapters: edition 2, ordered > First the end (eng) missing, and 1 more": [FILM],
        "chapters: edition 1 > Part (eng) / Teil (ger) missing": [FILM.replace("Teil", "Tail"), CUT],
        "chapters: edition 1 > End (eng), hidden missing": [
            FILM.replace(">1</ChapterFlagHidden", ">0</ChapterFlagHidden"),
            CUT,
        ],
        "Teil (ger) > Scene 2 (eng) missing": [FILM.replace("Scene 2", "Scene 3"), CUT],
        "Teil (ger) > Scene 2 (eng) at another time": [
            FILM.replace("00:00:01.0</ChapterTimeStart", "00:00:01.5</ChapterTimeStart"),
            CUT,
        ],
    }
    for said, chapters in changes.items():
        write(result, "Chapters", chapters)
        assert any(said in line for line in lost()), (said, lost())
    write(result, "Chapters", [FILM, CUT])
    write(result, "Tags", [part.replace("Bob", "Bo") for part in SERIES])
    assert any("tags: level 50 > ACTOR = Bob missing" in line for line in lost()), lost()


def test_tags_keep_levels_nesting_and_each_of_one_name(tmp_path: Path) -> None:
    source = film(tmp_path, [FILM], SERIES)
    out = pass_through(source, tmp_path / "out.mkv")
    assert tags_of(out.path) == tags_of(source)
    assert sum("ACTOR" in part for part in tags_of(source)) == 1
    assert "VSR_SPACE" not in judges.run("mkvextract", str(out.path), "tags", "-")


def test_a_range_trims_chapters_within_chapters(tmp_path: Path) -> None:
    source = film(tmp_path, [FILM, CUT])
    out = pass_through(source, tmp_path / "out.mkv", start=Fraction(3, 2), end=Fraction(2))
    text = chapters_of(out.path)
    words = ("Teil", "Scene 1", "Scene 2", "End", "Then the rest")
    assert [f">{word}<" in text for word in words] == [True, False, True, False, True]
    assert text.count("<ChapterTimeEnd>00:00:00.500000000") == 3
    assert "<ChapterTimeStart>00:00:01" not in text


def test_mp4_says_what_it_leaves_out_and_nothing_of_plain_chapters(tmp_path: Path) -> None:
    source = film(tmp_path, [FILM])
    assert any("nested chapters" in text for text in pass_through(source, tmp_path / "a.mp4").warnings)
    source = film(tmp_path, [element("EditionEntry", chapter(1, 0, 1, name("One", "eng")))])
    assert not any("chapters" in text for text in pass_through(source, tmp_path / "b.mp4").warnings)


def test_what_ffmpeg_wrote_needs_nothing(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mkv",
        frames=5,
        chapters=[(0, 1, "One"), (1, 2, "Two")],
        metadata={"title": "T", "artist": "A"},
    )
    assert read_extras(clip, stale=frozenset({"encoder", "duration"})) == Extras()


def test_damaged_chapters_and_tags_do_no_harm(tmp_path: Path) -> None:
    random = Random(1)
    whole = film(tmp_path, [FILM, CUT], SERIES).read_bytes()
    for number in range(6):
        data = bytearray(whole)
        for mark in (CHAPTERS, TAGS):
            at = data.rindex(mark.to_bytes(4, "big")) + 12
            for _ in range(4):
                data[at + random.randrange(min(300, len(data) - at))] = random.randrange(256)
        source = tmp_path / f"{number}.mkv"
        source.write_bytes(data)
        out = pass_through(source, tmp_path / f"out{number}.mkv")
        assert judges.mkvmerge(out.path)["container"]["recognized"]


def test_chapters_a_thousand_levels_deep_are_not_followed(tmp_path: Path) -> None:
    deep = b""
    for _ in range(1500):
        deep = element_of(ATOM, deep)
    clip = make_clip(tmp_path / "a.mkv", frames=3)
    data, added = clip.read_bytes(), element_of(CHAPTERS, element_of(EDITION, deep))
    at = data.index(SEGMENT.to_bytes(4, "big")) + 5
    size = int.from_bytes(data[at : at + 7], "big") + len(added)
    clip.write_bytes(data[:at] + size.to_bytes(7, "big") + data[at + 7 :] + added)
    assert read_extras(clip, stale=frozenset()) == Extras()


OTHER = "ab" * 16
"""A UID of another file."""
LINKS = [
    ["--edit", "info", "--set", f"prev-uid={OTHER}"],
    ["--edit", "info", "--set", f"next-uid={OTHER}"],
    [],
]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("target", "words"), [(".mkv", "mkvpropedit"), (".mp4", "does not support links")])
def test_links_with_other_files_are_named(tmp_path: Path, target: str, words: str, link: list[str]) -> None:
    opening = chapter(5, 0, 1, element("ChapterSegmentUID", OTHER), name("Opening", "eng"))
    edition = element("EditionEntry", element("EditionFlagOrdered", "1"), opening, chapter(6, 1, 4))
    source = film(tmp_path, [] if link else [edition])
    if link:
        judges.run("mkvpropedit", str(source), *link)
    warnings = pass_through(source, tmp_path / f"out{target}").warnings
    assert len([line for line in warnings if words in line]) == 1


def test_a_file_without_links_is_not_said_to_have_them(tmp_path: Path) -> None:
    warnings = pass_through(film(tmp_path, [FILM, CUT]), tmp_path / "out.mkv").warnings
    assert not [line for line in warnings if "link" in line]
