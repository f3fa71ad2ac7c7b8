"""Prints the share of lines that the tests run, for each folder of the package, and the files with the least.

    python -m tests.project.coverage_table build/coverage.json

`make test` calls it after the tests. SlipCover has counted the lines, in the processes of pytest only: what a
test runs in a process of its own (`python -m vsr ...`, workers) is not counted.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LEAST = 10
"""Number of files that are named."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file or a folder that tests run, and those that they do not run."""

    run: int = 0
    missed: int = 0

    def __add__(self, other: Lines) -> Lines:
        return Lines(self.run + other.run, self.missed + other.missed)

    @property
    def share(self) -> float:
        """0 to 1; a file without code has 1."""
        return self.run / (self.run + self.missed) if self.run + self.missed else 1.0


def files_of(found: Mapping[str, Mapping[str, list[int]]]) -> dict[Path, Lines]:
    """Return the lines of each file, from the key `files` of SlipCover's JSON."""
    return {
        Path(name): Lines(len(lines["executed_lines"]), len(lines["missing_lines"]))
        for name, lines in found.items()
    }


def table(files: Mapping[Path, Lines]) -> Iterator[str]:
    """Yield the lines of the table: each folder of the package, the total, and the files with the least."""
    folders: defaultdict[Path, Lines] = defaultdict(Lines)
    for path, lines in files.items():
        folders[Path(*path.parts[: min(2, len(path.parts) - 1)])] += lines
    for folder, lines in [*sorted(folders.items()), ("together", sum(folders.values(), Lines()))]:
        yield f"{lines.share:6.1%}  of {lines.run + lines.missed:6,} lines  {folder}"
    yield "least:"
    for path, lines in sorted(files.items(), key=lambda file: file[1].share)[:LEAST]:
        yield f"{lines.share:6.1%}  of {lines.run + lines.missed:6,} lines  {path}"


def main() -> None:
    """Print the table of a JSON file."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.writelines(f"{line}\n" for line in table(files_of(found["files"])))


if __name__ == "__main__":
    main()
