"""Values on the command line have the meaning that users expect."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsr.cli.flags import parse
from vsr.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("1:30", 90), ("0:01:30.5", Fraction(181, 2)), ("0.04", Fraction(1, 25)), ("1:00:00", 3600)],
)
def test_times_are_exact(text: str, value: Fraction) -> None:
    assert parse.seconds(text, option="--start") == value


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "1h", "nan", "::", "1:99", "1:60:00", "9" * 5000])
def test_an_invalid_time_is_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="--start"):
        parse.seconds(text, option="--start")


@pytest.mark.parametrize(("text", "value"), [("2", 2), ("1.5", Fraction(3, 2)), ("3/2", Fraction(3, 2))])
def test_scales_are_exact(text: str, value: Fraction) -> None:
    assert parse.number(text, option="--scale") == value


@pytest.mark.parametrize("text", ["", "x", "1/0", "nan", "inf", "1e999999999", "9" * 5000, "1e-999999999"])
def test_an_invalid_scale_is_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="--scale"):
        parse.number(text, option="--scale")


def test_options_keep_further_equal_signs() -> None:
    assert parse.pairs(
        ["x265-params=aq-mode=3", "tune=film"], option="--encoder-option", example="tune=film"
    ) == (
        ("x265-params", "aq-mode=3"),
        ("tune", "film"),
    )
