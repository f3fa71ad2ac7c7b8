"""The page on reliability names every row of the catalogue once, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs/reliability.md").read_text(encoding="utf-8")
ROWS = {"A": 42, "B": 20, "C": 18, "D": 17, "E": 9, "F": 9, "G": 6, "H": 4, "T": 4, "W": 7}


def rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in re.findall(r"^\| [A-Z]\d+ .*", PAGE, re.M)
    ]


def test_every_row_stands_there_once() -> None:
    assert [row[0] for row in rows()] == [
        f"{letter}{n}" for letter, last in ROWS.items() for n in range(1, last + 1)
    ]


def test_every_row_has_a_test_that_exists_or_says_that_it_is_not_met() -> None:
    for number, _, promise, shown in rows():
        if shown == "-":
            assert "**" in promise or number == "C16", number
        elif not shown.startswith("soak"):
            file, name = shown.strip("`").split("::")
            assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), shown
