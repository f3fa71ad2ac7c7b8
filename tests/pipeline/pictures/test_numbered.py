"""Numbered pictures are read as a video, and a video becomes numbered pictures; no number is lost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import vsr
from tests import judges
from tests.cli.run_cli import run_cli
from tests.folders import names_in
from tests.media_maker import make_clip, numbers_of
from tests.picture_maker import DATE, exif_data, scene
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.pipeline.pictures.lossless_video import hidden_video

QUICK = ("--model", "bicubic", "--scale", "2", "--device", "cpu")
SETTINGS = {"model": "bicubic", "scale": 2, "device": "cpu"}


def write_frames(folder: Path, numbers: range, suffix: str = ".png") -> Path:
    folder.mkdir()
    for number in numbers:
        image = scene(64, 48)
        image.paste((number * 20, 0, 0), (0, 0, 16, 16))
        image.save(folder / f"{number:05d}{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))
    return folder / f"%05d{suffix}"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_numbered_pictures_become_a_video_in_order(tmp_path: Path, suffix: str) -> None:
    pattern = write_frames(tmp_path / "in", range(8, 13), suffix)
    report = vsr.upscale(pattern, tmp_path / "out.mkv", frame_rate=Fraction(24), **SETTINGS, encoder="ffv1")
    assert (report.frames_out, report.exit_code) == (5, 0)
    stream = judges.ffprobe(tmp_path / "out.mkv")["streams"][0]
    assert (stream["width"], stream["height"], stream["r_frame_rate"]) == (128, 96, "24/1")
    with vsr.open_video(tmp_path / "out.mkv") as video:
        reds = [float(frame.to_rgb().image[0, 8, 8]) * 255 for frame in video.frames()]
    assert reds == pytest.approx([160, 180, 200, 220, 240], abs=6)


def test_a_folder_of_pictures_becomes_one_video(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "in", range(8, 12))
    done = run_cli(capfd, "upscale", tmp_path / "in", tmp_path / "out.mkv", *QUICK, "--fps", "12")
    assert done.code == 0
    assert judges.ffprobe(tmp_path / "out.mkv")["streams"][0]["r_frame_rate"] == "12/1"
    (tmp_path / "in" / "notes.txt").write_text("x")
    refused = run_cli(capfd, "upscale", tmp_path / "in", tmp_path / "more.mkv", *QUICK)
    assert refused.code == 3
    assert "pictures only" in refused.line


def test_a_missing_number_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    pattern = write_frames(tmp_path / "in", range(1, 6))
    (tmp_path / "in" / "00003.png").unlink()
    with pytest.raises(vsr.InputError, match="the first is 3"):
        vsr.upscale(pattern, tmp_path / "out.mkv", **SETTINGS)
    with pytest.raises(vsr.InputError, match="no picture has such a name"):
        vsr.upscale(tmp_path / "in" / "x%d.png", tmp_path / "out.mkv", **SETTINGS)


def test_numbered_pictures_become_numbered_pictures_with_their_metadata(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pattern = write_frames(tmp_path / "in", range(8, 12))
    for path in (tmp_path / "in").iterdir():
        with Image.open(path) as image:
            image.save(path, exif=exif_data(1, image.size))
    out = tmp_path / "out" / "%03d.png"
    done = run_cli(capfd, "upscale", pattern, out, *QUICK)
    assert done.code == 0
    assert "4 pictures" in done.err
    assert names_in(out.parent) == ["008.png", "009.png", "010.png", "011.png"]
    for number in range(8, 12):
        alone = tmp_path / f"alone{number}.png"
        vsr.upscale(tmp_path / "in" / f"{number:05d}.png", alone, **SETTINGS)
        with Image.open(out.parent / f"{number:03d}.png") as image, Image.open(alone) as wanted:
            assert np.array_equal(np.asarray(image), np.asarray(wanted))
            assert image.getexif()[0x0132] == DATE
    assert run_cli(capfd, "upscale", pattern, out, *QUICK).code == 2
    assert run_cli(capfd, "upscale", pattern, out, *QUICK, "-y").code == 0


def test_a_video_becomes_numbered_pictures_and_says_what_they_cannot_hold(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=4)
    report = vsr.upscale(clip, tmp_path / "frames" / "%05d.png", **SETTINGS)
    assert names_in(tmp_path / "frames") == [f"{number:05d}.png" for number in range(1, 5)]
    assert any("no times" in warning for warning in report.warnings)
    back = vsr.upscale(
        tmp_path / "frames" / "%05d.png", tmp_path / "back.mkv", **(SETTINGS | {"scale": 1}), encoder="ffv1"
    )
    assert back.frames_out == 4
    assert numbers_of(tmp_path / "back.mkv") == numbers_of(clip)


def test_what_a_format_cannot_hold_of_numbered_pictures_is_said_before_the_work(tmp_path: Path) -> None:
    pattern = write_frames(tmp_path / "in", range(1, 4))
    for path in (tmp_path / "in").iterdir():
        with Image.open(path) as image:
            transparent = image.convert("RGBA")
        texts = PngInfo()
        texts.add_text("Comment", "first", zip=False)
        if path.stem == "00003":
            texts.add(b"prIv", b"x", after_idat=False)
        transparent.putpixel((0, 0), (0, 0, 0, 0))
        transparent.save(path, pnginfo=texts)
    said: list[tuple[str, int]] = []
    frames: list[object] = []
    report = vsr.upscale(
        pattern,
        tmp_path / "out" / "%05d.webp",
        **SETTINGS,
        on_warning=lambda line: said.append((line, len(frames))),
        on_progress=frames.append,
    )
    assert said[0] == ("left out: texts", 0)
    assert [line for line, done in said if done] == ["left out: the chunk prIv"], "the last picture has it"
    assert report.warnings[-2:] == ["left out: texts", "left out: the chunk prIv"]
    jpeg = vsr.upscale(pattern, tmp_path / "jpeg" / "%05d.jpg", **SETTINGS)
    assert any("transparency (the picture is put on white)" in line for line in jpeg.warnings)


def test_bits_and_colours_that_a_format_cannot_hold_are_said(tmp_path: Path) -> None:
    pq = ColorSpec(
        matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
    )
    clip = make_clip(tmp_path / "clip.mkv", frames=2, pix_fmt="yuv420p10le", color=pq)
    tags = "the colour tags (BT2020, PQ); PNG keeps them"
    wanted = {
        "j/%d.jpg": f"left out: 10 bits (8 are left); {tags}",
        "t/%d.tif": f"left out: {tags}",
        "p/%d.png": None,
        "a.webp": f"left out: 10 bits (8 are left); {tags}",
        "a.apng": "left out: 10 bits (8 are left)",
    }
    for name, line in wanted.items():
        report = vsr.upscale(clip, tmp_path / name, **SETTINGS)
        said = [warning for warning in report.warnings if warning.startswith("left out")]
        assert said == ([] if line is None else [line]), name
    for name in ("p/1.png", "p/2.png", "a.apng"):
        assert b"cICP" + bytes([Primaries.BT2020, Transfer.PQ, 0, 1]) in (tmp_path / name).read_bytes()
    back = vsr.upscale(tmp_path / "p" / "%d.png", tmp_path / "back.mkv", **(SETTINGS | {"scale": 1}))
    assert (back.info.tagged.primaries, back.info.tagged.transfer) == (Primaries.BT2020, Transfer.PQ)


@pytest.mark.parametrize("what", ["link", "hard link", "folder"])
def test_what_somebody_puts_in_place_of_the_hidden_video_is_not_overwritten(
    what: str, tmp_path: Path
) -> None:
    """Its name follows from the result's, so others can guess it in a shared folder."""
    source, target = make_clip(tmp_path / "in.mkv", frames=3), tmp_path / "out.gif"
    mine, hidden = tmp_path / "mine", hidden_video(target)
    mine.write_bytes(b"precious")
    make = {"link": hidden.symlink_to, "hard link": hidden.hardlink_to, "folder": lambda _: hidden.mkdir()}
    make[what](mine)
    if what == "folder":
        with pytest.raises(vsr.ConfigError, match="is a folder"):
            vsr.upscale(source, target, **SETTINGS)
    else:
        assert vsr.upscale(source, target, **SETTINGS).frames_out == 3
        assert not hidden.exists()
    assert mine.read_bytes() == b"precious"


def test_names_that_are_too_long_with_their_numbers_are_refused_before_the_work(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=2)
    for name, is_possible in (("%d" + "n" * 250 + ".png", True), ("%05d" + "n" * 247 + ".png", False)):
        if is_possible:
            assert vsr.upscale(source, tmp_path / name, **SETTINGS).frames_out == 2
        else:
            with pytest.raises(vsr.ConfigError, match=r"cannot have such names \(File name too long\)"):
                vsr.upscale(source, tmp_path / name, **SETTINGS)
