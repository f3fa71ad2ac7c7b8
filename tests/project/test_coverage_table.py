"""The table at the end of `make test` has the share of each folder and of the whole."""

from __future__ import annotations

from tests.project.coverage_table import files_of, table

FOUND = {
    "vsr/frame.py": {"executed_lines": [1, 2, 3], "missing_lines": [4]},
    "vsr/cli/commands/info.py": {"executed_lines": [], "missing_lines": [1, 2]},
    "vsr/cli/flags/urls.py": {"executed_lines": [1, 2, 3, 4], "missing_lines": []},
    "vsr/color/__init__.py": {"executed_lines": [], "missing_lines": []},
}


def test_files_count_for_their_folder_and_those_with_the_least_are_named() -> None:
    told = [line.split() for line in table(files_of(FOUND))]
    end = told.index(["least:"])
    assert [(row[0], row[-1]) for row in told[:end]] == [
        ("75.0%", "vsr"),
        ("66.7%", "vsr/cli"),
        ("100.0%", "vsr/color"),
        ("70.0%", "together"),
    ]
    assert [(row[0], row[-1]) for row in told[end + 1 : end + 3]] == [
        ("0.0%", "vsr/cli/commands/info.py"),
        ("75.0%", "vsr/frame.py"),
    ]
