"""Files that commands write besides the video are not replaced
without -y, and errors come before the work."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip

Capture = pytest.CaptureFixture[str]
QUICK = ("-m", "bicubic", "--preset", "ultrafast", "-q")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=4)


def test_a_report_replaces_a_file_only_with_the_flag(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    report = tmp_path / "notes.txt"
    report.write_text("precious")
    words = ("upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", report)
    refused = run_cli(capfd, *words)
    assert refused.code == 2
    assert "--overwrite replaces it" in refused.line
    assert report.read_text() == "precious"
    assert not (tmp_path / "out.mkv").exists()
    assert run_cli(capfd, *words, "-y").code == 0
    assert json.loads(report.read_text())["frames_out"] == 4


@pytest.mark.parametrize("report", ["/proc/report.json", "/dev/full/report.json", "n" * 300])
def test_a_report_that_cannot_be_written_is_reported_before_the_work(
    report: str, clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", report)
    assert done.code in (2, 4)
    assert "--report" in done.line
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("link", [False, True])
def test_a_report_to_standard_output_does_not_replace_the_device(
    link: bool, clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    """If the report were renamed over the device, as root can do, a
    regular file would replace it for all users."""
    before = os.lstat("/dev/stdout")
    name = Path("/dev/stdout")
    if link:
        name = tmp_path / "report.json"
        name.symlink_to("/dev/stdout")
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", name)
    assert done.code == 0
    assert json.loads(done.out)["frames_out"] == 4
    assert os.path.samestat(before, os.lstat("/dev/stdout"))
    assert not link or name.is_symlink()


def test_a_report_to_the_null_device_keeps_the_device(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    words = ("upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", "/dev/null")
    assert run_cli(capfd, *words).code == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_video_and_report_cannot_share_standard_output(clip: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", clip, "-", *QUICK, "--report", "/dev/stdout")
    assert done.code == 2
    assert "the video goes there" in done.line
    assert not done.out


@pytest.mark.parametrize("form", ["link", "hard link"])
def test_a_comparison_replaces_an_image_only_with_the_flag_and_never_a_video(
    form: str, clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    assert run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK).code == 0
    picture, video = tmp_path / "photo.png", tmp_path / "video.png"
    picture.write_bytes(b"precious")
    words = ("compare", clip, tmp_path / "out.mkv", "-o")
    assert "--overwrite replaces it" in run_cli(capfd, *words, picture).line
    assert picture.read_bytes() == b"precious"
    assert run_cli(capfd, *words, picture, "-y").code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    whole = clip.read_bytes()
    (video.symlink_to if form == "link" else video.hardlink_to)(clip)
    assert "is one of the inputs" in run_cli(capfd, *words, video, "-y").line
    assert clip.read_bytes() == whole


def test_a_demo_replaces_files_only_with_the_flag(tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "clip.mkv").write_bytes(b"precious")
    refused = run_cli(capfd, "demo", "--folder", tmp_path)
    assert refused.code == 2
    assert "--overwrite replaces it" in refused.line
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"precious"]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "finetune", "--data", "."),
        ("finetune", "in.mkv", "--from", "fast-x2"),
        ("models", "export", "fast-x2"),
    ],
    ids=lambda words: words[0],
)
def test_names_that_no_file_system_accepts_are_rejected_in_one_line(
    words: tuple[str, ...], clip: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = ".onnx" if "export" in words else ".safetensors"
    done = run_cli(capfd, *words, "-o", "n" * 256 + suffix)
    assert done.code == 2
    assert "too long" in done.line


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
@pytest.mark.parametrize("name", [b"\xff\xfe.mkv", b"a\nb\xe2\x80\xae.mkv", b"n" * 251 + b".mkv"])
def test_any_name_can_be_an_output_and_an_input_of_a_queue(
    name: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = make_clip(tmp_path / "in.mkv", frames=2), tmp_path / os.fsdecode(name)
    words = ("--model", "bicubic", "--device", "cpu", "--report")
    done = run_cli(capfd, "upscale", source, target, *words, tmp_path / "report.json")
    assert (done.code, target.exists()) == (0, True), done.err
    assert "\u202e" not in done.err
    more = ("--to", tmp_path / "out", "--name", "result.mkv")
    queued = run_cli(capfd, "upscale", target, *more, *words, tmp_path / "report.jsonl")
    assert (queued.code, (tmp_path / "out" / "result.mkv").exists()) == (0, True), queued.err
