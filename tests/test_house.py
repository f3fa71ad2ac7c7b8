"""Rules of the house that no type checker knows: forbidden calls, what the wheel holds, what the docs say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer.main

import vsr
from vsr.cli import app

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "vsr").rglob("*.py"))

ONLY_IN = {
    "torch.load": {"vsr/models/files.py", "vsr/train/state.py"},
    "av.open": {"vsr/media/opening.py", "vsr/media/header.py"},
    "pickle.load": set(),
    "pickle.loads": set(),
    "torch.jit.load": set(),
    "eval": set(),
    "exec": set(),
    "os.system": set(),
}
"""Call to the files that may make it. Files are opened for reading in `opening.py` alone; `header.py` reads
what it has just written into memory."""


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(n.func), n) for n in ast.walk(tree) if isinstance(n, ast.Call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_dangerous_calls_stand_in_their_place_only(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for called, node in calls(path):
        allowed = ONLY_IN.get(called)
        if allowed is None:
            continue
        writes = called == "av.open" and any(
            isinstance(a, ast.Constant) and a.value == "w" for a in node.args
        )
        assert writes or name in allowed, f"{name}:{node.lineno} calls {called}"
        if called == "torch.load":
            safe = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert safe.get("weights_only") == "True", f"{name}:{node.lineno}"
        assert not any(k.arg == "shell" for k in node.keywords)


def test_the_public_api_is_what_all_says_and_sorted() -> None:
    assert vsr.__all__ == sorted(vsr.__all__)
    for name in vsr.__all__:
        assert getattr(vsr, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vsr.nonsense


def test_the_wheel_holds_vsr_with_weights_and_recipes_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"vsr"}
    shipped = {f"vsr/{path.relative_to(ROOT / 'vsr')}" for path in (ROOT / "vsr/weights").iterdir()}
    assert shipped <= set(names)
    assert "vsr/_pipelines/train/fast-x2.toml" in names
    assert "vsr/py.typed" in names
    assert wheel.stat().st_size < 20e6


def commands() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def shown_commands() -> list[str]:
    """Lines of code blocks and spans that begin with `vsr` and a command."""
    texts = [
        p.read_text(encoding="utf-8") for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    ]
    blocks = [block for text in texts for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    spans = [span for text in texts for span in re.findall(r"`(vsr [a-z][^`\n]*)`", text)]
    return [line.split("#")[0] for line in [*lines, *spans] if re.match(r"vsr [a-z]+ ", line)]


def test_every_flag_that_the_docs_show_exists() -> None:
    known = commands()
    shown = shown_commands()
    assert len(shown) >= 5
    for line in shown:
        words = line.split()
        assert words[1] in known, line
        command = known.get(words[1])
        if hasattr(command, "commands"):
            command = (
                command.commands.get(words[2]) if len(words) > 2 and not words[2].startswith("[") else None
            )
        if command is None:
            continue
        flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
        for word in words:
            if re.match(r"--?[a-z]", word):
                assert word.split("=")[0] in flags, f"{line}: {word}"
