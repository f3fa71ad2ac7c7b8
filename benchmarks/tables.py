"""Stores benchmark results as JSON, one file a machine, and makes the tables of docs/benchmarks.md from them.

    python -m benchmarks.tables            rewrites the tables of docs/benchmarks.md, which a test compares

A file in `benchmarks/results/` has a description of the machine and its runs by name. A run has the command
that measured it, the date, its columns and its rows:

    {"machine": "...", "runs": {"speed": {"command": "...", "date": "2026-11-22",
      "columns": [{"head": "scope"}, {"head": "vsr, s/frame", "form": "{:.3f} ({:.3f} to {:.3f})"}],
      "rows": [["model only", [0.085, 0.082, 0.097]]]}}}

A cell is a text, which is shown unchanged, or numbers, which are shown in the form of their column. The
benchmarks write such files themselves (`record`) under `--out`. With `--out benchmarks/results` and the name
of the file in `VSR_MACHINE`, a new measurement replaces the old one.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
_PLACE = re.compile(r"(<!-- results: (\S+) (\S+) -->\n).*?(<!-- end of results -->)", re.DOTALL)

Cell = str | float | Sequence[float]


def column(head: str, form: str = "{}") -> dict[str, str]:
    """Return a column; `form` formats the numbers of a cell, with one pair of braces for each."""
    return {"head": head, "form": form}


def spread(digits: int, unit: str = "") -> str:
    """Return the form for a median with the smallest and the largest value."""
    number = f"{{:.{digits}f}}"
    return f"{number} ({number} to {number}){unit}"


def summary(values: Sequence[float]) -> list[float]:
    """Return the median, the smallest and the largest value."""
    return [statistics.median(values), min(values), max(values)]


def table(run: dict[str, Any]) -> str:
    """Return a run as a Markdown table that ends with a line break."""
    columns = run["columns"]
    lines = [[c["head"] for c in columns], ["---"] * len(columns)]
    lines += [[_shown(cell, c) for cell, c in zip(row, columns, strict=True)] for row in run["rows"]]
    return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def _shown(cell: Cell, column: dict[str, str]) -> str:
    if isinstance(cell, str):
        return cell
    return column.get("form", "{}").format(*(cell if isinstance(cell, Sequence) else [cell]))


def page(text: str, results: Path = RESULTS) -> str:
    """Return the page with new tables and unchanged text between them."""
    return _PLACE.sub(lambda place: place[1] + table(run_of(results, place[2], place[3])) + place[4], text)


def run_of(results: Path, machine: str, name: str) -> dict[str, Any]:
    """Return a run of a machine, by the names in the page."""
    run: dict[str, Any] = json.loads((results / f"{machine}.json").read_text(encoding="utf-8"))["runs"][name]
    return run


def record(
    folder: Path,
    name: str,
    columns: list[dict[str, str]],
    rows: list[list[Cell]],
    *,
    machine: str | None = None,
) -> str:
    """Store a run in the file of this machine in `folder`, in place of one with the same name.

    Returns:
        The table, for printing.
    """
    machine = machine or described()
    path = folder / f"{os.environ.get('VSR_MACHINE') or _short(machine)}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"machine": machine, "runs": {}}
    run = {
        "command": shlex.join([Path(sys.executable).name, *_words()]),
        "date": datetime.now(UTC).date().isoformat(),
        "columns": columns,
        "rows": rows,
    }
    kept["runs"][name] = run
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(written(kept), encoding="utf-8")
    return table(run)


def written(content: dict[str, Any]) -> str:
    """Return JSON with a line for each row, so that a changed figure is a changed line."""
    runs = []
    for name, run in content["runs"].items():
        facts = [f'      "{key}": {_json(run[key])}' for key in run if key not in ("columns", "rows")]
        facts += [f'      "{key}": [\n{_lines(run[key])}\n      ]' for key in ("columns", "rows")]
        runs.append(f"    {_json(name)}: {{\n" + ",\n".join(facts) + "\n    }")
    head = "".join(f'  "{key}": {_json(value)},\n' for key, value in content.items() if key != "runs")
    return "{\n" + head + '  "runs": {\n' + ",\n".join(runs) + "\n  }\n}\n"


def _lines(values: list[Any]) -> str:
    return ",\n".join(f"        {_json(value)}" for value in values)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _words() -> list[str]:
    """Return the command line in the form that repeats it in a checkout."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    return ["-m", module.name, *sys.argv[1:]] if module else sys.argv


def described() -> str:
    """Describe this machine: its CPU, cores, GPU and the version of torch."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{_cpu()}, {os.cpu_count()} cores{gpu}, torch {torch.__version__}"


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _short(machine: str) -> str:
    """Return a file name for a machine without a given name."""
    return re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
