"""`vsr.probe` says what a file contains and what a result would lose, as the run itself does."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.judges import ffprobe
from tests.media_maker import Audio, Subtitle, make_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "in.mkv",
        frames=8,
        audio=[Audio(language="deu", title="Ton")],
        subtitles=[Subtitle(codec="ass")],
        attachments=[("a.ttf", "font/ttf", b"x" * 9)],
        chapters=[(0, 0.1, "One"), (0.1, 0.3, "Two")],
        metadata={"title": "A film"},
    )


def test_streams_chapters_and_metadata_are_those_that_ffprobe_finds(clip: Path) -> None:
    found, judged = vsr.probe(clip), ffprobe(clip, "-show_streams", "-show_chapters", "-show_format")
    assert [one.kind for one in found.streams] == [one["codec_type"] for one in judged["streams"]]
    assert [one.codec for one in found.streams][:3] == [one["codec_name"] for one in judged["streams"][:3]]
    assert (found.width, found.height) == (judged["streams"][0]["width"], judged["streams"][0]["height"])
    audio = found.streams[1]
    assert (audio.language, audio.title) == ("deu", "Ton")
    assert audio.sample_rate == int(judged["streams"][1]["sample_rate"])
    assert [chapter.title for chapter in found.chapters] == ["One", "Two"]
    assert found.chapters[1].start_seconds == Fraction(judged["chapters"][1]["start_time"])
    assert found.metadata["title"] == "A film"
    assert found.frame_rate == Fraction(judged["streams"][0]["r_frame_rate"])


@pytest.mark.parametrize("into", [".mkv", ".mp4", ".webm"])
def test_fates_and_losses_are_those_of_a_run(clip: Path, tmp_path: Path, into: str) -> None:
    found = vsr.probe(clip, into=into)
    report = vsr.upscale(clip, tmp_path / f"out{into}", model="bicubic", scale=2)
    assert [one.fate for one in found.fates] == [one.fate for one in report.streams]
    assert [line for line in report.warnings if "not fully tagged" not in line] == list(found.lost)
    assert bool(found.lost) == (into != ".mkv")


def test_what_an_encoder_cannot_keep_is_lost(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv444p", frames=2)
    assert vsr.probe(clip).lost == ()
    (line,) = vsr.probe(clip, encoder="libsvtav1").lost
    assert line.startswith("libsvtav1 cannot keep")


def test_a_pipe_an_unknown_suffix_and_a_file_without_video_are_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(vsr.ConfigError, match="probe a file"):
        vsr.probe("-")
    with pytest.raises(vsr.ConfigError, match="no container has the suffix"):
        vsr.probe(clip, into=".avi")
    (tmp_path / "a.mkv").write_text("not a video")
    with pytest.raises(vsr.InputError):
        vsr.probe(tmp_path / "a.mkv")


def test_torch_is_not_imported(clip: Path) -> None:
    code = f"import sys, vsr; vsr.probe({str(clip)!r}, into='.mp4'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
