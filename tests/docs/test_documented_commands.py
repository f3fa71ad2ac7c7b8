"""Every command of the documentation is run, or the page says why it is not.

A block of commands has the language `sh`. A comment on the line before it may mark it, with the reason:

    <!-- not run: it needs an NVIDIA GPU -->
    <!-- slow: it trains for minutes -->

`tests/docs/documentation.py` lists the files that the commands of each page read.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.docs.documentation import PAGES, ROOT, Block, blocks_of, furnish, name_of
from tests.ffmpeg_binary import ffmpeg
from tests.local_servers import ObjectStore, object_store

PROGRAMS = ("vsr", "python", "pip", "pipx", "uv", "make", "ffmpeg", "vspipe", "gst-launch-1.0", "docker")
SHORTER = {
    "vsr finetune": "--minutes 0.05 --overwrite",
    "vsr train": "--steps 2 --validate-every 2 --overwrite",
    "vsr upscale": "--overwrite",
    "vsr compare": "--overwrite",
    "vsr preview": "--overwrite",
}
"""What is added to commands: training ends soon, and examples of a page may write the same file."""
NOT_BETTER = 5
"""Exit code of `vsr finetune` where a few seconds of training made the model no better."""
ELSEWHERE = {"docs/pipes.md", "docs/pipelines.md"}
"""Pages whose commands tests/test_docs.py runs, because it also looks at the frames of each result."""


def pages_with(mark: str) -> list[Path]:
    """Return the pages with commands in blocks of a mark."""
    marked = [page for page in PAGES if any(b.commands and b.mark == mark for b in blocks_of(page))]
    return [page for page in marked if name_of(page) not in ELSEWHERE]


def test_every_block_of_commands_has_the_language_sh() -> None:
    """In other blocks nothing would run them."""
    first_words = re.compile(rf"^(?:{'|'.join(map(re.escape, PROGRAMS))}) ", re.MULTILINE)
    others = [(name_of(page), block) for page in PAGES for block in blocks_of(page) if block.language != "sh"]
    usage = re.compile(r"^vsr [a-z ]+ .*\[OPTIONS\]$")
    found = [(page, block.text) for page, block in others if first_words.search(block.text)]
    assert [(page, text) for page, text in found if not usage.match(text.strip())] == []


def test_a_mark_stands_directly_before_a_block_of_commands() -> None:
    """Elsewhere it would have no effect."""
    for page in PAGES:
        marks = re.findall(r"^<!-- (?:not run|slow)\b.*-->$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(marks) == sum(bool(block.mark) for block in blocks_of(page)), name_of(page)
        assert all(block.commands for block in blocks_of(page) if block.mark), name_of(page)


def test_few_blocks_are_not_run() -> None:
    """Commands that need other hardware, servers, other people's files, or that install programs."""
    marked = [block for page in PAGES for block in blocks_of(page) if block.mark == "not run"]
    assert len(marked) < sum(bool(block.commands) for page in PAGES for block in blocks_of(page)) / 2
    assert all(re.match(r"(it|they) |the ", block.reason) for block in marked)


def test_every_target_of_make_that_the_documentation_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [line for page in PAGES for block in blocks_of(page) for line in block.commands]
    named = {
        word for line in lines if line.startswith("make ") for word in line.split()[1:] if "=" not in word
    }
    assert len(named) >= 5
    assert named <= targets


@pytest.mark.parametrize("page", pages_with(""), ids=name_of)
def test_the_commands_of_a_page_work(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_blocks([b for b in blocks_of(page) if not b.mark], page, tmp_path, monkeypatch, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("slow"), ids=name_of)
def test_the_slow_commands_of_a_page_work(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_blocks([b for b in blocks_of(page) if b.mark == "slow"], page, tmp_path, monkeypatch, capfd)


def run_blocks(
    blocks: list[Block],
    page: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Run the commands of blocks one after the other in a folder with the files of the page."""
    commands = [command for block in blocks for command in block.commands]
    furnish(name_of(page), folder)
    programs(monkeypatch, folder, with_ffmpeg=any("ffmpeg" in command for command in commands))
    monkeypatch.chdir(folder)
    with object_store(monkeypatch) if any("s3://" in c for c in commands) else nullcontext() as store:
        if store is not None:
            fill(store, folder / "s3")
        for command in commands:
            run(command, capfd)


def fill(store: ObjectStore, folder: Path) -> None:
    """Upload the files of a folder into the bucket that the pages name."""
    store.client.create_bucket(Bucket="bucket")
    for file in folder.rglob("*.*"):
        store.client.put_object(Bucket="bucket", Key=str(file.relative_to(folder)), Body=file.read_bytes())


def run(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Run `vsr` in this process where no shell is needed, and everything else in one."""
    more = next((flags for name, flags in SHORTER.items() if command.startswith(name)), "")
    if " --to " in command:
        more = ""  # what is finished is skipped
    if re.match(r"vsr [^|<>$]*$", command):
        outcome = run_cli(capfd, *shlex.split(f"{command} {more}")[1:])
        allowed = {0, NOT_BETTER} if command.startswith("vsr finetune") else {0}
        assert outcome.code in allowed, (command, outcome.err[-2000:])
        return
    done = subprocess.run(["bash", "-o", "pipefail", "-ec", command], capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr[-2000:])


def programs(monkeypatch: pytest.MonkeyPatch, folder: Path, *, with_ffmpeg: bool) -> None:
    """Put this Python, its `vsr` and, where it is needed, a real `ffmpeg` on the PATH of a shell."""
    place = folder / "programs"
    place.mkdir()
    for name, words in (("python", ""), ("vsr", "-m vsr ")):
        script = place / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        script.chmod(0o755)
    if with_ffmpeg:
        (place / "ffmpeg").symlink_to(ffmpeg())
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
