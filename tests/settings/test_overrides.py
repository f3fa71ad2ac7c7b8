"""Overrides of settings: what is given replaces, what is not given stays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from vsr.color.spec import ColorSpec, Matrix, Range, Transfer
from vsr.errors import ConfigError
from vsr.settings.overrides import with_overrides
from vsr.settings.schema import EncoderSettings, UpscaleSettings

BASE = UpscaleSettings(
    model="compact",
    scale=Fraction(3),
    strict=True,
    encoder=EncoderSettings(encoder="libx265", crf=20, options=(("tune", "grain"), ("x", "1"))),
)


def test_what_is_not_given_stays() -> None:
    assert with_overrides(BASE, {}, where="here") == BASE
    assert with_overrides(BASE, {"crf": None, "model": None}, where="here") == BASE


@pytest.mark.parametrize("scale", [1.5, "1.5", "3/2", Fraction(3, 2)])
def test_numbers_may_come_in_any_form(scale: object) -> None:
    made = with_overrides(BASE, {"scale": scale, "model": Path("own.pth"), "crf": 17}, where="here")
    assert made.scale == Fraction(3, 2)
    assert made.model == "own.pth"
    assert made.encoder.crf == 17
    assert made.encoder.encoder == "libx265"
    assert made.strict


def test_a_size_replaces_a_scale_and_a_scale_a_size() -> None:
    sized = with_overrides(BASE, {"width": 1920, "height": 1080}, where="here")
    assert (sized.scale, sized.width, sized.height) == (None, 1920, 1080)
    lines = with_overrides(sized, {"height": 720}, where="here")
    assert (lines.scale, lines.width, lines.height) == (None, None, 720)
    scaled = with_overrides(sized, {"scale": 2}, where="here")
    assert (scaled.scale, scaled.width, scaled.height) == (2, None, None)


def test_another_model_takes_nothing_over_of_what_was_mixed_into_the_first() -> None:
    mixed = with_overrides(BASE, {"strength": 0.5, "partner": "faithful"}, where="here")
    assert (mixed.strength, mixed.partner) == (0.5, "faithful")
    assert with_overrides(mixed, {"model": "own.pth"}, where="here").strength is None
    assert with_overrides(mixed, {"model": "own.pth", "strength": 0.2}, where="here").strength == 0.2


def test_filters_are_replaced_and_an_empty_list_takes_them_away() -> None:
    some = with_overrides(BASE, {"filters_before": ["unsharp", "crop=8:8"]}, where="here")
    assert some.filters_before == ("unsharp", "crop=8:8")
    assert with_overrides(some, {"filters_before": []}, where="here").filters_before == ()
    assert with_overrides(some, {"filters_before": ("cas",)}, where="here").filters_before == ("cas",)


def test_options_are_added_and_another_encoder_starts_afresh() -> None:
    same = with_overrides(BASE, {"options": {"tune": "animation"}}, where="here")
    assert dict(same.encoder.options) == {"tune": "animation", "x": "1"}
    other = with_overrides(BASE, {"encoder": "ffv1"}, where="here")
    assert other.encoder == EncoderSettings(encoder="ffv1")
    assert with_overrides(BASE, {"encoder": "libx265"}, where="here") == BASE


def test_colour_tags_are_named_or_numbered_and_added() -> None:
    told = with_overrides(BASE, {"color": {"matrix": "bt2020_ncl", "range": "FULL"}}, where="here")
    assert (told.color.matrix, told.color.range) == (Matrix.BT2020_NCL, Range.FULL)
    same = with_overrides(
        BASE, {"color": ColorSpec(matrix=Matrix.BT2020_NCL, range=Range.FULL)}, where="here"
    )
    assert same.color == told.color
    more = with_overrides(told, {"color": {"matrix": "1", "transfer": 16}}, where="here")
    assert (more.color.matrix, more.color.range, more.color.transfer) == (
        Matrix.BT709,
        Range.FULL,
        Transfer.PQ,
    )


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"scal": 2}, "unknown setting 'scal'; known are allow_files, backend, batch, color, crf, "),
        ({"scale": "wide"}, "`scale`: 'wide' is not a number"),
        ({"tile": 1.5}, "`tile`: 1.5 is not a whole number"),
        ({"crf": "low"}, "`crf`: 'low' is not a number"),
        ({"precision": "fp8"}, "one of auto, fp32"),
        ({"batch": 0}, "`batch` 0 is out of range"),
        ({"color": {"range": "wide"}}, "`color` range: 'wide' is not one of unspecified, limited, full"),
        ({"color": {"matrix": 3}}, "`color` matrix: 3"),
        ({"color": {"gamma": "2"}}, "`color`: unknown key 'gamma'"),
    ],
)
def test_the_error_names_the_setting_that_is_wrong(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        with_overrides(BASE, overrides, where="here")
    assert type(caught.value) is ConfigError, "logs and queues name the class"
