"""Writes the lists of files and the import contracts in architecture.md: `python docs/tree.py`.

The line of a file is the first sentence of its docstring. A test fails where a list is not what this writes,
so the page and the files cannot drift apart.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- files, written by docs/tree.py -->\n", "<!-- end of files -->\n"
OTHER_BEGIN, OTHER_END = "<!-- other files, written by docs/tree.py -->\n", "<!-- end of other files -->\n"
CONTRACT = re.compile(r"(<!-- contract: ([^\n]*) -->\n).*?(<!-- end of contract -->)", re.DOTALL)
OTHERS = {
    "benchmarks": "Measurements, side by side, and the pictures of the documentation."
    " `results/` has one JSON file for each machine",
    "docs": "The pages of the site, and what writes those that are generated",
    "tests": "Mirrors of `vsr/`, `benchmarks/` and `docs/`, and the tools of all tests",
    "tests/container": "The Dockerfile, built with docker or podman, or carried out in a Debian root",
    "tests/docs": "Tests of the documentation, and what its commands and files need",
    "tests/faults": "Attacks on whole runs, and what judges their results",
    "tests/faults/inputs": "Media and weights that attack: bombs, false names, random damage",
    "tests/faults/processes": "Processes that run `vsr`, are killed, or whose calls fail",
    "tests/project": "Tests of what the project is released with: the wheel, workflows, coverage",
}
"""Folders beside the package, with what is in them."""


def lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """A line for each file that is no test, then for each folder with what is in it, indented by depth."""
    indent = "  " * depth
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py" and not path.name.startswith("test_"):
            yield f"{indent}- `{path.name}`: {first_sentence(path)}"
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield f"{indent}- **`{inner.name}/`**: {first_sentence(inner / '__init__.py')}"
        yield from lines(inner, depth + 1)


def other_lines() -> Iterator[str]:
    """A line for each folder beside the package, then for each file in it that is no test."""
    for name, meaning in OTHERS.items():
        yield f"- **`{name}/`**: {meaning}"
        yield from lines(ROOT / name, 1)


def first_sentence(path: Path) -> str:
    """What a file's docstring begins with, on one line, without the full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentence = re.split(r"(?<=[.;])\s", " ".join(text.split("\n\n")[0].split()), maxsplit=1)[0]
    return sentence.rstrip(".:;")


def page() -> str:
    """The page with lists that are true."""
    text = _replaced(PAGE.read_text(encoding="utf-8"), BEGIN, lines(ROOT / "vsr"), END)
    text = _replaced(text, OTHER_BEGIN, other_lines(), OTHER_END)
    layers = _contracts()
    return CONTRACT.sub(lambda found: f"{found[1]}```text\n{layers[found[2]]}\n```\n{found[3]}", text)


def _contracts() -> dict[str, str]:
    """The layers of each contract of the import linter, the highest one first, by the contract's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = project["tool"]["importlinter"]["contracts"]
    return {one["name"]: "\n".join(one["layers"]) for one in found if "layers" in one}


def _replaced(text: str, begin: str, entries: Iterator[str], end: str) -> str:
    before, _, rest = text.partition(begin)
    return before + begin + "".join(f"{entry}\n" for entry in entries) + end + rest.partition(end)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
