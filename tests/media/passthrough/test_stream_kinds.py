"""Streams other than the video are copied, converted or left out with a warning."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe, mediainfo
from tests.media.pass_through import Track, pass_through, settings_for, tracks
from tests.media_maker import Audio, Subtitle, make_clip, pts_of
from vsr.errors import ConfigError
from vsr.media.audit import verify
from vsr.media.passthrough.stream_kinds import StreamPlan
from vsr.media.passthrough.stream_plan import plan_streams

RICH = {
    "frames": 30,
    "audio": [Audio(codec="aac", language="eng"), Audio(codec="libopus", language="deu", title="Kommentar")],
    "subtitles": [
        Subtitle(codec="subrip", language="fra", title="complet"),
        Subtitle(codec="webvtt", language="jpn", lines=((0.1, 0.4, "一"), (0.4, 0.9, "二 ü"))),
    ],
    "attachments": [("font.ttf", "font/ttf", b"\x00\x01font"), ("b.txt", "text/plain", b"text")],
    "chapters": [(0.0, 0.5, "one"), (0.5, 1.2, "zwei ü")],
    "cover": True,
    "metadata": {"title": "Tïtle", "artist": "me"},
}


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("rich") / "rich.mkv", **RICH)


def ways(source: Path, suffix: str) -> list[tuple[str, str, str]]:
    plan = plan_streams(source, video_index=0, target=Path(f"out{suffix}"))
    return [(stream.kind, stream.way, stream.to) for stream in plan.kept]


def converted_to(plan: StreamPlan) -> list[str]:
    return [stream.to for stream in plan.kept if stream.way == "convert"]


def test_matroska_keeps_everything_without_a_warning(rich: Path) -> None:
    plan = plan_streams(rich, video_index=0, target=Path("out.mkv"))
    assert len(plan.kept) == 7
    assert converted_to(plan) == []
    assert plan.warnings == ()


def test_mp4_converts_text_and_names_what_is_left_out_with_a_remedy(rich: Path) -> None:
    plan = plan_streams(rich, video_index=0, target=Path("out.mp4"))
    assert converted_to(plan) == ["mov_text", "mov_text"]
    assert [stream.kind for stream in plan.dropped] == ["attachment", "attachment"]
    assert len(plan.warnings) == 3
    assert all(".mkv" in warning for warning in plan.warnings)
    assert "font.ttf" in plan.warnings[0]


def test_webm_leaves_out_aac_and_covers_and_turns_text_into_webvtt(rich: Path) -> None:
    plan = plan_streams(rich, video_index=0, target=Path("out.webm"))
    assert [(s.codec, s.way) for s in plan.kept if s.kind == "audio"] == [("opus", "copy")]
    assert converted_to(plan) == ["webvtt"]
    assert {s.kind for s in plan.dropped} == {"audio", "attachment", "video"}


def test_an_unknown_suffix_lists_the_known_ones(rich: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.mkv, \.webm, \.mp4"):
        plan_streams(rich, video_index=0, target=Path("out.avi"))


def test_a_further_video_stream_is_left_out_with_one_warning(tmp_path: Path) -> None:
    two = with_two_pictures(tmp_path / "two.mkv")
    plan = plan_streams(two, video_index=1, target=Path("out.mkv"))
    assert plan.kept == ()
    assert len(plan.warnings) == 1
    assert "`video_stream=0`" in plan.warnings[0]


def with_two_pictures(path: Path) -> Path:
    single = make_clip(path.with_name("single.mkv"), frames=3)
    with av.open(str(single)) as box, av.open(str(path), "w") as out:
        stream = box.streams.video[0]
        copies = [out.add_stream_from_template(stream, opaque=True) for _ in range(2)]
        for packet in [p for p in box.demux(stream) if p.size]:
            data, pts, dts = bytes(packet), packet.pts, packet.dts
            for copy in copies:
                twin = av.Packet(data)
                twin.pts, twin.dts, twin.time_base, twin.is_keyframe = (
                    pts,
                    dts,
                    stream.time_base,
                    packet.is_keyframe,
                )
                twin.stream = copy
                out.mux(twin)
    return path


def same(one: list[Track], other: list[Track]) -> bool:
    return [(t.codec, t.language, t.digest) for t in one] == [(t.codec, t.language, t.digest) for t in other]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_audio_packets_are_copied_with_their_times(rich: Path, tmp_path: Path, suffix: str) -> None:
    out = pass_through(rich, tmp_path / f"out{suffix}")
    before, after = tracks(rich, "audio"), tracks(out.path, "audio")
    assert same(before, after)
    for b, a in zip(before, after, strict=True):
        late = [time - out.report.shift - was for time, was in zip(a.times, b.times, strict=True)]
        # MP4 has the exact start of the priming, which Matroska rounds to its tick
        assert abs(late[0]) <= (a.tick + b.tick) / 2
        assert max(map(abs, late[1:])) <= a.tick / 2


def test_matroska_to_matroska_keeps_texts_attachments_and_flags(rich: Path, tmp_path: Path) -> None:
    out = pass_through(rich, tmp_path / "out.mkv")
    assert out.warnings == []
    before, after = tracks(rich, "subtitle"), tracks(out.path, "subtitle")
    assert same(before, after)
    assert [t.times for t in before] == [t.times for t in after]
    assert [t.durations for t in before] == [t.durations for t in after]
    with av.open(str(rich)) as a, av.open(str(out.path)) as b:
        assert files(a) == files(b)
        assert [s.disposition for s in a.streams] == [s.disposition for s in b.streams]
        assert [s.metadata.get("title") for s in a.streams] == [s.metadata.get("title") for s in b.streams]
        assert a.chapters() == b.chapters()
        assert b.metadata["title"] == "Tïtle"
        assert b.metadata["ARTIST"] == "me"
    assert tracks(rich, "video")[1].payloads == tracks(out.path, "video")[1].payloads, "the cover"


def files(box: av.container.InputContainer) -> list[tuple[str | None, str | None, bytes]]:
    return [(s.name, s.mimetype, s.data) for s in box.streams.attachments]


def test_matroska_to_mp4_keeps_texts_cover_chapters_and_titles(rich: Path, tmp_path: Path) -> None:
    out = pass_through(rich, tmp_path / "out.mp4")
    texts = tracks(out.path, "subtitle")
    assert [t.language for t in texts] == ["fra", "jpn"]
    assert [shown(t, out.report.shift) for t in texts] == [
        [(0.0, 0.1, "first"), (0.2, 0.3, "second ü")],
        [(0.1, 0.4, "一"), (0.4, 0.9, "二 ü")],
    ]
    assert tracks(rich, "video")[1].payloads == tracks(out.path, "video")[1].payloads, "the cover"
    with av.open(str(out.path)) as box:
        assert [c["metadata"]["title"] for c in box.chapters()] == ["one", "zwei ü"]
        assert box.metadata["title"] == "Tïtle"
        assert box.streams.audio[1].metadata["handler_name"] == "Kommentar"


def shown(track: Track, shift: Fraction = Fraction(0)) -> list[tuple[float, float, str]]:
    """Return QuickTime texts that are not blank: start, end, text."""
    rows = zip(track.times, track.durations, track.payloads, strict=True)
    return [
        (float(round(t - shift, 4)), float(round(t + d - shift, 4)), payload[2:].decode())
        for t, d, payload in rows
        if payload[2:]
    ]


def test_texts_go_from_mp4_to_matroska_packet_by_packet(tmp_path: Path) -> None:
    lines = ((0.2, 0.4, "a"), (0.4, 0.5, "b ü"), (0.8, 0.9, "c"))
    clip = make_clip(tmp_path / "in.mp4", frames=30, subtitles=[Subtitle(codec="mov_text", lines=lines)])
    out = pass_through(clip, tmp_path / "out.mkv")
    before, after = tracks(clip, "subtitle")[0], tracks(out.path, "subtitle")[0]
    assert before.times == after.times
    assert before.durations == after.durations
    assert after.codec == "srt"
    assert [p.strip() for p in after.payloads] == [p[2:] for p in before.payloads]


def test_texts_at_the_same_time_are_joined_in_mp4(tmp_path: Path) -> None:
    """This is common in ASS; two packets of the same time would stop MP4's muxer."""
    lines = ((0.1, 0.9, "sign"), (0.1, 0.3, "a"), (0.3, 0.5, "b"))
    clip = make_clip(tmp_path / "in.mkv", frames=30, subtitles=[Subtitle(lines=lines)])
    out = pass_through(clip, tmp_path / "out.mp4")
    assert shown(tracks(out.path, "subtitle")[0]) == [
        (0.1, 0.3, "sign\na"),
        (0.3, 0.5, "sign\nb"),
        (0.5, 0.9, "sign"),
    ]


def test_audio_that_repeats_its_time_is_moved_with_a_warning(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=30, audio=[Audio(codec="flac")])
    twice = tmp_path / "twice.mkv"
    with av.open(str(clip)) as box, av.open(str(twice), "w") as out:
        pairs = {s.index: out.add_stream_from_template(s, opaque=True) for s in box.streams}
        for packet in [p for p in box.demux() if p.size]:
            if packet.stream.type == "audio":
                packet.pts = packet.dts = packet.pts // 200 * 200
            packet.stream = pairs[packet.stream_index]
            out.mux(packet)
    passed = pass_through(twice, tmp_path / "out.mp4")
    assert any("run back in time or repeat" in warning for warning in passed.warnings)
    assert tracks(passed.path, "audio")[0].digest == tracks(twice, "audio")[0].digest


def test_texts_go_from_mp4_to_mp4_without_more_blank_packets(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=30, subtitles=[Subtitle(codec="mov_text")])
    out = pass_through(clip, tmp_path / "out.mp4")
    assert tracks(clip, "subtitle")[0].payloads == tracks(out.path, "subtitle")[0].payloads


def test_webvtt_survives_in_webm(rich: Path, tmp_path: Path) -> None:
    out = pass_through(rich, tmp_path / "out.webm", settings=settings_for("libvpx-vp9"))
    payloads = [t.payloads for t in tracks(out.path, "subtitle")]
    assert payloads == [[b"first", "second ü".encode()], ["一".encode(), "二 ü".encode()]]


def test_metadata_that_mp4_does_not_support_is_named(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2, metadata={"title": "T", "mood": "blue"})
    out = pass_through(clip, tmp_path / "out.mp4")
    assert [w for w in out.warnings if "MOOD" in w]
    assert "title" not in out.warnings[0]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_tags_of_the_video_in_ogg_are_the_files(tmp_path: Path, suffix: str) -> None:
    """Ogg has tags of streams only; its tags of the film were a track's name, or lost."""
    tags = {"title": "T ü", "artist": "A"}
    clip = make_clip(tmp_path / "in.ogv", codec="libvpx", frames=2, metadata=tags)
    out = pass_through(clip, tmp_path / f"out.{suffix}")
    found = {key.lower(): value for key, value in ffprobe(out.path)["format"]["tags"].items()}
    assert found | tags == found
    assert not [warning for warning in out.warnings if "metadata" in warning]


def test_a_stream_without_a_decoder_is_named_by_its_codec(tmp_path: Path) -> None:
    video = make_clip(tmp_path / "video.mkv", frames=25)
    source = tmp_path / "in.ts"
    with av.open(str(video)) as media, av.open(str(source), "w") as made:
        shown = made.add_stream_from_template(media.streams.video[0], opaque=True)
        teletext = made.add_mux_stream("dvb_teletext", time_base=Fraction(1, 90000))
        teletext.metadata["language"] = "nor"
        made.start_encoding()
        packets = [packet for packet in media.demux(video=0) if packet.size]
        text = av.Packet(b"\x10" + (b"\xff\x2c" + b"\xff" * 44) * 3)
        text.pts = text.dts = 0
        for packet, stream in [*((packet, shown) for packet in packets), (text, teletext)]:
            packet.stream = stream
            made.mux(packet)
    warnings = pass_through(source, tmp_path / "out.mkv").warnings
    assert any("stream 1 (subtitle dvb_teletext nor) is left out" in warning for warning in warnings)


def film_with_ttml(folder: Path, *, chapters: bool = False) -> Path:
    """Write an MP4 file with texts for which FFmpeg has no decoder."""
    video, source = make_clip(folder / "video.mkv", frames=25), folder / "in.mp4"
    with av.open(str(video)) as media, av.open(str(source), "w") as made:
        shown = made.add_stream_from_template(media.streams.video[0], opaque=True)
        texts = made.add_mux_stream("ttml", time_base=Fraction(1, 1000))
        times = {"start": 0, "end": 900, "time_base": Fraction(1, 1000)}
        made.set_chapters([{"id": 1, "metadata": {"title": "one"}, **times}] if chapters else [])
        made.start_encoding()
        packets = [(packet, shown) for packet in media.demux(video=0) if packet.size]
        for begin in (0, 400):
            text = av.Packet(f'<tt xmlns="http://www.w3.org/ns/ttml"><body>{begin}</body></tt>'.encode())
            text.pts, text.dts, text.duration, text.time_base = begin, begin, 400, Fraction(1, 1000)
            packets.append((text, texts))
        for packet, stream in packets:
            packet.stream = stream
            made.mux(packet)
    return source


def test_ttml_is_copied_to_mp4(tmp_path: Path) -> None:
    """FFmpeg has no decoder for it, but MP4 holds it as `stpp` (ISO/IEC 14496-30)."""
    source = film_with_ttml(tmp_path)
    passed = pass_through(source, tmp_path / "out.mp4")
    assert not any("ttml" in warning for warning in passed.warnings)
    assert mediainfo(passed.path)[-1]["CodecID"] == mediainfo(source)[-1]["CodecID"] == "stpp"
    before, after = (
        ffprobe(path, "-show_packets", "-show_data_hash", "md5", "-select_streams", "1")["packets"]
        for path in (source, passed.path)
    )
    assert len(after) == 2
    for key in ("pts_time", "duration_time", "data_hash"):
        assert [packet[key] for packet in after] == [packet[key] for packet in before]
    assert not any("subtitle" in line for line in verify(source, passed.path).lost)


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_ttml_is_left_out_where_only_mp4_has_it(tmp_path: Path, suffix: str) -> None:
    source = film_with_ttml(tmp_path)
    (warning,) = [w for w in pass_through(source, tmp_path / f"out.{suffix}").warnings if "ttml" in w]
    assert warning.startswith("stream 1 (subtitle ttml) is left out")
    assert warning.endswith("does not support it; write to .mp4 to keep it")


@pytest.mark.parametrize("tag", ["wvtt", "mebx"])
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("chapters", [False, True])
def test_data_that_ffmpeg_does_not_know_are_named_before_the_work(
    tmp_path: Path, tag: str, suffix: str, chapters: bool
) -> None:
    """WebVTT of MP4, the metadata of phones: QuickTime's muxer would write them without a name."""
    source = film_with_ttml(tmp_path, chapters=chapters)
    source.write_bytes(source.read_bytes().replace(b"stpp", tag.encode()))
    plan = plan_streams(source, video_index=0, target=Path(f"out.{suffix}"))
    (warning,) = plan.warnings
    assert warning.startswith(f"stream 1 (data {tag}) is left out: FFmpeg does not know it")


def test_a_clip_includes_packets_that_overlap_it(tmp_path: Path) -> None:
    lines = ((0.1, 0.3, "before"), (0.3, 0.7, "into"), (0.8, 1.0, "inside"), (1.4, 1.6, "after"))
    clip = make_clip(
        tmp_path / "in.mkv",
        frames=50,
        audio=[Audio(codec="flac")],
        subtitles=[Subtitle(lines=lines)],
        chapters=[(0.0, 0.4, "gone"), (0.4, 1.0, "cut"), (1.0, 2.0, "too")],
    )
    out = pass_through(clip, tmp_path / "out.mkv", start=Fraction("0.5"), end=Fraction("1.3"))
    text = tracks(out.path, "subtitle")[0]
    shift = out.report.shift + Fraction("0.5")
    assert [p.decode() for p in text.payloads] == ["into", "inside"]
    assert [round(float(t - shift), 3) for t in text.times] == [0.0, 0.3]
    assert [round(float(d), 3) for d in text.durations] == [0.2, 0.2]
    audio = tracks(out.path, "audio")[0]
    assert 0.8 <= audio.times[-1] + audio.durations[-1] - audio.times[0] <= 0.8 + 2 * audio.durations[0]
    with av.open(str(out.path)) as box:
        marks = [(c["metadata"]["title"], c["start"] * c["time_base"] - shift) for c in box.chapters()]
    assert marks == [("cut", 0), ("too", Fraction("0.5"))]


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("container", [".avi", ".mkv"])
def test_pcm_without_a_channel_layout_goes_into_mp4(
    tmp_path: Path, container: str, suffix: str, layout: str
) -> None:
    clip = make_clip(
        tmp_path / f"in{container}", codec="mpeg4", audio=[Audio(codec="pcm_s16le", layout=layout)]
    )
    with av.open(str(clip)) as box:
        named = not box.streams.audio[0].layout.name.endswith("channels")
    assert named == (container == ".avi" and layout == "5.1"), "most sources only count them"
    out = pass_through(clip, tmp_path / f"out{suffix}").path
    assert tracks(out, "audio")[0].digest == tracks(clip, "audio")[0].digest


def test_audio_that_only_the_mp4_index_refuses_is_named_before_the_work(tmp_path: Path) -> None:
    clip = tmp_path / "in.mkv"
    with av.open(str(clip), "w") as box, av.open(str(make_clip(tmp_path / "film.mkv"))) as film:
        video = box.add_stream_from_template(film.streams.video[0])
        audio = box.add_stream("pcm_s16le", rate=48000)
        audio.layout = "10 channels"  # more than any standard channel layout
        packets = [packet for packet in film.demux() if packet.size]
        packets.insert(0, av.Packet(bytes(20 * 48000)))
        packets[0].pts = packets[0].dts = 0
        packets[0].time_base = Fraction(1, 48000)
        for packet in packets:
            packet.stream = audio if packet is packets[0] else video
            box.mux(packet)
    plan = plan_streams(clip, video_index=0, target=Path("out.mp4"))
    assert [stream.kind for stream in plan.dropped] == ["audio"]
    (warning,) = plan.warnings
    assert ".mkv" in warning
    assert len(pts_of(pass_through(clip, tmp_path / "out.mp4").path)) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_timecode_track_is_made_again_from_its_tag(tmp_path: Path, suffix: str) -> None:
    clip = make_clip(tmp_path / "in.mov", video_metadata={"timecode": "01:02:03:04"})
    (before,) = tracks(clip, "data")
    passed = pass_through(clip, tmp_path / f"out{suffix}")
    assert passed.warnings == []
    (after,) = tracks(passed.path, "data")
    assert after.payloads == before.payloads


def test_audio_with_a_damaged_first_packet_is_kept(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.ts", frames=30, audio=[Audio()])
    data = bytearray(clip.read_bytes())
    data[data.index(b"\xff\xf1\x4c") + 2] |= 0x3C  # an invalid sampling rate
    clip.write_bytes(data)
    plan = plan_streams(clip, video_index=0, target=Path("out.mp4"))
    assert [stream.kind for stream in plan.kept] == ["audio"]


@pytest.mark.parametrize(("suffix", "warned"), [(".mp4", True), (".mkv", False)])
def test_an_audio_track_without_packets_is_named_in_mp4(tmp_path: Path, suffix: str, warned: bool) -> None:
    clip = make_clip(tmp_path / "in.mkv", audio=[Audio(), Audio(seconds=0)])
    assert [bool(track.times) for track in tracks(clip, "audio")] == [True, False]
    passed = pass_through(clip, tmp_path / f"out{suffix}")
    assert ["stream 2" in warning for warning in passed.warnings] == [True] * warned
    assert len(tracks(passed.path, "audio")) == 2 - warned


@pytest.mark.parametrize("ends", [0.3, 0.8])
def test_chapters_that_end_before_or_after_the_next_one_begins_are_reported_for_mp4(
    tmp_path: Path, ends: float
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=30, chapters=[(0.0, ends, "a"), (0.5, 1.0, "b")])
    made = [pass_through(source, tmp_path / f"out{suffix}") for suffix in (".mp4", ".mov", ".mkv")]
    assert [any("chapters" in line for line in out.warnings) for out in made] == [True, True, False]
