"""`vsr report` says what bounds a run, and draws how busy each thread was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from vsr.report.occupancy.reading import lines, read_runs

HOSTILE = "<img src=x onerror='window.hacked=1'>.mkv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a real run."""
    folder = tmp_path_factory.mktemp("run")
    source = make_clip(folder / HOSTILE, frames=12, width=64, height=48)
    report = vsr.upscale(source, folder / "out.mkv", model="bicubic")
    report.write(folder / "run.json")
    return folder / "run.json"


def report_with(made: Path, folder: Path, **busy: list[float]) -> Path:
    """Return the report of a run in which stages were busy in intervals of a second."""
    data = json.loads(made.read_text(encoding="utf-8"))
    seconds = max(map(len, busy.values()))
    data |= {
        "seconds": seconds,
        "busy_seconds": {stage: sum(row) for stage, row in busy.items()},
        "occupancy": {"interval_seconds": 1.0, "busy": busy},
        "stage_threads": [["decode"], ["color", "upscale"], ["encode"]],
    }
    path = folder / "report.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_a_run_records_when_its_stages_were_busy(made: Path) -> None:
    report = json.loads(made.read_text(encoding="utf-8"))
    record = report["occupancy"]
    for stage, seconds in report["busy_seconds"].items():
        assert sum(record["busy"][stage]) == pytest.approx(seconds, abs=0.1 + 0.05 * seconds), stage
    assert {stage for thread in report["stage_threads"] for stage in thread} >= {*report["busy_seconds"]}
    assert len(record["busy"]["decode"]) <= 120
    numbers = [
        line for line in made.read_text(encoding="utf-8").splitlines() if re.search(r'"decode": \[', line)
    ]
    assert len(numbers) == 1, "the numbers of a stage are one line"


@pytest.mark.parametrize(
    ("busy", "stage", "advice"),
    [
        (
            {"decode": [0.1] * 9, "upscale": [0.9] * 9, "color": [0.05] * 9, "encode": [0.4] * 9},
            "upscale",
            "--model fast",
        ),
        (
            {"decode": [0.1] * 9, "upscale": [0.3] * 9, "color": [0.0] * 9, "encode": [1.0] * 9},
            "encode",
            "--preset",
        ),
        (
            {"decode": [0.98] * 9, "upscale": [0.3] * 9, "color": [0.0] * 9, "encode": [0.1] * 9},
            "decode",
            "--hwaccel",
        ),
    ],
)
def test_the_stage_that_bounds_is_named_with_what_helps(
    made: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    busy: dict[str, list[float]],
    stage: str,
    advice: str,
) -> None:
    found = run_cli(capfd, "report", report_with(made, tmp_path, **busy))
    assert found.code == 0
    assert f"The stage {stage} bounds the run" in found.out
    assert advice in found.out
    assert "`" not in found.out


def test_threads_that_wait_for_each_other_are_said_to(made: Path, tmp_path: Path) -> None:
    idle = report_with(made, tmp_path, decode=[0.4] * 5, upscale=[0.3] * 5, encode=[0.2] * 5)
    assert any("No stage bounds the run" in line for line in lines(read_runs(idle)[0]))


def test_shares_are_means_over_all_workers(made: Path, tmp_path: Path) -> None:
    path = report_with(made, tmp_path, decode=[0.2] * 4, upscale=[2.0] * 4, encode=[0.4] * 4)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["engine"]["workers"] = ["cpu", "cpu"]
    path.write_text(json.dumps(data), encoding="utf-8")
    (run,) = read_runs(path)
    assert run.share("upscale") == 1
    assert run.shares_over_time("upscale") == [1.0] * 4
    assert "with 2 workers" in lines(run)[0]


def test_the_report_of_a_queue_has_each_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mkv", "b.mkv"):
        make_clip(tmp_path / name, frames=3, width=32, height=24)
    report, words = tmp_path / "q.jsonl", ("--to", tmp_path / "out", "--model", "bicubic", "--report")
    assert run_cli(capfd, "upscale", tmp_path / "a.mkv", tmp_path / "b.mkv", *words, report).code == 0
    found = run_cli(capfd, "report", report)
    assert found.code == 0, found.err
    assert [line.split(" -> ")[0][-5:] for line in found.out.splitlines() if " -> " in line] == [
        "a.mkv",
        "b.mkv",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"busy_seconds": 3}',
        '{"busy_seconds": {}, "source": 1}',
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    ],
)
def test_what_is_no_report_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "no.json"
    path.write_text(text, encoding="utf-8")
    found = run_cli(capfd, "report", path)
    assert found.code == 2
    assert found.line.startswith("vsr: error:")


def test_a_report_of_an_earlier_version_has_totals_only(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(made.read_text(encoding="utf-8"))
    del data["occupancy"], data["stage_threads"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert run_cli(capfd, "report", path, "-o", tmp_path / "old.html").code == 0
    assert "no record over time" in (tmp_path / "old.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_every_thread_and_names_as_text(
    browser: Any, made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], scheme: str
) -> None:
    report = report_with(
        made, tmp_path, decode=[0.1] * 5, color=[0.1] * 5, upscale=[0.8] * 5, encode=[0.4] * 5
    )
    assert run_cli(capfd, "report", report, "-o", tmp_path / "page.html").code == 0
    page = browser.new_page(color_scheme=scheme)
    complaints, requests = list[str](), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [(tmp_path / "page.html").as_uri()]
    assert HOSTILE in page.inner_text("body")
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.locator("svg.chart").count() == 3
    boxes = [page.locator("path.area").nth(n).bounding_box()["height"] for n in range(4)]
    assert boxes[2] == pytest.approx(8 * boxes[0], rel=0.05), "the area of 0.8 is eight times that of 0.1"
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
    )
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (ink, paper)]
    assert (brightness[0] < brightness[1]) == (scheme == "light")
    page.close()
