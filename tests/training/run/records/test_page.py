"""A training run has one page that shows it, reloads itself while it lasts, and needs no network."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.photographs import tiny_recipe, write_photographs
from vsr.media.png import save_png
from vsr.training.run.loop import StoppedEarlyError, TrainProgress, train
from vsr.training.run.records.page import (
    MOST_SAMPLES,
    REFRESH_SECONDS,
    PageFacts,
    Status,
    page_path,
    running,
    spread,
    write_page,
)

pytestmark = pytest.mark.usefixtures("quick")

HOSTILE = "<img src=x onerror='window.hacked=1'>"
RELOADS = f'http-equiv="refresh" content="{REFRESH_SECONDS}"'


def about(**changes: Any) -> PageFacts:
    recipe = replace(tiny_recipe(steps=100), note=HOSTILE)
    facts = PageFacts(recipe=recipe, device=torch.device("cpu"), minutes=5, head={"data": HOSTILE})
    return replace(facts, **changes)


def write_log(output: Path, steps: list[int]) -> None:
    rows = [
        {
            "step": n,
            "seconds": n,
            "loss": 1 / n,
            "clean": n / 100,
            "gain": n / 200,
            "own": None,
            "flicker": 0.1,
        }
        for n in steps
    ]
    output.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output.with_suffix(".samples").mkdir(exist_ok=True)
    for n in steps:
        image = torch.full((3, 8, 8), n / 1000)
        save_png(image, output.with_suffix(".samples") / f"step-{n:09d}.png")


def text_of(output: Path) -> str:
    return page_path(output).read_text(encoding="utf-8")


def test_a_run_writes_its_page_after_each_validation_and_in_the_end(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 6)
    output, seen = tmp_path / "out.safetensors", list[str]()

    def look(progress: TrainProgress) -> None:
        if page_path(output).exists():
            seen.append(text_of(output))

    train(
        replace(tiny_recipe(steps=6), validate_every=2),
        data=[tmp_path / "photographs"],
        output=output,
        on_step=look,
    )
    assert all(RELOADS in text for text in seen)
    assert "Step 2, 33% done" in seen[0]
    assert "step 4" in seen[-1]
    assert RELOADS not in text_of(output)
    assert "Finished after step 6." in text_of(output)
    assert "now, step 6" in text_of(output)


def test_a_stopped_run_says_so_and_does_not_reload(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 6)
    output = tmp_path / "out.safetensors"
    recipe = replace(tiny_recipe(steps=6), validate_every=2)
    with pytest.raises(StoppedEarlyError):
        train(recipe, data=[tmp_path / "photographs"], output=output, stop=page_path(output).exists)
    assert "Stopped at step 2; the same command resumes." in text_of(output)
    assert RELOADS not in text_of(output)


def test_a_run_that_began_again_shows_only_its_own_rows(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    write_log(output, [10, 20, 30, 20, 25])
    write_page(output, about(), running(25, 0.25, 25))
    text = text_of(output)
    assert "now, step 25" in text
    assert re.findall(r'data-step="(\d+)"', text) == ["10", "20", "25"]


def test_a_cut_line_and_missing_samples_are_no_error(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    write_log(output, [10, 20])
    with output.with_suffix(".jsonl").open("a") as file:
        file.write('{"step": 30, "ga')
    (output.with_suffix(".samples") / "step-000000010.png").unlink()
    write_page(output, about(), running(30, 0.3, 30))
    assert re.findall(r'data-step="(\d+)"', text_of(output)) == ["20"]


def test_a_long_run_has_a_limited_number_of_samples() -> None:
    assert spread(3, MOST_SAMPLES) == [0, 1, 2]
    for number in (12, 13, 50, 1000):
        found = spread(number, MOST_SAMPLES)
        assert len(found) == len(set(found)) == MOST_SAMPLES
        assert (found[0], found[-1]) == (0, number - 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_curves_samples_and_names_as_text(browser: Any, tmp_path: Path, scheme: str) -> None:
    output = tmp_path / f"{HOSTILE.replace('/', '')}.safetensors"
    write_log(output, [10, 20, 30, 40])
    write_page(output, about(), Status(text="Finished.", is_running=False), before={"clean": 0.05})
    page = browser.new_page(color_scheme=scheme)
    complaints, requests = list[str](), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_path(output).as_uri())
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert HOSTILE in page.title()
    assert "before" in page.inner_text("table")
    assert page.inner_text("body").count(HOSTILE) >= 3
    curves = page.locator("path.curve").evaluate_all("(all) => all.map((p) => p.getAttribute('d'))")
    assert len(curves) >= 4
    assert all(curve.count("L") == 3 for curve in curves)
    shown = "[...document.querySelectorAll('img.sample')].filter((i) => !i.hidden).map((i) => i.dataset.step)"
    assert page.evaluate(shown) == ["40"]
    page.focus("#sample")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(shown) == ["20"]
    assert page.inner_text("#sample-step") == "20"
    assert page.evaluate("document.querySelector('img.sample:not([hidden])').naturalWidth") == 8
    page.reload()
    assert page.evaluate(shown) == ["20"], "the choice is kept when the page reloads itself"
    page.focus("#sample")
    page.keyboard.press("End")
    write_log(output, [10, 20, 30, 40, 50])
    write_page(output, about(), running(50, 0.5, 50))
    page.reload()
    assert page.evaluate(shown) == ["50"], "whoever looks at the newest goes on to the next"
    assert complaints == []
    mine = page_path(output).as_uri()
    assert {url for url in requests if not url.startswith("data:")} == {mine}
    page.close()
