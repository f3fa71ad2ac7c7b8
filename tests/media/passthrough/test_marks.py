"""Languages with region and script, flags of tracks, and programmes of broadcasts are kept or named."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from tests import judges
from tests.media.pass_through import pass_through, settings_for
from tests.media_maker import Audio, Subtitle, make_clip
from vsr.media.audit import verify
from vsr.media.formats.containers import CONTAINERS
from vsr.media.passthrough.marks import TrackMarks, lost_marks, read_marks
from vsr.media.passthrough.stream_plan import plan_streams


def marked(path: Path, flags: dict[int, Disposition], languages: dict[int, str]) -> Path:
    """Copy a clip with flags and language texts for its streams, by their index."""
    plain = path.with_name(f"plain{path.suffix}")
    make_clip(plain, frames=6, audio=[Audio(), Audio()], subtitles=[Subtitle(), Subtitle()])
    with av.open(str(plain)) as box, av.open(str(path), "w") as out:
        pairs = {s.index: out.add_stream_from_template(s, opaque=True) for s in box.streams}
        for index, made in pairs.items():
            made.disposition = flags.get(index, Disposition(0))
            made.metadata["language"] = languages.get(index, "eng")
        for packet in [p for p in box.demux() if p.size]:
            packet.stream = pairs[packet.stream_index]
            out.mux(packet)
    return path


TAGS = {1: "pt-BR", 2: "es-419", 3: "zh-Hant", 4: "fre"}
"""FFmpeg writes these texts unchanged into Matroska's element Language."""


def languages(path: Path) -> dict[int, str]:
    with av.open(str(path)) as box:
        return {index: marks.language for index, marks in read_marks(path, box).items() if index}


def test_region_and_script_of_a_language_reach_matroska(tmp_path: Path) -> None:
    out = pass_through(marked(tmp_path / "in.mkv", {}, TAGS), tmp_path / "out.mkv").path
    names = [t["properties"] for t in judges.mkvmerge(out)["tracks"]][1:]
    assert [(n["language"], n.get("language_ietf", n["language"])) for n in names] == [
        ("por", "pt-BR"),
        ("spa", "es-419"),
        ("chi", "zh-Hant"),
        ("fre", "fre"),
    ]


@pytest.mark.parametrize("between", [".mp4", ".mov"])
def test_region_and_script_of_a_language_survive_mp4(tmp_path: Path, between: str) -> None:
    first = marked(tmp_path / "in.mkv", {}, TAGS)
    second = pass_through(first, tmp_path / f"second{between}").path
    letters = [s.get("tags", {}).get("language") for s in judges.ffprobe(second)["streams"]][1:]
    assert letters == ["por", "spa", "zho", "fre"]
    assert {index: tag for index, tag in languages(second).items() if index < 4} == {
        index: tag for index, tag in TAGS.items() if index < 4
    }
    third = pass_through(second, tmp_path / "third.mkv").path
    names = [t["properties"].get("language_ietf") for t in judges.mkvmerge(third)["tracks"]]
    assert names[1:4] == ["pt-BR", "es-419", "zh-Hant"]
    assert [line for line in verify(first, third).lost if "language" in line] == []


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
def test_the_video_track_keeps_its_language_beside_its_other_properties(tmp_path: Path, target: str) -> None:
    knobs = {"language": "pt-BR", "sar": Fraction(4, 3), "video_metadata": {"title": "Filme"}}
    source = make_clip(tmp_path / "in.mkv", frames=4, **knobs)
    out = pass_through(source, tmp_path / f"out{target}").path
    with av.open(str(out)) as box:
        assert read_marks(out, box)[0].language == "pt-BR"
        assert box.streams[0].metadata.get("title", "Filme") == "Filme"
    (video,) = judges.ffprobe(out)["streams"]
    assert (video["sample_aspect_ratio"], video["tags"]["language"]) == ("4:3", "por")


TITLES = ["Film", "Surround 5.1", "Kommentar ü"]


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("between", [".mp4", ".mov"])
def test_titles_of_tracks_in_mp4_are_kept(tmp_path: Path, between: str, target: str) -> None:
    tracks = [Audio(title=title) for title in TITLES[1:]]
    source = make_clip(tmp_path / "in.mkv", frames=4, audio=tracks, video_metadata={"title": TITLES[0]})
    first = pass_through(source, tmp_path / f"first{between}")
    second = pass_through(first.path, tmp_path / f"second{target}")
    assert not [line for line in second.warnings if "metadata" in line]
    shown = [
        track["Title"] for track in judges.mediainfo(second.path) if track["@type"] in ("Video", "Audio")
    ]
    # In MP4, mediainfo shows the handler name first, which QuickTime stores in another encoding.
    assert [title.split(" / ")[-1] for title in shown] == TITLES
    assert [line for line in verify(source, second.path).lost if "title" in line] == []
    if target == ".mkv":
        names = [track["properties"].get("track_name") for track in judges.mkvmerge(second.path)["tracks"]]
        assert names == TITLES


def test_verify_finds_titles_of_tracks_that_are_lost(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=4, audio=[Audio(title="Commentary"), Audio(title="5.1")])
    other = make_clip(tmp_path / "other.mkv", frames=4, audio=[Audio(), Audio(title="5.1")])
    assert "audio 0: title '', not 'Commentary'" in verify(source, other).lost
    assert not [line for line in verify(source, other).lost if line.startswith("audio 1: title")]


USES = {
    1: Disposition.default | Disposition.original,
    2: Disposition.comment | Disposition.visual_impaired,
    3: Disposition.forced,
    4: Disposition.hearing_impaired,
}


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
def test_flags_of_tracks_are_kept(tmp_path: Path, target: str) -> None:
    source = marked(tmp_path / "in.mkv", USES, {})
    out = pass_through(source, tmp_path / f"out{target}")
    assert out.warnings == []
    with av.open(str(out.path)) as box:
        found = read_marks(out.path, box)
    for index, flags in USES.items():
        assert flags in found[index].flags, index
    streams = judges.ffprobe(out.path)["streams"]
    assert streams[3]["disposition"]["forced"] == 1
    assert streams[4]["disposition"]["hearing_impaired"] == 1
    assert streams[2]["disposition"]["comment"] == 1
    assert streams[1]["tags"].get("title", "") == "", "the placeholder is removed from the title"


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("shown", [None, 3, 4])
def test_only_subtitles_that_are_shown_by_default_are_so_in_the_result(
    tmp_path: Path, target: str, shown: int | None
) -> None:
    """FFmpeg's muxer enables the first subtitles of MP4 and MOV if none are the default."""
    uses = {index: Disposition.default if index == shown else Disposition(0) for index in (1, 2, 3, 4)}
    source = marked(tmp_path / "in.mkv", uses, {})
    out = pass_through(source, tmp_path / f"out{target}").path
    found = [stream["disposition"]["default"] for stream in judges.ffprobe(out)["streams"]]
    assert found[3:] == [int(shown == 3), int(shown == 4)]


def with_disabled_tracks(path: Path) -> Path:
    """Return a Matroska file of which the first audio, a default one, and the last subtitles are disabled."""
    source = marked(path, USES, {})
    edits = [("--edit", f"track:{number}", "--set", "flag-enabled=0") for number in (2, 5)]
    judges.run("mkvpropedit", str(source), *(word for edit in edits for word in edit))
    return source


def test_disabled_tracks_stay_disabled_in_matroska(tmp_path: Path) -> None:
    source = with_disabled_tracks(tmp_path / "in.mkv")
    out = pass_through(source, tmp_path / "out.mkv").path
    for path in (source, out):
        tracks = [track["properties"] for track in judges.mkvmerge(path)["tracks"]]
        assert [track["enabled_track"] for track in tracks] == [True, False, True, True, False]
    assert [line for line in verify(source, out).lost if "marked" in line] == []
    judges.run("mkvpropedit", str(out), "--edit", "track:2", "--set", "flag-enabled=1")
    assert "audio 0: not marked as disabled" in verify(source, out).lost


@pytest.mark.parametrize("target", [".mp4", ".mov"])
def test_disabled_tracks_are_not_shown_by_default_in_mp4(tmp_path: Path, target: str) -> None:
    source = with_disabled_tracks(tmp_path / "in.mkv")
    out = pass_through(source, tmp_path / f"out{target}").path
    streams = judges.ffprobe(out)["streams"]
    assert [streams[index]["disposition"]["default"] for index in (0, 1, 4)] == [1, 0, 0]
    assert [line for line in verify(source, out).lost if "marked" in line] == []


def test_flags_that_webm_does_not_support_are_named(tmp_path: Path) -> None:
    source = marked(tmp_path / "in.mkv", USES, {})
    out = pass_through(source, tmp_path / "out.webm", settings=settings_for("libvpx-vp9"))
    (reported,) = [warning for warning in out.warnings if "marked" in warning]
    assert "stream 4" in reported
    assert "hearing impaired" in reported
    assert ".mkv" in reported


def test_flags_that_no_container_supports_are_named() -> None:
    marks = TrackMarks(flags=Disposition.karaoke | Disposition.dub)
    assert marks.held_by(CONTAINERS[".mp4"]) == Disposition.dub
    reported = lost_marks(marks, "stream 1", CONTAINERS[".mp4"])
    assert reported is not None
    assert "karaoke" in reported
    assert "no container that vsr writes does" in reported
    assert lost_marks(TrackMarks(flags=Disposition.captions), "stream 1", CONTAINERS[".mkv"]) is None


def crc(data: bytes) -> bytes:
    """CRC-32/MPEG-2."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def section(table: int, number: int, body: bytes) -> bytes:
    """Return a complete PAT or PMT section in the payload of a packet."""
    head = bytes([table]) + (0xB000 | len(body) + 9).to_bytes(2, "big") + number.to_bytes(2, "big")
    whole = head + b"\xc1\0\0" + body
    return (b"\0" + whole + crc(whole)).ljust(184, b"\xff")


def pmt(number: int, streams: list[tuple[int, int, str]]) -> bytes:
    """Return the PMT of a programme of (PID, stream type, language)."""
    body = (0xE000 | streams[0][0]).to_bytes(2, "big") + b"\xf0\0"
    for pid, kind, language in streams:
        marks = b"\x0a\x04" + language.encode().ljust(3, b"\0") + b"\0" if language else b""
        body += (
            bytes([kind])
            + (0xE000 | pid).to_bytes(2, "big")
            + (0xF000 | len(marks)).to_bytes(2, "big")
            + marks
        )
    return section(2, number, body)


def two_programmes(path: Path) -> Path:
    """Write a transport stream of two programmes, each with one video (MPEG-2) and one audio (AAC)."""
    plain = make_clip(path.with_name("plain.ts"), codec="mpeg2video", frames=6, audio=[Audio(), Audio()])
    packets = [plain.read_bytes()[at : at + 188] for at in range(0, plain.stat().st_size, 188)]
    pids = [int.from_bytes(p[1:3], "big") & 0x1FFF for p in packets]
    first = [(0x100, 2, ""), (0x101, 15, "es")]
    second = [(0x200, 2, ""), (0x102, 15, "deu")]
    pat = section(0, 1, bytes.fromhex("0001f0000002f001"))
    out = []
    for packet, pid in zip(packets, pids, strict=True):
        head = packet[:4]
        if pid == 0:
            out.append(head + pat)
        elif pid == 0x1000:
            out.append(head + pmt(1, first))
            out.append(head[:1] + b"\x50\x01" + head[3:] + pmt(2, second))
        else:
            out.append(packet)
            if pid == 0x100:  # the second programme has the same video
                out.append(packet[:1] + bytes([packet[1] & 0xE0 | 0x02]) + packet[2:])
    path.write_bytes(b"".join(out))
    return path


def test_streams_of_another_programme_are_left_out_with_a_warning(tmp_path: Path) -> None:
    source = two_programmes(tmp_path / "two.ts")
    assert len(judges.ffprobe(source, "-show_programs")["programs"]) == 2
    with av.open(str(source)) as box:
        index = {stream.id: stream.index for stream in box.streams}
    for mine, other in pairwise((0x100, 0x200, 0x100)):
        plan = plan_streams(source, video_index=index[mine], target=Path("out.mkv"))
        assert [stream.kind for stream in plan.kept] == ["audio"]
        assert len(plan.warnings) == 2
        assert all(f"`video_stream={index[other]}`" in warning for warning in plan.warnings)


def test_a_language_of_two_letters_gets_three_in_mp4(tmp_path: Path) -> None:
    source = two_programmes(tmp_path / "two.ts")
    out = pass_through(source, tmp_path / "out.mp4", video_stream=0).path
    (audio,) = [s for s in judges.ffprobe(out)["streams"] if s["codec_type"] == "audio"]
    assert audio["tags"]["language"] == "spa"
