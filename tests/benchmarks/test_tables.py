"""The tables of docs/benchmarks.md are generated from measurements in JSON files."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.speed import peers, whole_runs

TEXT = tables.PAGE.read_text(encoding="utf-8")
SHOWN = set(re.findall(r"<!-- results: (\S+) (\S+) -->", TEXT))


def test_the_page_equals_the_output_of_the_command() -> None:
    """The command is `python -m benchmarks.tables`."""
    assert tables.page(TEXT) == TEXT


def test_a_wrong_figure_in_the_page_is_corrected() -> None:
    wrong = re.sub(r"(\| model only \| torch, fp32, NCHW \| )[0-9.]+", r"\g<1>0.001", TEXT)
    assert wrong != TEXT
    assert tables.page(wrong) == TEXT


def test_every_table_of_figures_is_generated_and_every_run_is_shown() -> None:
    """The log of decisions is excluded, because it is prose."""
    measured = TEXT.partition("\n## Log\n")[0]
    by_hand = re.sub(r"<!-- results: .*?<!-- end of results -->", "", measured, flags=re.DOTALL)
    assert "\n|" not in by_hand
    kept = {
        (path.stem, name)
        for path in tables.RESULTS.glob("*.json")
        for name in json.loads(path.read_text(encoding="utf-8"))["runs"]
    }
    assert kept == SHOWN


@pytest.mark.parametrize("path", sorted(tables.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_run_names_its_command_and_date(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["machine"]
    assert tables.written(content) == path.read_text(encoding="utf-8")
    for run in content["runs"].values():
        assert run["command"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", run["date"])


def test_a_new_measurement_replaces_the_one_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_MACHINE", "mine")
    columns = [tables.column("what"), tables.column("s", tables.spread(2, " s"))]
    for seconds in ([9.0, 8.0, 7.0], [1.0, 2.0, 3.004]):
        shown = tables.record(
            tmp_path, "start", columns, [["a", tables.summary(seconds)]], machine="a machine"
        )
    tables.record(tmp_path, "other", columns, [["b", "-"]], machine="a machine")
    page = "before\n<!-- results: mine start -->\nold\n<!-- end of results -->\nafter\n"
    assert shown == "| what | s |\n| --- | --- |\n| a | 2.00 (1.00 to 3.00) s |\n"
    assert tables.page(page, tmp_path) == page.replace("old\n", shown)
    assert list(json.loads((tmp_path / "mine.json").read_text())["runs"]) == ["start", "other"]


def test_benchmarks_record_rows_that_their_columns_show() -> None:
    row = whole_runs.Row("whole", "torch", [0.1, 0.2, 0.3], [0.4, 0.4, 0.6])
    shown = tables.table({"columns": whole_runs.COLUMNS, "rows": [row.cells()]}).splitlines()[-1]
    assert shown == (
        "| whole | torch | 0.200 (0.100 to 0.300) | 0.400 (0.400 to 0.600) | 2.00 (2.00 to 4.00) x |"
    )
    taken = {"vsr, torch": [0.1, 0.1], "torch": [0.4, 0.2]}
    rows = peers.rows_of(taken, {"vsr, torch": 60.0, "torch": math.inf}, operations=1e9)
    assert tables.table({"columns": peers.COLUMNS, "rows": rows}).splitlines()[2:] == [
        "| vsr, torch | 100 (100 to 100) | 3.00 x | 10 | 60.0 |",
        "| torch | 300 (200 to 400) | 1.00 x | 3 | inf |",
    ]


@pytest.mark.parametrize(
    "path", sorted((tables.ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.stem
)
def test_every_benchmark_imports_names_that_exist(path: Path) -> None:
    words = path.relative_to(tables.ROOT).with_suffix("").parts
    assert importlib.import_module(".".join(words).removesuffix(".__init__")).__doc__


def test_a_run_is_recorded_with_the_command_that_repeats_it(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"
    (folder / "speed").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "tables.py").write_bytes(Path(tables.__file__).read_bytes())
    program = "from benchmarks import tables\nprint(tables._words())\n"
    (folder / "speed/start.py").write_text(program, encoding="utf-8")
    words = ["-m", "benchmarks.speed.start", "--rounds", "3"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == f"{words}\n"


def test_speed_and_figures_are_recorded_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_MACHINE", "mine")
    shown = whole_runs.save(tmp_path, [whole_runs.Row("whole", "torch", [0.1], [0.4])], {"frames": 60})
    assert "4.00 (4.00 to 4.00) x" in shown
    assert "| frames | 60 |" in shown
    runs = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))["runs"]
    assert list(runs) == ["speed", "speed-figures"]


def test_the_ratios_of_the_readme_are_those_of_the_page() -> None:
    """README.md has a summary in words, such as `8.3 (7.8 to 8.5) times as fast`."""
    readme = (tables.ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Speed\n")[2]
    spread = re.findall(r"([\d.]+ \([\d.]+ to [\d.]+\)) times", readme)
    assert len(spread) >= 4
    assert {ratio for ratio in spread if f"{ratio} x" not in TEXT} == set()
