"""Animations and numbered pictures in a queue of files, and in a dry run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.cli.run_cli import run_cli
from tests.media_maker import Audio, make_clip, numbers_of
from tests.picture_maker import scene

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--device", "cpu")


def gif(path: Path) -> Path:
    others = [scene().rotate(angle) for angle in (90, 180)]
    scene().save(path, save_all=True, append_images=others, duration=100, loop=0)
    return path


def pictures(folder: Path, count: int) -> str:
    """Write numbered pictures into a new folder, and return their pattern."""
    folder.mkdir(parents=True)
    for number in range(count):
        scene().save(folder / f"{number:03d}.png")
    return str(folder / "%03d.png")


@pytest.mark.parametrize("suffix", ["gif", "apng", "webp"])
def test_a_folder_of_animations_becomes_animations(tmp_path: Path, capfd: Capture, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        gif(tmp_path / "in" / f"{name}.gif")
    words = ("upscale", tmp_path / "in", "--to", tmp_path / "out", "--name", f"{{stem}}.{suffix}", *QUICK)
    assert run_cli(capfd, *words).code == 0
    for name in "ab":
        with Image.open(tmp_path / "out" / f"{name}.{suffix}") as image:
            assert (image.n_frames, image.size) == (3, (120, 80))
    assert "2 of 2 files: 2 skipped" in run_cli(capfd, *words).err


def test_numbered_pictures_are_inputs_of_a_queue_and_are_named_by_their_folder(
    tmp_path: Path, capfd: Capture
) -> None:
    shots = [pictures(tmp_path / "shots" / name, count) for name, count in (("first", 3), ("second", 4))]
    words = ("upscale", *shots, "--to", tmp_path / "out", "--fps", "10", *QUICK)
    assert run_cli(capfd, *words).code == 0
    for name, count in (("first", 3), ("second", 4)):
        assert len(numbers_of(tmp_path / "out" / f"{name}-2x.mkv")) == count
    assert "2 of 2 files: 2 skipped" in run_cli(capfd, *words).err
    assert run_cli(capfd, "upscale", shots[0], *QUICK).code == 0
    assert (tmp_path / "shots" / "first-2x.mkv").exists()


@pytest.mark.parametrize("name", ["out.gif", "out.apng", "out.webp", "out%03d.png"])
def test_a_dry_run_of_animations_and_numbered_pictures_writes_nothing(
    tmp_path: Path, capfd: Capture, name: str
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=6)
    done = run_cli(capfd, "upscale", clip, tmp_path / name, "--dry-run", *QUICK)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert any(line.startswith(f"result   {tmp_path / name}: 128x96") for line in lines)
    for head in ("speed", "memory", "time", "space"):
        assert any(line.startswith(head) for line in lines), head
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]
    wrong = run_cli(capfd, "upscale", tmp_path / "none.mkv", tmp_path / name, "--dry-run", *QUICK)
    assert wrong.code == 3


def test_numbered_pictures_whose_video_lies_beside_their_folder_are_finished_the_second_time(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "shot", 3)
    monkeypatch.chdir(tmp_path)
    first, again = (run_cli(capfd, "upscale", "shot/%03d.png", *QUICK) for _ in range(2))
    assert (first.code, again.code) == (0, 0)
    assert "shot-2x.mkv: already finished; --overwrite makes it again" in again.err
    assert str(tmp_path) not in first.err + again.err


def test_videos_of_a_queue_become_numbered_pictures_once(tmp_path: Path, capfd: Capture) -> None:
    for name in "ab":
        make_clip(tmp_path / f"{name}.mkv", frames=2)
    words = ("upscale", tmp_path, "--to", tmp_path / "out", "--name", "{stem}-%02d.png", *QUICK)
    assert run_cli(capfd, *words).code == 0
    made = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert made == {"a-01.png", "a-02.png", "b-01.png", "b-02.png"}
    again = run_cli(capfd, *words)
    assert (again.code, "2 of 2 files: 2 skipped" in again.err) == (0, True)


def test_a_folder_of_pictures_becomes_a_video_without_the_results_among_them(
    tmp_path: Path, capfd: Capture
) -> None:
    pictures(tmp_path / "shot", 3)
    assert run_cli(capfd, "upscale", tmp_path / "shot", *QUICK).code == 0
    done = run_cli(capfd, "upscale", tmp_path / "shot", tmp_path / "film.mkv", *QUICK)
    assert "3 results of earlier runs are left out" in done.err
    with av.open(str(tmp_path / "film.mkv")) as media:
        assert [(frame.width, frame.height) for frame in media.decode(video=0)] == [(120, 80)] * 3


def test_messages_and_the_report_describe_the_pictures_and_not_the_hidden_video(
    tmp_path: Path, capfd: Capture
) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3, audio=[Audio()])
    for name, codec in (("moving.gif", "gif"), ("out/%02d.jpg", "jpeg")):
        log = tmp_path / f"{codec}.json"
        done = run_cli(capfd, "upscale", clip, tmp_path / name, *QUICK, "--report", log, "--crf", "30")
        assert done.code == 0
        assert (".vsr-" in done.err, "ffv1" in done.err) == (False, False)
        assert "not used for pictures: the settings of the encoder" in done.err
        report = json.loads(log.read_text())
        assert report["source_file"]["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
        assert report["encoder"]["codec"] == codec
        assert [(one["fate"], one["to"]) for one in report["streams"]] == [
            ("upscaled", codec),
            ("left out", ""),
        ]
        assert report["verification"]["bytes"] == report["bytes_out"] == report["target_file"]["bytes"]
        assert report["settings"]["encoder.crf"] == {"value": 30.0, "from": "flag"}
        assert report["settings"]["encoder.encoder"]["value"] is None


def test_pictures_of_a_longer_video_are_not_mixed_with_those_of_a_shorter_one_unsaid(
    tmp_path: Path, capfd: Capture
) -> None:
    long, short = (make_clip(tmp_path / f"{count}.mkv", frames=count) for count in (4, 2))
    target = tmp_path / "out" / "%02d.png"
    assert run_cli(capfd, "upscale", long, target, *QUICK).code == 0
    (tmp_path / "out" / "01.png").unlink()
    refused = run_cli(capfd, "upscale", short, target, *QUICK)
    assert (refused.code, "02.png and 2 more: exists already" in refused.line) == (2, True)
    done = run_cli(capfd, "upscale", short, target, *QUICK, "-y")
    assert (done.code, "03.png and 1 more are of an earlier video" in done.err) == (0, True)


def test_two_pictures_of_one_number_are_refused(tmp_path: Path, capfd: Capture) -> None:
    pattern = pictures(tmp_path / "shot", 3)
    scene().save(tmp_path / "shot" / "1.png")
    done = run_cli(capfd, "upscale", pattern, tmp_path / "film.mkv", *QUICK)
    assert (done.code, "have the same number" in done.line) == (3, True)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_number_that_belongs_to_no_regular_file_ends_in_one_line(
    tmp_path: Path, capfd: Capture, kind: str
) -> None:
    pattern = pictures(tmp_path / "shot", 4)
    other = tmp_path / "shot" / "002.png"
    other.unlink()
    os.mkfifo(other) if kind == "pipe" else other.mkdir()
    done = run_cli(capfd, "upscale", pattern, tmp_path / "film.mkv", *QUICK)
    assert (done.code, f"{other}: is not a regular file" in done.line) == (3, True)
