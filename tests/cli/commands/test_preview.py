"""`vsr preview`: what it prints, the name that it makes up, and what it refuses in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from tests.picture_maker import scene


def test_a_name_beside_the_input_is_made_up_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "a film.mkv", frames=10)
    words = ["preview", clip, "--model", "fast", "--model", "lanczos", "--at", "0:00.2"]
    found = run_cli(capfd, *words)
    made = tmp_path / "a film-preview.png"
    assert found.code == 0
    assert found.out == f"{made}: bicubic; fast-x2; lanczos; from left to right, at 0.200 s\n"
    assert made.read_bytes()[:4] == b"\x89PNG"
    again = run_cli(capfd, *words)
    assert again.code == 2
    assert "exists already; --overwrite replaces it" in again.line


def test_strengths_are_steps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    page = tmp_path / "page.html"
    found = run_cli(capfd, "preview", clip, "-m", "fast", "--strength", "0:1:0.5", "-o", page, "--busiest")
    assert found.code == 0
    assert "fast-x2, strength 0; fast-x2, strength 0.5; fast-x2, strength 1" in found.out
    assert "The images in this page are lossless." in found.err
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["in.mkv", "--at", "1:00"], 2, "--at 60 s is not in the video, which is 0.08 s long"),
        (["in.mkv", "--at", "soon"], 2, "--at 'soon' is not a time"),
        (["in.mkv", "--at", "0", "--busiest"], 2, "--at and --busiest exclude each other"),
        (["in.mkv", "--region", "10x10"], 2, "is not WIDTHxHEIGHT+LEFT+TOP"),
        (["in.mkv", "--region", "60x40+10+10"], 2, "is not inside the frame of 64x48"),
        (["in.mkv", "--strength", "0:2:1"], 2, "no numbers from 0 to 1"),
        (["in.mkv", "--strength", "0:1:0"], 2, "no numbers from 0 to 1"),
        (["in.mkv", "--strength", "much"], 2, "no numbers from 0 to 1"),
        (["in.mkv", "-m", "gone.pth"], 5, "no weight file and no model"),
        (["in.mkv", "-o", "a.jpg"], 2, "ends in none of .png, .webp, .html"),
        (["in.mkv", "-o", "in.mkv", "-y"], 2, "ends in none of"),
        (["in.mkv", "-o", "gone/a.png"], 4, "its folder does not exist"),
        (["in.png", "-o", "in.png", "-y"], 2, "is one of the inputs"),
        (["in.png", "--at", "1"], 2, "is a picture, which has one frame"),
        (["in.mkv", "--scale", "2", "--height", "100"], 2, "contradicts"),
        (["in.mkv", "-m", "fast", "--strength", "0:1:0.1", "-o", "a.html"], 2, "12 panels do not fit"),
        (["-"], 2, "standard input cannot be previewed"),
        (["memory://a/in.mkv"], 2, "name the --output"),
        (["gone.mkv"], 3, "gone.mkv"),
        (["empty.mkv"], 3, "empty.mkv"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_written(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mkv", frames=2)
    scene().save(tmp_path / "in.png")
    (tmp_path / "empty.mkv").touch()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    found = run_cli(capfd, "preview", *words)
    assert found.code == code, found.err
    assert message in found.line
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
