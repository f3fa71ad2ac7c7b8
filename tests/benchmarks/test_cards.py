"""Each model card has a picture, scores of every input, weaknesses and credits (written by cards.py)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import vsr
from benchmarks.pictures import cards
from vsr.models.catalog import MODELS

NAMES = [entry.name for entry in MODELS.values() if entry.path is not None]
LARGEST = 500_000
"""Bytes of a picture, which everybody who clones the repository gets."""


def card(name: str) -> str:
    return (cards.CARDS / f"{name}.md").read_text(encoding="utf-8")


def part(name: str, what: str) -> str:
    (text,) = re.findall(
        rf"<!-- {what}, written by benchmarks/pictures/cards\.py -->\n(.*?)\n<!-- end of {what} -->",
        card(name),
        re.DOTALL,
    )
    return text


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_scores_of_clean_and_coded_inputs_beside_filters(name: str) -> None:
    rows = [
        line.split(" | ") for line in part(name, "scores").splitlines() if "| +" in line or "| -0" in line
    ]
    assert [row[0].removeprefix("| ") for row in rows] == [
        "Set5, clean",
        "Set14, clean",
        *(f"Kodak, {coding}" for coding in cards.CODINGS),
    ]
    for row in rows:
        bicubic, lanczos, ours = (float(cell.split(",")[0]) for cell in row[1:4])
        assert abs(float(row[4].strip(" |")) - (ours - bicubic)) <= 0.011, "rounded three times"
        assert bicubic <= lanczos + 0.01


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_where_the_model_is_weak(name: str) -> None:
    (text,) = re.findall(r"## Where it is weak\n\n(.*?)\n\n## ", card(name), re.DOTALL)
    assert len(text.split()) > 15


@pytest.mark.parametrize("name", NAMES)
def test_a_card_s_picture_has_a_caption_with_credits_and_is_small(name: str) -> None:
    assert part(name, "picture") == cards.picture_part(name)
    assert (cards.PICTURES / f"{name}.png").stat().st_size < LARGEST


@pytest.mark.needs_material
@pytest.mark.parametrize("name", NAMES)
def test_a_card_s_credits_are_those_of_the_table_of_sources(name: str, material: Path) -> None:
    assert (material / "data" / "train").is_dir()
    assert part(name, "credits") == cards.credits_part()


def test_parts_are_replaced_and_nothing_else() -> None:
    text = "a\n<!-- x, written by benchmarks/pictures/cards.py -->\nold\n<!-- end of x -->\nb\n"
    new = cards.replaced(text, "x", r"new \1")
    assert new == text.replace("old", r"new \1")
    with pytest.raises(SystemExit, match="must be in the card once, not 0 times"):
        cards.replaced("nothing", "x", "new")


def test_the_least_gain_is_named() -> None:
    row = vsr.Evaluation(
        data="Kodak",
        model="bicubic",
        scale=2,
        coding="clean",
        images=1,
        psnr=30.0,
        ssim=0.9,
        megapixels_per_second=1.0,
    )
    rows = [
        replace(row, model=model, coding=coding, psnr=psnr)
        for coding, gain in (("clean", 1.0), ("x264-33", -0.25))
        for model, psnr in (("bicubic", 30.0), ("lanczos", 30.1), ("mine", 30 + gain))
    ]
    assert cards.scores_part("mine", rows).endswith("The gain is least for Kodak, x264-33: -0.25 dB.")
