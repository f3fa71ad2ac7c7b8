"""Animations and numbered pictures in a queue of files, and in a dry run."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip, numbers_of
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
