"""Drawings in ASS do not become text in formats that have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import judges
from tests.media.pass_through import pass_through
from tests.media_maker import Subtitle, make_clip
from vsr.media.audit import verify
from vsr.media.text.drawings import without_drawings

SQUARE = "m 0 0 l 10 0 10 10 0 10"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"{{\\p1}}{SQUARE}{{\\p0}}", "{\\p1}{\\p0}"),
        (f"before{{\\an7\\p2\\bord1}}{SQUARE}{{\\p0}}after", "before{\\an7\\p2\\bord1}{\\p0}after"),
        (f"{{\\p1\\pos(1,2)}}{SQUARE}{{\\bord2}} l 5 5", "{\\p1\\pos(1,2)}{\\bord2}"),
        ("{\\pos(1,2)}sign", "{\\pos(1,2)}sign"),
        ("{\\pbo3}text{\\p0}more", "{\\pbo3}text{\\p0}more"),
        (f"{{\\p1}}{SQUARE}{{\\p0\\i1}}Ü, und", "{\\p1}{\\p0\\i1}Ü, und"),
        ("a path like C:\\photos", "a path like C:\\photos"),
    ],
)
def test_only_drawings_are_removed(text: str, kept: str) -> None:
    assert without_drawings(text) == kept


@pytest.mark.parametrize("target", [".mp4", ".mov"])
def test_a_drawing_is_not_shown_as_text(tmp_path: Path, target: str) -> None:
    lines = [
        (0.0, 0.1, "Hello, you"),
        (0.1, 0.2, f"{{\\p1}}{SQUARE}{{\\p0}}"),
        (0.2, 0.3, f"{{\\an7\\p1}}{SQUARE}{{\\p0}}sign"),
    ]
    source = make_clip(tmp_path / "in.mkv", frames=10, subtitles=[Subtitle(codec="ass", lines=lines)])
    out = pass_through(source, tmp_path / f"out{target}")
    assert [line for line in out.warnings if "drawings" in line]
    shown = judges.run("ffmpeg", "-v", "error", "-i", str(out.path), "-map", "0:s", "-f", "srt", "-")
    assert "Hello, you" in shown
    assert "sign" in shown
    assert SQUARE not in shown
    assert [line for line in verify(source, out.path).lost if "subtitle" in line] == []
