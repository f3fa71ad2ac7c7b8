"""Project rules beyond type checking: forbidden calls, contents of the wheel, flags in the documentation."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from vsr.cli.application import COMMANDS, built

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "vsr").rglob("*.py"))

ONLY_IN = {
    "torch.load": {"vsr/models/files.py"},
    "av.open": {"vsr/media/files/opening.py", "vsr/media/passthrough/header.py"},
    "torch.jit": set(),
    "torch.hub": set(),
    "torch.package": set(),
    "torch.serialization.add_safe_globals": set(),
    "os.system": set(),
    "os.popen": set(),
    "subprocess.getoutput": set(),
    "subprocess.getstatusoutput": set(),
    "eval": set(),
    "exec": set(),
    "compile": set(),
    "__import__": set(),
    "runpy": set(),
    "print": {"vsr/cli/console.py"},
    "rich.print": set(),
    "rich.console.Console": {"vsr/cli/console.py"},
    "typer.echo": set(),
    "typer.secho": set(),
    "click.echo": set(),
    "sys.stdout.write": set(),
    "sys.stderr.write": set(),
    "sys.stdout.buffer": set(),
    "sys.stderr.buffer": set(),
    "traceback.print_exc": set(),
    "traceback.print_exception": set(),
}
"""Names that run code or open files, and the files that may use them, under any imported name. Only
`opening.py` opens media for reading; `header.py` reads in memory what it has written. Output must pass
through `console.py`, which escapes characters that control a terminal."""
NEVER_IMPORTED = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "runpy"}
"""Modules that execute data. `pickletools` only lists the contents of a pickle."""


def full_names(tree: ast.AST) -> dict[str, str]:
    """Map each imported name to its full name: `from torch import load as l` makes l torch.load."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def used(text: str) -> list[tuple[str, ast.expr, ast.Call | None]]:
    """Return the forbidden names that a source uses, called or not."""
    tree = ast.parse(text)
    names = full_names(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, dot, rest = ast.unparse(node).partition(".")
            full = names.get(first, first) + dot + rest
            if full in ONLY_IN:
                found.append((full, node, calls.get(id(node))))
    return found


def complaints(text: str, name: str) -> list[str]:
    """Return the violations of the rules in a source."""
    wrong = []
    for full, node, call in used(text):
        writes = full == "av.open" and call is not None and _is_constant(call.args[1:2], "w")
        if not writes and name not in ONLY_IN[full]:
            wrong.append(f"{name}:{node.lineno} uses {full}")
        if full == "torch.load" and (call is None or _keyword(call, "weights_only") != "True"):
            wrong.append(f"{name}:{node.lineno} loads without weights_only=True")
        if full == "torch.load" and call is not None and _keyword(call, "pickle_module") is not None:
            wrong.append(f"{name}:{node.lineno} chooses a pickle_module")
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _keyword(node, "shell") not in (None, "False"):
            wrong.append(f"{name}:{node.lineno} passes a command through a shell")
        for module in _imported(node):
            if module.split(".")[0] in NEVER_IMPORTED:
                wrong.append(f"{name}:{node.lineno} imports {module}")
    return wrong


def _is_constant(arguments: list[ast.expr], value: str) -> bool:
    return bool(arguments) and isinstance(arguments[0], ast.Constant) and arguments[0].value == value


def _keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_dangerous_calls_are_only_in_permitted_files(path: Path) -> None:
    assert not complaints(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


@pytest.mark.parametrize(
    "text",
    [
        "torch.load(f, weights_only=True)",
        "from torch import load as l; l(f, weights_only=True)",
        "import torch as t; t.load(f)",
        "read = torch.load",
        "torch.jit.load(f)",
        "import pickle",
        "from pickle import loads",
        "import cloudpickle as c",
        "import subprocess; subprocess.run('ls', shell=True)",
        "import os; os.system('ls')",
        "from os import system; system('ls')",
        "eval('1')",
        "exec('1')",
        "av.open(path)",
        "av.open(path, 'r')",
        "from av import open as o; o(path)",
        "print(path)",
        "import sys; sys.stdout.write(path)",
        "from typer import echo; echo(path)",
        "from rich.console import Console; Console().print(path)",
    ],
)
def test_the_check_above_finds_violations(text: str) -> None:
    assert complaints(text, "vsr/anywhere.py")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("torch.load(f)", "vsr/models/files.py"),
        ("torch.load(f, weights_only=False)", "vsr/models/files.py"),
        ("torch.load(f, weights_only=True, pickle_module=p)", "vsr/models/files.py"),
    ],
)
def test_even_the_loader_may_only_load_safely(text: str, name: str) -> None:
    assert complaints(text, name)
    assert not complaints("torch.load(f, weights_only=True)", name)


def test_the_wheel_contains_only_vsr_with_weights_and_recipes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"vsr"}
    shipped = {f"vsr/{path.relative_to(ROOT / 'vsr')}" for path in (ROOT / "vsr/weights").iterdir()}
    assert shipped <= set(names)
    assert "vsr/_pipelines/train/fast-x2.toml" in names
    assert "vsr/_pipelines/anime.toml" in names
    assert "vsr/py.typed" in names
    assert wheel.stat().st_size < 20e6


def commands() -> dict[str, Any]:
    return dict(built(*COMMANDS).commands)


def shown_commands() -> list[str]:
    """Return the lines of code blocks and spans that begin with `vsr` and a command."""
    texts = [
        p.read_text(encoding="utf-8") for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    ]
    blocks = [block for text in texts for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    spans = [span for text in texts for span in re.findall(r"`(vsr [a-z][^`\n]*)`", text)]
    return [re.split(r"#| \| ", line)[0] for line in [*lines, *spans] if re.match(r"vsr [a-z]+ ", line)]


def test_every_flag_in_the_documentation_exists() -> None:
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
        everywhere = built(*COMMANDS).params  # such as --log-file, before or after the command
        flags = {flag for p in (*command.params, *everywhere) for flag in (*p.opts, *p.secondary_opts)}
        for word in words:
            if re.match(r"--?[a-z]", word):
                assert word.split("=")[0] in {*flags, "--help"}, f"{line}: {word}"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
def test_no_file_has_marks_of_a_merge_that_was_not_finished() -> None:
    found = subprocess.run(
        ["git", "grep", "-nE", "^(<{7}|>{7}) "], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1, found.stdout or found.stderr
