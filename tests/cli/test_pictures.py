"""Photographs on the command line: one, several, folders, and the commands that look at them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from tests.picture_maker import DATE, UPRIGHT, corners, phone_photograph, scene

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--device", "cpu")


def test_a_phone_photograph_comes_out_upright_with_its_place_and_date(tmp_path: Path, capfd: Capture) -> None:
    photo = phone_photograph(tmp_path / "photo.jpg")
    done = run_cli(capfd, "upscale", photo)
    made = tmp_path / "photo-2x.jpg"
    assert done.code == 0
    assert f"{made}: 80x120, JPEG, quality 95, 4:4:4" in done.err
    assert "left out: the thumbnail" in done.err
    with Image.open(made) as image:
        assert (image.size, corners(image)) == ((80, 120), UPRIGHT)
        assert image.getexif()[0x0112] == 1
        assert image.getexif().get_ifd(0x8769)[0x9003] == DATE
        assert image.getexif().get_ifd(0x8825)[2] == (48.0, 8.0, 30.5)
    assert run_cli(capfd, "verify", photo, made).out == "nothing lost\n"


def test_photographs_and_folders_go_through_the_queue_and_the_second_run_does_nothing(
    tmp_path: Path, capfd: Capture
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    scene().save(folder / "a.png")
    scene().save(folder / "b.bmp")
    phone_photograph(folder / "c.JPG")
    make_clip(folder / "d.mkv", frames=3)
    (folder / "e.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    done = run_cli(capfd, "upscale", folder, "--to", tmp_path / "out", *QUICK)
    assert done.code == 3
    assert "is HEIC" in done.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("."))
    assert names == ["a-2x.png", "b-2x.png", "c-2x.JPG", "d-2x.mkv"]
    (folder / "e.heic").unlink()
    assert "4 skipped" in run_cli(capfd, "upscale", folder, "--to", tmp_path / "out", *QUICK).err


def test_results_beside_their_inputs_are_no_inputs_of_the_next_run(tmp_path: Path, capfd: Capture) -> None:
    for name in "ab":
        scene().save(tmp_path / f"{name}.png")
    first = run_cli(capfd, "upscale", tmp_path, *QUICK)
    assert "2 of 2 files: 2 done" in first.err
    assert "2 of 2 files: 2 skipped" in run_cli(capfd, "upscale", tmp_path, *QUICK).err


def test_info_compare_and_dry_run_know_pictures(tmp_path: Path, capfd: Capture) -> None:
    photo = phone_photograph(tmp_path / "photo.jpg")
    shown = run_cli(capfd, "info", photo)
    assert shown.code == 0
    assert "place (GPS)" in shown.out
    assert "orientation 6" in shown.out
    assert "a second" not in shown.out
    assert run_cli(capfd, "info", photo, "--json").code == 0
    plan = run_cli(capfd, "upscale", photo, "--dry-run", *QUICK)
    assert plan.code == 0
    assert "80x120" in plan.out
    assert "left out: the thumbnail" in plan.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.jpg"]
    assert run_cli(capfd, "upscale", photo, *QUICK).code == 0
    assert run_cli(capfd, "compare", photo, tmp_path / "photo-2x.jpg", "-o", tmp_path / "both.png").code == 0
    with Image.open(tmp_path / "both.png") as image:
        assert image.size == (2 * 80 * 2 + 6, 160)  # two upright details, each pixel twice


def test_verify_names_what_another_program_lost(tmp_path: Path, capfd: Capture) -> None:
    photo, made = phone_photograph(tmp_path / "photo.jpg"), tmp_path / "made.png"
    with Image.open(photo) as image:
        image.resize((120, 80)).save(made, icc_profile=None)  # not turned, and without metadata
    done = run_cli(capfd, "verify", photo, made)
    assert done.code == 4
    for words in ("shape", "EXIF: missing", "colour profile", "XMP", "IPTC", "text: comment"):
        assert words in done.out


def test_the_command_starts_without_libraries_of_media_and_arrays() -> None:
    program = "import sys, vsr.cli; print(*({'torch', 'numpy', 'PIL', 'av'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_video_does_not_become_a_photograph(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=3)
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.jpg", *QUICK)
    assert done.code == 2
    assert "no still picture" in done.line
