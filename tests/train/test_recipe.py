"""Recipes: those that ship parse, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr.config import read_toml
from vsr.errors import ConfigError
from vsr.train.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "pipelines" / "train"
SHIPPED = sorted(FOLDER.glob("*.toml"))


def test_there_are_recipes_for_the_embedded_models() -> None:
    assert {"compact-x2", "compact-x4"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_parses_and_is_called_as_its_file(path: Path) -> None:
    recipe = read_toml(path, Recipe)
    assert recipe.name == path.stem
    assert path.stem.endswith(f"-x{recipe.network.scale}")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps =", "stepz =", "unknown key 'stepz'"),
        ("nf = 32", "nf = 32\nlayers = 3", "unknown key 'layers'"),
        ('encoder = "libx264"', 'encoder = "h264"', "'h264' is not one of"),
        ("size = 480", "size = 481", "481 must be a multiple of 4"),
        ("patch = 32", "patch = 400", "patch = 400 must be 1 to 240"),
        ("size = 480", "size = 120", "at least 128 for libx265"),
        ("fresh = 8", "fresh = 7", "multiple of pool.fresh"),
        ("clean = 0.2 ", "clean = 2.0 ", "clean in"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (FOLDER / "compact-x2.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_toml(path, Recipe)
