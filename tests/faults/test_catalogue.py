"""The page on reliability has every row of the catalogue once, and names only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs/reliability.md").read_text(encoding="utf-8")
LEAST = {"A": 42, "B": 20, "C": 18, "D": 15, "E": 9, "F": 9, "G": 6}
"""The rows that were agreed first; more rows and other letters may follow."""


def rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in re.findall(r"^\| [A-Z]\d+ .*", PAGE, re.M)
    ]


def test_every_row_exists_once_and_in_order() -> None:
    numbers: dict[str, list[int]] = {}
    for row in rows():
        numbers.setdefault(row[0][0], []).append(int(row[0][1:]))
    for letter, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), letter
    for letter, least in LEAST.items():
        assert len(numbers[letter]) >= least, letter


def test_every_row_has_a_test_that_exists_or_says_that_it_is_not_met() -> None:
    for number, _, promise, shown in rows():
        if shown == "-":
            assert "**" in promise or number == "C16", number
        elif not shown.startswith("soak"):
            file, name = shown.strip("`").split("::")
            assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), shown
