"""WebVTT as mkvmerge stores it in Matroska, which FFmpeg does not know, and other unknown subtitles."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests import judges
from tests.media.pass_through import pass_through, settings_for, tracks
from tests.media_maker import make_clip

WEBVTT = """WEBVTT

STYLE
::cue { color: lime }

first
00:00:00.500 --> 00:00:01.500 line:0 position:20% align:start
Hello <b>bold</b>

00:00:02.000 --> 00:00:03.000
Second
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    clip, text = make_clip(tmp_path / "clip.mkv", frames=100), tmp_path / "s.vtt"
    text.write_text(WEBVTT, encoding="utf-8")
    merged = tmp_path / "in.mkv"
    judges.run("mkvmerge", "-q", "-o", str(merged), str(clip), "--language", "0:pt-BR", str(text))
    return merged


def extracted(path: Path) -> str:
    target = path.with_suffix(".vtt")
    judges.run("mkvextract", str(path), "tracks", f"1:{target}")
    return target.read_text(encoding="utf-8")


def test_webvtt_of_mkvmerge_is_kept_with_settings_and_styles(source: Path, tmp_path: Path) -> None:
    out = pass_through(source, tmp_path / "out.mkv")
    assert "line:0 position:20%" in extracted(source), "mkvmerge wrote what the test needs"
    assert extracted(out.path) == extracted(source)
    one, other = (judges.mkvmerge(path)["tracks"][1]["properties"] for path in (source, out.path))
    for key in ("codec_id", "codec_private_data", "language", "language_ietf", "default_track"):
        assert one.get(key) == other.get(key), key
    assert not any("subtitle" in warning for warning in out.warnings)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "webm"])
def test_elsewhere_its_text_stays_and_a_warning_says_what_does_not(
    source: Path, suffix: str, tmp_path: Path
) -> None:
    settings = settings_for("libvpx-vp9" if suffix == "webm" else "libx264")
    out = pass_through(source, tmp_path / f"out.{suffix}", settings=settings)
    (track,) = tracks(out.path, "subtitle")
    texts = [payload.decode(errors="replace") for payload in track.payloads]
    assert all(any(word in text for text in texts) for word in ("Hello", "bold", "Second"))
    assert [time for time, text in zip(track.times, texts, strict=True) if "Second" in text] == [2]
    assert any("positions and styles" in warning for warning in out.warnings)


def test_subtitles_of_an_unknown_codec_stay_what_they_are_in_matroska(source: Path, tmp_path: Path) -> None:
    source.write_bytes(source.read_bytes().replace(b"S_TEXT/WEBVTT", b"S_TEXT/XXXXXX"))
    out = pass_through(source, tmp_path / "out.mkv")
    assert out.path.read_bytes().count(b"S_TEXT/XXXXXX") == 1
    assert [track.payloads for track in tracks(out.path, "subtitle")] == [
        track.payloads for track in tracks(source, "subtitle")
    ]
    left = pass_through(source, tmp_path / "out.mp4").warnings
    assert any("write to .mkv to keep it" in warning for warning in left)
    with av.open(str(out.path)) as box:
        assert sum(1 for _ in box.decode(video=0)) == 100
