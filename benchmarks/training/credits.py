"""Writes `vsr/weights/CREDITS.md`: the credits for the training images, from the tables of the datasets.

    python -m benchmarks.training.credits train2 film

Each folder has a `SOURCES.tsv` (columns `file`, `repository`, `path`, `licence`, `author`); files in its
`HOLDOUT.tsv` are left out. Images under CC BY are listed with their authors, as the licence requires; of all
others, the page has their number for each repository and licence.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmarks.tables import ROOT
from vsr.training.data.image_folder import HOLDOUT, SOURCES

TARGET = ROOT / "vsr" / "weights" / "CREDITS.md"
Row = dict[str, str]

HEAD = """# Credits for the training images

`python -m benchmarks.training.credits` writes this page. The licences are those that the repositories state.
All images were reduced or cut into tiles of 512x512 pixels, and degraded as the cards describe. The texts of
the licences: creativecommons.org/licenses/by/2.0, .../by/2.5, .../by/3.0, .../by/4.0. Each card lists the
photographs of the first training set.
"""


def used(folder: Path) -> list[Row]:
    """Return the rows of a folder's table that were used for training.

    Raises:
        SystemExit: The row of an image under CC BY has neither an author nor a repository to credit.
    """
    out = {row["file"] for row in _rows(folder / HOLDOUT)} if (folder / HOLDOUT).is_file() else set[str]()
    rows = [row for row in _rows(folder / SOURCES) if row["file"] not in out]
    for row in rows:
        if asks_for_credit(row) and not (row.get("author") or row["repository"]):
            raise SystemExit(f"{folder / SOURCES}: {row['file']} is {row['licence']}, but has no author")
    return rows


def asks_for_credit(row: Row) -> bool:
    """Return whether the licence, also that of a derived work, requires attribution."""
    return "CC BY" in row["licence"].upper().replace("-", " ")


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def text(rows: Sequence[Row]) -> str:
    """Return the page."""
    named, others = defaultdict[str, dict[tuple[str, str], list[str]]](dict), Counter[tuple[str, str]]()
    for row in rows:
        if asks_for_credit(row):
            key = (row.get("author") or f"the authors of {row['repository']}", row["licence"])
            named[row["repository"]].setdefault(key, []).append(PurePosixPath(row["path"]).name)
        else:
            others[row["repository"], row["licence"]] += 1
    lines = [HEAD, "## Attribution (CC BY, for the images or for changes to them)"]
    for repository in sorted(named):
        lines += ["", f"### {repository}", ""]
        lines += [
            f"- {author}. {licence}: {', '.join(names)}"
            for (author, licence), names in sorted(named[repository].items())
        ]
    lines += ["", "## All others", "", "| repository | licence as stated | images |", "| --- | --- | --- |"]
    lines += [
        f"| {repository} | {licence} | {count} |" for (repository, licence), count in sorted(others.items())
    ]
    return "\n".join(lines) + "\n"


def photographs_table(rows: Sequence[Row]) -> str:
    """Return a table of photographs with repository, commit and licence: those under CC BY one by one, the
    others counted.
    """
    photographs = {(row["repository"], row["path"]): row for row in rows}.values()
    lines = ["| repository | commit | photographs | licence as stated |", "| --- | --- | --- | --- |"]
    others = Counter((row["repository"], row["licence"]) for row in photographs if not asks_for_credit(row))
    commits = defaultdict[tuple[str, str], set[str]](set)
    for row in photographs:
        commits[row["repository"], row["licence"]].add(row["commit"][:8])
    for (repository, licence), count in sorted(others.items(), key=lambda one: -one[1]):
        found = commits[repository, licence]
        commit = next(iter(found)) if len(found) == 1 else "various"
        lines.append(f"| {repository} | {commit} | {count} | {licence} |")
    for row in sorted(filter(asks_for_credit, photographs), key=lambda one: one["path"]):
        name = PurePosixPath(row["path"]).stem
        lines.append(f"| {row['repository']} | {row['commit'][:8]} | {name} | {row['licence']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    asked = parser.parse_args()
    rows = [row for folder in asked.folders for row in used(folder)]
    TARGET.write_text(text(rows), encoding="utf-8")
    print(f"{TARGET}: {len(rows)} images, {sum(map(asks_for_credit, rows))} under CC BY")


if __name__ == "__main__":
    main()
