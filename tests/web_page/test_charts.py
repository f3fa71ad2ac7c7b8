"""Charts show every value in its place."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from vsr.web_page.charts import Series, areas, curves, legend

HOSTILE = "</svg><script>window.hacked = 1</script>"


def points(path: str) -> list[tuple[float, float]]:
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_a_curve_goes_through_its_values_and_breaks_where_there_is_none() -> None:
    values = [1.0, 3.0, None, 2.0, 2.5]
    svg = ElementTree.fromstring(
        curves([Series(name="gain", values=values)], [0, 1, 2, 3, 5], label="gain", x_text=str)
    )
    first, second = (points(path.get("d", "")) for path in svg.iter("path"))
    assert len(first) == len(second) == 2
    x = [place[0] for place in (*first, *second)]
    assert (x[1] - x[0]) * 2 == pytest.approx(x[3] - x[2], abs=0.2), "positions need not be equally far apart"
    assert first[1][1] < second[1][1] < second[0][1] < first[0][1], "more is higher"


def test_zero_is_in_the_chart_where_it_is_asked_for() -> None:
    series = [Series(name="gain", values=[3.0, 3.2])]
    with_zero, without = (
        curves(series, [0, 1], label="gain", x_text=str, with_zero=wanted) for wanted in (True, False)
    )
    assert 'class="zero"' in with_zero
    assert 'class="zero"' not in without


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 5.0], [float("nan"), 1.0], [None, None], [-1e9, 1e-9]])
def test_a_curve_of_few_equal_or_missing_values_is_a_chart(values: list[float | None]) -> None:
    text = curves([Series(name="a", values=values)], list(range(len(values))), label="a", x_text=str)
    assert "nan" not in text
    assert ElementTree.fromstring(text).get("role") == "img"


def test_areas_lie_on_top_of_each_other_and_stay_below_the_top() -> None:
    series = [Series(name="a", values=[0.25, 0.5]), Series(name="b", values=[0.5, 0.9], color=1)]
    svg = ElementTree.fromstring(areas(series, label="a", width_of_one=2, x_text=str))
    low, high = (points(path.get("d", "")) for path in svg.iter("path"))
    heights = sorted({y for _, y in low})
    assert len(heights) == 3
    bottom = heights[-1]
    full = bottom - min(y for _, y in high)
    assert [round((bottom - y) / full, 2) for y in heights] == [0.5, 0.25, 0.0]
    assert {y for _, y in low[:4]} <= {y for _, y in high}, "the second begins where the first ends"


def test_names_are_text() -> None:
    series = [Series(name=HOSTILE, values=[0.1, 0.2])]
    for text in (
        curves(series, [0, 1], label=HOSTILE, x_text=lambda _: HOSTILE),
        areas(series, label=HOSTILE, width_of_one=1, x_text=lambda _: HOSTILE),
        legend(series),
    ):
        assert "<script" not in text
        assert ElementTree.fromstring(text) is not None
