"""Recipes: the included ones can be read and built, and mistakes are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.photographs import tiny_recipe
from vsr.errors import ConfigError
from vsr.training.generators import make_generator
from vsr.training.losses.discriminators import make_discriminator
from vsr.training.recipe import Losses, Recipe, facts, read_recipe, recipe_names

FOLDER = Path(__file__).parents[2] / "pipelines" / "train"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shipped() -> list[Recipe]:
    return [read_recipe(name) for name in recipe_names()]


def test_each_published_system_has_a_recipe() -> None:
    systems = {"srresnet-mse", "srresnet-vgg22", "srresnet-vgg54", "srgan-mse", "srgan-vgg22", "srgan-vgg54"}
    systems |= {"esrgan-psnr", "esrgan", "realesrnet", "realesrgan", "compact-x2", "compact-x4", "finetune"}
    assert systems <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_an_included_recipe_has_the_name_of_its_file_and_fits_into_a_checkpoint(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert json.loads(json.dumps(facts(recipe)))["steps"] == recipe.steps
    if name[-3:-1] == "-x":
        assert recipe.scale == int(name[-1])


def test_generators_of_included_recipes_upscale_by_their_scale(shipped: list[Recipe]) -> None:
    with torch.inference_mode():
        for settings in {recipe.generator for recipe in shipped}:
            sr = make_generator(settings, seed=0)(torch.rand(2, 3, 8, 8))
            assert sr.shape == (2, 3, 8 * settings.scale, 8 * settings.scale), settings


def test_discriminators_of_included_recipes_can_be_built_for_their_crops(shipped: list[Recipe]) -> None:
    games = {(r.losses.adversarial, r.patch * r.scale) for r in shipped if r.losses.adversarial}
    assert len(games) >= 4
    with torch.device("meta"):  # shapes only, since SRGAN's dense layer needs half a gigabyte
        for adversarial, side in games:
            assert list(make_discriminator(adversarial.discriminator, patch=side).parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # BasicSR's RRDBNet(3, 3, scale 4, 64, 23, 32) and SRVGGNetCompact(3, 3, 64, 16, 4, prelu)
        ("esrgan", 16_697_987),
        ("compact-x4", 621_424),
    ],
)
def test_networks_have_as_many_parameters_as_the_published_ones(name: str, count: int) -> None:
    network = make_generator(read_recipe(name).generator, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


PLAIN = """
name = "plain"
steps = 100
patch = 32
precision = "bf16"
degrade = "video"

[generator.compact]
nf = 64
nc = 16
scale = 2

[losses]
pixel = "l1"

[adam]
lr = 1e-3

[schedule]
final = 0.01

[pool]
clips = 128
fresh = 8
"""
CRISP = """
name = "crisp"
steps = 100
batch = 8
patch = 32

[generator.rrdb]
scale = 4

[losses]
temporal = 0.5

[losses.perceptual]
layers = {conv5_4 = 1.0}

[losses.adversarial.discriminator.vgg128]

[degrade]
frames = 5
size = 256
speed = 4
clean = 0.1

[[degrade.codecs]]
encoder = "libx264"
quality = [18, 28]
"""


@pytest.mark.parametrize("text", [PLAIN, CRISP])
def test_the_recipes_of_these_tests_are_valid(text: str, tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path / "a.toml", text)).steps == 100


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (PLAIN, "steps =", "stepz =", "unknown key 'stepz'; known keys are adam, batch, checkpoints"),
        (PLAIN, "nf = 64", "layers = 3", "unknown key 'layers'; known keys are activation, nc, nf"),
        (PLAIN, 'pixel = "l1"', 'pixel = "l3"', "'l3' is not one of"),
        (PLAIN, 'pixel = "l1"', "pixel_weight = 0", "all weights are 0"),
        (PLAIN, "patch = 32", "patch = 400", "patch = 400 must be 1 to 240"),
        (PLAIN, "patch = 32", "patch = true", "True is not"),
        (PLAIN, "fresh = 8", "fresh = 7", "multiple of pool.fresh"),
        (PLAIN, "clips = 128", "clips = 0", "must be at least 1"),
        (PLAIN, "final = 0.01", "final = 2.0", "final in"),
        (PLAIN, "lr = 1e-3", "lr = 0", "lr > 0"),
        (PLAIN, "steps = 100", "steps = 0", "steps, batch, .* must be at least 1"),
        (PLAIN, "steps = 100", "steps = 100\nema = 1.0", "ema = 1 in"),
        (PLAIN, "steps = 100", "steps = 100\nclip = 0.0", "clip = 0 must be above 0"),
        (PLAIN, 'precision = "bf16"', 'precision = "int8"', "'int8' is not one of"),
        (PLAIN, "[generator.compact]", "[generator.compat]", "unknown key 'compat'; known keys are compact"),
        (PLAIN, "[losses]", "[generator.rrdb]\n[losses]", "gives compact, rrdb"),
        (PLAIN, '"video"', '"vhs"', r"degrade = 'vhs' is unknown\. Known names are bicubic, .*video"),
        (CRISP, 'encoder = "libx264"', 'encoder = "h264"', "'h264' is not one of"),
        (CRISP, "size = 256", "size = 260", "260 must be a multiple of 8"),
        (CRISP, "clean = 0.1", "clean = 2.0", "clean = 2.0 must be in"),
        (CRISP, "conv5_4", "conv6_1", "not conv6_1"),
        (CRISP, "vgg128]", "vgg128]\n[losses.adversarial.discriminator.unet]", "gives vgg128, unet"),
        (CRISP, "batch = 8", "batch = 7", "even batch"),
        (CRISP, "patch = 32", "patch = 4", "up to 16 pixels .* a crop has 16"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, old: str, new: str, said: str) -> None:
    assert old in text
    with pytest.raises(ConfigError, match=said) as error:
        read_recipe(written(tmp_path / "wrong.toml", text.replace(old, new, 1)))
    assert "\n" not in str(error.value)


def test_the_name_of_a_degradation_stands_for_its_table(tmp_path: Path) -> None:
    table = (FOLDER.parent / "degrade" / "video.toml").read_text(encoding="utf-8")
    inline = table.replace("[[codecs]]", "[[degrade.codecs]]")
    spelt_out = PLAIN.replace('degrade = "video"\n', "") + "\n[degrade]\n" + inline
    by_name = read_recipe(written(tmp_path / "b.toml", PLAIN))
    assert read_recipe(written(tmp_path / "a.toml", spelt_out)) == by_name


def test_an_unknown_recipe_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"recipe 'ersgan' is unknown\. Known recipes are compact-x2, .*esrgan"
    ):
        read_recipe("ersgan")


@pytest.mark.parametrize("content", [None, b"steps = = 3", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.toml: cannot be read .*TOML"):
        read_recipe(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: replace(recipe, steps=61),
        lambda recipe: replace(recipe, degrade=replace(recipe.degrade, clean=0.25)),
        lambda recipe: replace(recipe, losses=Losses(pixel="mse")),
    ],
)
def test_plain_values_differ_between_different_recipes(change: Callable[[Recipe], Recipe]) -> None:
    assert facts(tiny_recipe()) == facts(tiny_recipe())
    assert facts(change(tiny_recipe())) != facts(tiny_recipe())
