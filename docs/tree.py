"""Writes the list of files in architecture.md, from the first sentence of each file: `python docs/tree.py`.

A test fails where the list is not what this writes, so the page and the files cannot drift apart.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- files, written by docs/tree.py -->\n", "<!-- end of files -->\n"


def lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """A line for each file, then for each folder with what is in it, indented by depth."""
    indent = "  " * depth
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{indent}- `{path.name}`: {first_sentence(path)}"
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield f"{indent}- **`{inner.name}/`**: {first_sentence(inner / '__init__.py')}"
        yield from lines(inner, depth + 1)


def first_sentence(path: Path) -> str:
    """What a file's docstring begins with, on one line, without the full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentence = re.split(r"(?<=[.;])\s", " ".join(text.split("\n\n")[0].split()), maxsplit=1)[0]
    return sentence.rstrip(".:;")


def page() -> str:
    """The page with a list that is true."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    tree = "".join(f"{line}\n" for line in lines(ROOT / "vsr"))
    return before + BEGIN + tree + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
