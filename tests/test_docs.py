"""What the documentation shows is run."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.ffmpeg_binary import ffmpeg
from tests.media_maker import Audio, make_clip, numbers_of
from vsr.color.spec import ColorSpec
from vsr.config import EncoderSettings, UpscaleSettings
from vsr.media.filters.filters import FILTERS
from vsr.pipeline.presets import names

DOCS = Path(__file__).parent.parent / "docs"


def test_the_examples_of_the_python_page_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "in.mp4", time_base=None)
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(DOCS / "python.md"), module_relative=False)
    assert found.attempted >= 10
    assert not found.failed


def shell_blocks(name: str) -> list[str]:
    """The lines of the shell examples of a page."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a shell find the `vsr` of this interpreter, and the real `ffmpeg`."""
    folder.mkdir()
    (folder / "ffmpeg").symlink_to(ffmpeg())
    vsr = folder / "vsr"
    vsr.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vsr "$@"\n')
    vsr.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_the_commands_of_the_page_on_pipes_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, tmp_path / "bin")
    make_clip(tmp_path / "in.mp4", frames=5, audio=[Audio()])
    lines = shell_blocks("pipes.md")
    assert len(lines) == 3
    for line in lines:
        subprocess.run(["bash", "-o", "pipefail", "-ec", line], cwd=tmp_path, check=True, capture_output=True)
        (made,) = tmp_path.glob("out.*")
        assert numbers_of(made) == [0, 1, 2, 3, 4]
        made.unlink()


def test_the_commands_and_the_file_of_the_page_on_pipelines_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=3)
    page = (DOCS / "pipelines.md").read_text(encoding="utf-8")
    (own,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "own.toml").write_text(own)
    lines = [line.split() for line in shell_blocks("pipelines.md")]
    assert {line[line.index("--pipeline") + 1] for line in lines} == {*names(), "own.toml"}
    for line in lines:
        assert run_cli(capfd, *line[1:], "--device", "cpu").code == 0, line
        assert numbers_of(tmp_path / line[3])[0] == 0


def test_the_page_on_pipelines_names_every_setting_and_every_filter() -> None:
    page = (DOCS / "pipelines.md").read_text(encoding="utf-8")
    settings = {f.name for kind in (UpscaleSettings, EncoderSettings, ColorSpec) for f in fields(kind)}
    assert {name for name in settings if f"`{name}`" not in page and f"[{name}]" not in page} == set()
    assert {name for name in FILTERS if name not in page} == set()


def test_the_architecture_lists_every_file_by_its_own_first_sentence() -> None:
    """`python docs/tree.py` writes the list."""
    spec = importlib.util.spec_from_file_location("tree", DOCS / "tree.py")
    assert spec is not None
    assert spec.loader is not None
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    assert (DOCS / "architecture.md").read_text(encoding="utf-8") == tree.page()
    assert not [line for line in tree.lines(DOCS.parent / "vsr") if line.endswith(": ")], (
        "a file says nothing"
    )
