"""Animations come out as animations where one is asked for, with their durations and repetitions."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import vsr
from tests.cli.run_cli import run_cli
from tests.folders import names_in
from tests.media_maker import make_clip
from tests.picture_maker import scene

SETTINGS = {"model": "bicubic", "scale": 2, "device": "cpu"}
DURATIONS = [100, 250, 50, 300]


def animation(path: Path, *, loop: int = 3, alpha: bool = False) -> Path:
    frames = []
    for number in range(4):
        image = scene(64, 48).convert("RGBA" if alpha else "RGB")
        image.paste((0, 0, 0, 0) if alpha else (250, 250, 0), (number * 12, 4, number * 12 + 10, 14))
        frames.append(image)
    options = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DURATIONS, loop=loop, **options)
    return path


def facts(path: Path) -> tuple[str, tuple[int, int], list[float], object]:
    with Image.open(path) as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            durations.append(float(image.info["duration"]))
        return str(image.format), image.size, durations, image.info.get("loop")


@pytest.mark.parametrize(
    ("name", "form"), [("a.gif", "GIF"), ("a.png", "PNG"), ("a.apng", "PNG"), ("a.webp", "WEBP")]
)
@pytest.mark.parametrize("source", ["s.gif", "s.png"])
def test_durations_and_repetitions_stay(tmp_path: Path, source: str, name: str, form: str) -> None:
    report = vsr.upscale(animation(tmp_path / source), tmp_path / name, **SETTINGS)
    assert report.frames_out == 4
    assert facts(tmp_path / name) == (form, (128, 96), DURATIONS, 3)
    assert names_in(tmp_path) == sorted([source, name])


def test_transparent_pixels_stay_transparent(tmp_path: Path) -> None:
    source = animation(tmp_path / "s.png", alpha=True)
    for name in ("a.webp", "a.png"):
        vsr.upscale(source, tmp_path / name, **SETTINGS)
        with Image.open(tmp_path / name) as image:
            image.seek(2)
            samples = image.convert("RGBA")
        assert samples.getpixel((2 * 28, 2 * 8))[3] == 0
        assert samples.getpixel((10, 90))[3] == 255


def test_a_video_becomes_an_animation_and_what_is_lost_is_said_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=3)
    done = run_cli(
        capfd, "upscale", clip, tmp_path / "clip.gif", "--model", "bicubic", "--scale", "2", "--device", "cpu"
    )
    assert done.code == 0
    lines = done.err.splitlines()
    assert "256 colours" in lines[0]
    assert facts(tmp_path / "clip.gif")[:2] == ("GIF", (128, 96))
    with pytest.raises(vsr.ConfigError, match="no still picture"):
        vsr.upscale(clip, tmp_path / "clip.png", **SETTINGS)
    with pytest.raises(vsr.ConfigError, match="exists already"):
        vsr.upscale(clip, tmp_path / "clip.gif", **SETTINGS)
