"""The page of `vsr compare` in a real browser: right pixels, every key, no errors, nothing from a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

import vsr
from tests.browser import Watched
from tests.media_maker import make_clip
from tests.report.compare.colourful import colourful_clip
from vsr.report.compare.inputs import eight_bit, fitted, open_inputs
from vsr.report.compare.still import where_they_differ

FRAMES = 6
HOSTILE = "</script><script>window.hacked = 1</script>{{facts}}<img src=x onerror='window.hacked = 1'>"
HOSTILE_NAME = "<img src=x onerror=hacked=1>&amp;.mkv"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a small source, two results and the original, as if two models had made the results."""
    folder = tmp_path_factory.mktemp("compared")
    lr = {"frames": FRAMES, "width": 32, "height": 24}
    hr = {"frames": FRAMES, "width": 64, "height": 48}
    return [
        make_clip(folder / "in.mkv", **lr),
        make_clip(folder / HOSTILE_NAME, options={"crf": "40"}, **hr),
        make_clip(folder / "b.mkv", options={"crf": "30"}, **hr),
        make_clip(folder / "hr.mkv", options={"crf": "1"}, **hr),
    ]


@pytest.fixture(scope="module")
def made(files: list[Path]) -> tuple[Path, vsr.Comparison]:
    *inputs, reference = files
    output = files[0].parent / "page.html"
    return output, vsr.compare(*inputs, reference=reference, output=output, title=HOSTILE)


@pytest.fixture
def opened(browser: Any, made: tuple[Path, vsr.Comparison]) -> Iterator[Watched]:
    watched = Watched(browser, made[0])
    yield watched
    assert watched.complaints == []
    assert watched.requests == [made[0].as_uri()], "everything is in the page"
    watched.page.close()


def raw_panel(path: Path, number: int, size: tuple[int, int]) -> list[int]:
    one = open_inputs([path, path])[0]
    frame = next(islice(one.frames(), number, None))
    return eight_bit(fitted(one.image(frame), size)).permute(1, 2, 0).flatten().tolist()


def test_stepping_shows_each_frame_of_each_panel_to_the_pixel(opened: Watched, files: list[Path]) -> None:
    for number in range(FRAMES):
        opened.at(number)
        for panel, path in enumerate(files):
            assert opened.pixels(panel) == raw_panel(path, number, (48, 64)), (number, path.name)
        opened.press("ArrowRight")
    for key, position in (("Home", 0), ("End", FRAMES - 1), ("ArrowLeft", FRAMES - 2), ("PageUp", 0)):
        opened.press(key)
        opened.at(position)


def test_a_hostile_title_and_name_are_text(opened: Watched) -> None:
    assert opened.page.title() == HOSTILE
    assert opened.page.inner_text("#title") == HOSTILE
    assert HOSTILE_NAME in opened.page.inner_text("#totals")
    assert HOSTILE_NAME in opened.page.inner_text("#files")
    assert opened.page.evaluate("typeof window.hacked") == "undefined"
    assert opened.page.query_selector("img") is None


def test_the_slider_moves_with_the_pointer_and_with_keys(opened: Watched) -> None:
    def covered() -> float:
        clip = opened.page.eval_on_selector(
            "#stage figure.right .crop", "(crop) => getComputedStyle(crop).clipPath"
        )
        return float(clip.rstrip("%)").split()[-1])

    assert covered() == 50
    opened.press(".")
    assert covered() == pytest.approx(52)
    box = opened.page.locator("#stage figure.on .crop").first.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.52, box["y"] + box["height"] / 2)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    opened.page.mouse.up()
    assert covered() == pytest.approx(25, abs=1)  # a pixel of the screen
    opened.press(*[","] * 40)
    assert covered() == 0


def test_every_view_is_reached_by_its_key(opened: Watched) -> None:
    def shown() -> list[str]:
        return opened.page.locator("#stage figure.on figcaption").all_inner_texts()

    opened.press("g")
    assert len(shown()) == 4
    opened.press("s", "1", "Shift+Digit3")
    assert shown() == ["in.mkv", "b.mkv"]
    opened.press("x", "b")
    seen = {tuple(shown())}
    while len(seen) < 2:  # the pages's own clock exchanges both panels
        opened.page.wait_for_timeout(50)
        seen.add(tuple(shown()))
    assert seen == {("in.mkv",), ("b.mkv",)}


def test_the_difference_is_that_of_the_frames_times_the_gain(opened: Watched, files: list[Path]) -> None:
    opened.press("d", "3", "Shift+Digit2", "]")
    assert opened.page.inner_text("#gain-value") == "× 5"
    a, b = (torch.tensor(raw_panel(path, 0, (48, 64))) for path in (files[1], files[2]))
    assert opened.pixels(4) == (128 + 5 * (a - b)).clamp(0, 255).tolist()


def test_the_magnifier_begins_where_the_panels_differ_shows_their_pixels_and_moves_by_one(
    opened: Watched, files: list[Path]
) -> None:
    panels = [torch.tensor(raw_panel(path, 0, (48, 64))).view(48, 64, 3).permute(2, 0, 1) for path in files]
    top, left, side = where_they_differ(panels)
    x, y = left + side // 2 + 1, top + side // 2 + 2
    opened.press("Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown")
    assert opened.page.inner_text("#loupe-place") == f"x {x}, y {y}, locked"
    for panel, path in enumerate(files):
        at = 3 * (y * 64 + x)
        red, green, blue = raw_panel(path, 0, (48, 64))[at : at + 3]
        value = opened.page.locator("#loupe-views .value").nth(panel).inner_text()
        assert value.split() == ["R", str(red), "G", str(green), "B", str(blue)]
        middle = opened.page.evaluate(
            "(panel) => { const c = document.querySelectorAll('#loupe-views canvas')[panel];"
            " return [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data] }",
            panel,
        )
        assert middle[:3] == [red, green, blue]


def test_plots_and_table_show_the_figures_that_were_measured(
    opened: Watched, made: tuple[Path, vsr.Comparison]
) -> None:
    totals = made[1].totals
    plots = opened.page.locator("#plots svg")
    assert plots.count() == len(totals) == 5
    for number in range(plots.count()):
        curves = (
            plots.nth(number).locator("path").evaluate_all("(all) => all.map((p) => p.getAttribute('d'))")
        )
        assert any(curve.count("L") >= FRAMES - 2 for curve in curves)
    rows = opened.page.locator("#totals tr").all_inner_texts()[1:]
    for panel, row in enumerate(rows):
        for shown, figures in zip(row.split("\t")[1:], totals.values(), strict=True):
            figure = figures[panel]
            assert shown == "–" if figure is None else abs(float(shown) - figure) <= 0.006
    box = plots.first.bounding_box()
    plots.first.click(position={"x": box["width"] - 1, "y": 5})
    opened.at(FRAMES - 1)


def test_zoom_and_theme_and_playing_answer_to_keys(opened: Watched) -> None:
    def background() -> str:
        return opened.page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = background()
    opened.press("t")
    assert background() != light
    fit = opened.page.inner_text("#zoom-value")
    opened.press("+")
    assert opened.page.inner_text("#zoom-value") != fit
    opened.press("0")
    assert opened.page.inner_text("#zoom-value") == fit
    assert not opened.page.is_visible("#stage figure.on .mark")
    opened.press("m", "r")
    assert opened.page.is_visible("#stage figure.on .mark")
    assert opened.page.inner_text("#zoom-value") != fit, "R zooms to where the panels differ"
    opened.press("r", "m")
    assert opened.page.inner_text("#zoom-value") == fit
    opened.press("?")
    assert opened.page.is_visible("#key-list")
    opened.press("Space")
    opened.page.wait_for_selector("body:not([data-drawn='0'])")


def test_dark_is_the_system_s_choice(browser: Any, made: tuple[Path, vsr.Comparison]) -> None:
    dark = Watched(browser, made[0], scheme="dark")
    color = dark.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, color.removeprefix("rgb(").rstrip(")").split(", "))) < 3 * 64
    dark.page.close()


def grey_clips(folder: Path) -> list[Path]:
    size = {"width": 160, "height": 120, "frames": 20}
    return [
        make_clip(folder / "a.mkv", options={"crf": "18"}, **size),
        make_clip(folder / "b.mkv", options={"crf": "35"}, **size),
    ]


def colourful_clips(folder: Path) -> list[Path]:
    return [colourful_clip(folder / f"{crf}.mkv", frames=20, crf=crf) for crf in (8, 35)]


@pytest.mark.parametrize(
    ("clips", "megabytes", "kind"),
    [
        pytest.param(grey_clips, 0.12, "image/avif", id="4:2:0"),
        pytest.param(colourful_clips, 0.4, "video/vp9", id="4:4:4 with strong colours"),
    ],
)
def test_compressed_images_are_as_near_to_the_frames_as_the_page_says(
    clips: Callable[[Path], list[Path]], megabytes: float, kind: str, browser: Any, tmp_path: Path
) -> None:
    files = clips(tmp_path)
    output = tmp_path / "page.html"
    found = vsr.compare(*files, output=output, max_megabytes=megabytes)
    (stated,) = (note for note in found.notes if "PSNR" in note)
    decibels = float(stated.split("at least ")[1].split()[0])
    assert 40 <= decibels < 60
    watched = Watched(browser, output)
    positions = watched.page.evaluate("positions.map((each) => each.moment)")
    assert kind in watched.page.evaluate("facts.chunks.map((chunk) => chunk.kind)")
    for position in (0, len(positions) - 1, 1):
        watched.press("Home")
        watched.at(0)
        watched.press(*["ArrowRight"] * position)
        watched.at(position)
        for panel, path in enumerate(files):
            shown = torch.tensor(watched.pixels(panel), dtype=torch.float64)
            raw = torch.tensor(raw_panel(path, positions[position], (120, 160)), dtype=torch.float64)
            square = (shown - raw).square().mean().item()
            # A browser has another chroma filter, and rounds in steps: at most a level more than is stated.
            assert square <= 255**2 / 10 ** (decibels / 10) + 1
    assert watched.complaints == []
    watched.page.close()
