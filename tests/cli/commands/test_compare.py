"""`vsr compare`: what it prints, and what it refuses before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip


def test_a_page_prints_its_means_and_notes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    worse = make_clip(tmp_path / "out.mp4", frames=3, options={"crf": "45"})
    page = tmp_path / "page.html"
    found = run_cli(capfd, "compare", clip, worse, "--ref", clip, "-o", page, "--title", "<b>")
    assert found.code == 0
    assert found.out.splitlines()[0].split()[:2] == ["PSNR", "SSIM"]
    assert "The images in this page are lossless." in found.err
    text = page.read_text(encoding="utf-8")
    assert "<title>&lt;b&gt;</title>" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_without_a_common_moment_nothing_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    found = run_cli(capfd, "compare", clip, clip, "-o", tmp_path / "a.png", "--at", "1:00")
    assert found.code == 3
    assert "choose an earlier --at" in found.line
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "page.jpg"], "ends in none of .html, .png, .webp"),
        (["-o", "page.html", "--duration", "0"], "must be above 0"),
        (["-o", "page.html", "--max-megabytes", "nan"], "must be above 0"),
        (["-o", "in.mp4", "-y"], "ends in none"),
        (["-", "-o", "page.html"], "standard input cannot be compared"),
        (["gone.mp4", "-o", "page.html"], "gone.mp4"),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=2)
    found = run_cli(capfd, "compare", "in.mp4", "in.mp4", *words)
    assert found.code in (2, 3)
    assert message in found.line
    assert not (tmp_path / "page.html").exists()
