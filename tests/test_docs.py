"""What the documentation shows is run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from tests.media_maker import make_clip

DOCS = Path(__file__).parent.parent / "docs"


def test_the_examples_of_the_python_page_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "in.mp4", time_base=None)
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(DOCS / "python.md"), module_relative=False)
    assert found.attempted >= 10
    assert not found.failed
