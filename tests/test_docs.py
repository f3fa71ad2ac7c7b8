"""Examples in the documentation are executed."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.ffmpeg_binary import ffmpeg
from tests.media_maker import Audio, make_clip, numbers_of
from vsr.cli import _in_front
from vsr.cli.application import COMMANDS, built
from vsr.color.spec import ColorSpec
from vsr.media.filters.filters import FILTERS
from vsr.settings.presets import names
from vsr.settings.schema import EncoderSettings, UpscaleSettings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("plugins/*/*.md"), *ROOT.glob("vsr/weights/*.md")]
)
SETTINGS = sorted(ROOT.glob("pipelines/**/*.toml"))


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """Return the contents of the fenced blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def check_flags(words: list[str]) -> None:
    """Parse `vsr WORDS...` as the command line does, without running it; a wrong flag raises an error."""
    group = built(*COMMANDS)
    context = group.make_context("vsr", _in_front(words))
    while True:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        group = command


def commands_in(text: str) -> list[str]:
    """Return the calls of `vsr` in shell lines: at the start, after a pipe, or after the `#` of a comment."""
    found = re.findall(r"(?:^|\| |^# +)(vsr [^|<>#\n]*)", text, re.MULTILINE)
    return [command.strip() for command in found]


def test_every_command_of_the_documentation_has_only_flags_that_exist() -> None:
    shown = r"(?!text)\w*"  # a block of text shows how a command is called, such as `[OPTIONS]`
    texts = ["\n".join(blocks(page.read_text(encoding="utf-8"), shown)) for page in PAGES]
    texts += [path.read_text(encoding="utf-8") for path in SETTINGS]
    commands = [command for text in texts for command in commands_in(text)]
    assert len(commands) > 50
    for command in commands:
        check_flags(shlex.split(command)[1:])


def test_every_file_that_the_documentation_names_exists() -> None:
    """Names are in back quotes, as paths from the root; in architecture.md also from `vsr/`."""
    path = re.compile(r"`((?:vsr|tests|docs|benchmarks|pipelines|plugins)/[^`\s*<:]*)")
    named = {name for page in PAGES for name in path.findall(page.read_text(encoding="utf-8"))}
    inside = re.findall(
        r"`([a-z_]+/[\w/]+\.(?:py|cu))", (DOCS / "architecture.md").read_text(encoding="utf-8")
    )
    named |= {name if (ROOT / name).exists() else f"vsr/{name}" for name in inside}
    assert len(named) > 50
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_table_that_contributing_names_is_in_its_file() -> None:
    """As `TABLE` of `path`, or `path`: ... `TABLE`."""
    page = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    named = [(path, table) for table, path in re.findall(r"`([A-Z_]+)` of `(\S+?\.py)`", page)]
    named += re.findall(r"`([a-z]\S+?\.py)`: (?:[^`.]|`[a-z]+`)*`([A-Z_]+)`", page)
    assert len(named) >= 8
    for path, table in named:
        assert re.search(rf"^{table}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (
            path,
            table,
        )


def test_every_link_of_the_documentation_leads_to_a_file() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_a_version_in_the_changelog_has_each_heading_once_and_no_entry_twice() -> None:
    """A merge that keeps both sides of a conflict breaks this."""
    for version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        headings = re.findall(r"^### (.*)$", version, re.MULTILINE)
        entries = [
            " ".join(entry.split()) for entry in re.split(r"^(?:- |### .*\n)", version, flags=re.MULTILINE)
        ]
        for found in (headings, [entry for entry in entries if entry]):
            assert sorted(found) == sorted(set(found))


def test_the_python_example_of_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=3, time_base=None)
    (example,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    exec(example, {})
    assert numbers_of(tmp_path / "out.mp4") == [0, 1, 2]


@pytest.mark.parametrize(("page", "examples"), [("python.md", 10), ("urls.md", 5)])
def test_the_examples_of_the_pages_on_python_are_true(
    page: str, examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip(tmp_path / "in.mp4", time_base=None)
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(DOCS / page), module_relative=False)
    assert found.attempted >= examples
    assert not found.failed


def shell_blocks(name: str) -> list[str]:
    """Return the lines of the shell examples of a page."""
    return [
        line
        for block in blocks((DOCS / name).read_text(encoding="utf-8"), "sh")
        for line in block.splitlines()
    ]


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put the `vsr` of this interpreter and the real `ffmpeg` on the PATH of a shell."""
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
    (own,) = blocks(page, "toml")
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
        "a file has no docstring"
    )
