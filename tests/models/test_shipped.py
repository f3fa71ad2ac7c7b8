"""The shipped weights are small and described, and improve images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from tests.training.photographs import photograph
from vsr.metrics import psnr_y
from vsr.models.load import load_generator
from vsr.training.data.images import read_image

FOLDER = Path(__file__).parents[2] / "vsr" / "weights"
SHIPPED = sorted(FOLDER.glob("*.safetensors"))


def load(path: Path) -> nn.Module:
    return load_generator(path).network.eval().requires_grad_(False)


def test_there_are_models_for_x2_and_for_x4() -> None:
    assert {path.stem for path in SHIPPED} == {
        f"{name}-x{scale}{looks}"
        for name in ("fast", "compact")
        for scale in (2, 4)
        for looks in ("", "-crisp")
    } | {"rrdb-lite-x4"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_file_is_small_and_has_metadata(path: Path) -> None:
    family = "rrdb" if path.stem.startswith("rrdb") else "compact"
    assert path.stat().st_size < {"compact": 3_000_000, "rrdb": 7_000_000}[family]
    scale = load(path).scale
    with safe_open(path, framework="pt") as file:
        head = file.metadata()
    assert head["family"] == family
    assert head["recipe"] == path.stem
    assert path.stem.removesuffix("-crisp").endswith(f"-x{scale}")
    assert head["scale"] == str(scale)
    assert int(head["steps"]) > 0
    assert "CC-BY" in (head.get("data_licences") or head["data"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_card_credits_the_pictures_and_names_the_recipe(path: Path) -> None:
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    with safe_open(path, framework="pt") as file:
        steps = int(file.metadata()["steps"])
    assert f"pipelines/train/{path.stem}.toml" in card
    assert f"{steps:,} steps" in card
    for credited in (
        "Edoardo Brogiolo",
        "DreamyPixel",
        "Living Stones",
        "Water Lily",
        "elementary/wallpapers",
    ):
        assert credited in card


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_card_shows_a_picture_made_with_the_model(path: Path) -> None:
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    picture = f"../../docs/cards/{path.stem}.png"
    assert f"]({picture})" in card
    assert read_image(path.parent / picture).shape[0] == 3


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("color", [(0.5, 0.5, 0.5), (0.9, 0.2, 0.1), (0.1, 0.6, 0.9), (0.95, 0.95, 0.95)])
def test_flat_colour_stays_flat_and_keeps_its_colour(path: Path, color: tuple[float, float, float]) -> None:
    net = load(path)
    side = 2 * net.receptive_radius + 12
    flat = torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, side, side)
    radius = net.receptive_radius * net.scale  # farther inside, zero padding has no effect
    error = (net(flat) - flat[..., :1, :1])[..., radius:-radius, radius:-radius]
    # 2 codes of 8 bits; differences between the scale x scale phases of a pixel would be visible as a grid
    assert error.abs().max() < 2 / 255
    assert (error.amax((2, 3)) - error.amin((2, 3))).max() < 1.5 / 255


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_edges_are_sharper_than_those_of_bicubic(path: Path) -> None:
    net = load(path)
    blocks = torch.stack([photograph(seed, side=128 // net.scale) for seed in range(4)]).float() / 255
    hr = blocks.repeat_interleave(net.scale, 2).repeat_interleave(net.scale, 3)
    lr = F.interpolate(hr, scale_factor=1 / net.scale, mode="bicubic", antialias=True).clamp(0, 1)
    bicubic = F.interpolate(lr, scale_factor=net.scale, mode="bicubic", antialias=True)

    def score(image: Tensor) -> float:
        return psnr_y(image.clamp(0, 1), hr, border=net.scale)

    assert score(net(lr)) > score(bicubic) + 1.0
