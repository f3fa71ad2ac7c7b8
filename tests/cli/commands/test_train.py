"""`vsr train`: from a recipe and a folder to a weight file, and what it rejects before any work."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from safetensors.torch import load_file

from tests.training.photographs import TINY_RECIPE, write_photographs, write_recipe
from vsr.cli.commands.train import train
from vsr.errors import ConfigError, InputError, OutputError
from vsr.models.archs.compact import CompactConfig, detect


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "photographs", 4, side=72)


def test_training_a_recipe_writes_weights(
    recipe: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = recipe.with_name("out.safetensors")
    train(str(recipe), data=[data], output=output)
    assert detect(load_file(output)) == CompactConfig(nf=4, nc=1, scale=2)
    assert "over bicubic" in capsys.readouterr().out


def test_weights_of_another_run_can_be_the_initial_weights(recipe: Path, data: Path) -> None:
    first, second = recipe.with_name("first.safetensors"), recipe.with_name("second.safetensors")
    train(str(recipe), data=[data], output=first)
    recipe.write_text(
        "seed = 7\n" + TINY_RECIPE, encoding="utf-8"
    )  # other initial weights, unless they are given
    train(str(recipe), data=[data], output=second, start_from=str(first), minutes=1e-9)  # a single step
    expected, found = load_file(first), load_file(second)
    # A step of Adam changes a weight by at most the learning rate, here 1e-3 / 25.
    assert all((found[name] - expected[name]).abs().max() < 1e-4 for name in expected)


def test_an_existing_output_is_not_replaced_without_the_flag(recipe: Path, data: Path) -> None:
    output = recipe.with_name("out.safetensors")
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="`overwrite=True` replaces it"):
        train(str(recipe), data=[data], output=output)
    assert output.read_bytes() == b"precious"
    train(str(recipe), data=[data], output=output, overwrite=True)
    assert load_file(output)


@pytest.mark.parametrize(
    ("output", "error", "said"),
    [
        ("out.pth", ConfigError, r"must end in \.safetensors"),
        ("nowhere/out.safetensors", OutputError, "does not exist"),
        ("n" * 243 + ".safetensors", ConfigError, "the name is too long for its folder"),
    ],
)
def test_an_impossible_output_is_rejected(
    recipe: Path, data: Path, output: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        train(str(recipe), data=[data], output=recipe.with_name("x").parent / output)


def test_a_missing_recipe_or_folder_is_named(recipe: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        train(str(recipe.with_name("missing.toml")), data=[data], output=recipe.with_name("out.safetensors"))
    with pytest.raises(ConfigError, match=r"esrgan.*fast-x2"):
        train("no-such-recipe", data=[data], output=recipe.with_name("out.safetensors"))
    with pytest.raises(InputError, match="x: "):
        train(str(recipe), data=[data / "x"], output=recipe.with_name("out.safetensors"))


def test_dump_writes_the_training_images_and_trains_nothing(
    recipe: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = recipe.with_name("out.safetensors")
    train(str(recipe), data=[data], output=output, dump=3)
    written = sorted(output.with_suffix(".dump").iterdir())
    assert capsys.readouterr().out.split() == [str(path) for path in written]
    assert len(written) == 3
    with av.open(str(written[0])) as box:
        picture = next(box.decode(video=0))
    assert picture.height >= 64
    assert picture.width > 2 * 64  # LR at the size of HR, beside HR
    assert not output.exists()


def test_a_recipe_with_a_perceptual_loss_requires_vgg(recipe: Path, data: Path) -> None:
    losses = "[losses.perceptual]\nlayers = {conv5_4 = 1.0}\n"
    recipe.write_text(TINY_RECIPE + losses, encoding="utf-8")
    with pytest.raises(ConfigError, match="`vgg`"):
        train(str(recipe), data=[data], output=recipe.with_name("out.safetensors"))
