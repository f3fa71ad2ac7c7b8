"""Networks of recipes: their initial weights, and weights taken from a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.msrresnet import MSRResNetConfig
from vsr.models.archs.prelu import PReLU
from vsr.models.archs.rrdb import RRDBConfig
from vsr.models.archs.srresnet import SRResNetConfig
from vsr.training.generators import GeneratorSettings, load_matching_weights, make_generator

SMALL = {
    "compact": GeneratorSettings(compact=CompactConfig(nf=8, nc=2, scale=2)),
    "rrdb": GeneratorSettings(rrdb=RRDBConfig(nf=8, nb=1, gc=4, scale=4)),
    "srresnet": GeneratorSettings(srresnet=SRResNetConfig(nf=8, nb=1, scale=4)),
    "msrresnet": GeneratorSettings(msrresnet=MSRResNetConfig(nf=8, nb=1, scale=4)),
}


def numbers(network: nn.Module) -> list[Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("family", SMALL)
def test_initial_weights_depend_only_on_the_seed(family: str) -> None:
    torch.manual_seed(1)
    first = numbers(make_generator(SMALL[family], seed=3))
    after = torch.rand(1)
    torch.manual_seed(2)
    assert same(first, numbers(make_generator(SMALL[family], seed=3)))
    assert not same(first, numbers(make_generator(SMALL[family], seed=4)))
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1)), "torch's global generator must not change"


@pytest.mark.parametrize("family", SMALL)
def test_settings_give_family_scale_and_shape(family: str) -> None:
    settings = SMALL[family]
    assert settings.family == family
    assert settings.facts()["family"] == family
    assert settings.facts()["scale"] == str(settings.scale)
    assert settings.facts()["nf"] == "8"
    assert make_generator(settings, seed=0).training


def test_exactly_one_network_must_be_given() -> None:
    with pytest.raises(
        ValueError, match="one network of compact, rrdb, srresnet, msrresnet; the recipe gives none"
    ):
        GeneratorSettings()
    with pytest.raises(ValueError, match="gives compact, rrdb"):
        GeneratorSettings(compact=CompactConfig(), rrdb=RRDBConfig())


def first_over_last_gradient(network: Compact) -> float:
    x = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    target = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    nn.functional.l1_loss(network(x), target).backward()
    first, last = network.body[0], network.body[-1]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    assert first.weight.grad is not None
    assert last.weight.grad is not None
    return float(first.weight.grad.norm() / last.weight.grad.norm())


def test_the_first_layer_of_a_deep_compact_has_a_gradient_from_the_start() -> None:
    config = CompactConfig(nf=64, nc=16, scale=2)
    made = make_generator(GeneratorSettings(compact=config), seed=0)
    assert isinstance(made, Compact)
    torch.manual_seed(0)
    # With torch's default, the gradient loses a factor of about 3 a layer, which is 1e-8 over these 17.
    assert first_over_last_gradient(made) > 1e-2
    assert first_over_last_gradient(Compact(config)) < 1e-5


@pytest.mark.parametrize("scale", [2, 4])
def test_all_positions_of_a_compacts_pixel_shuffle_start_equal(scale: int) -> None:
    config = CompactConfig(nf=16, nc=4, scale=scale)
    network = make_generator(GeneratorSettings(compact=config), seed=0)
    sr = network(torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)))
    places = nn.functional.pixel_unshuffle(sr, scale).unflatten(1, (3, -1))
    # each is one sum of 144 products, in any order
    torch.testing.assert_close(places, places[:, :, :1].expand_as(places), rtol=0, atol=1e-5)
    assert float(places.detach().std()) > 0.1


SHUFFLING = {
    "srresnet": GeneratorSettings(srresnet=SRResNetConfig(nf=8, nb=1, scale=4)),
    "msrresnet": GeneratorSettings(msrresnet=MSRResNetConfig(nf=8, nb=1, scale=4)),
    "rrdb": GeneratorSettings(rrdb=RRDBConfig(nf=8, nb=1, gc=8, scale=4, upsampler="pixelshuffle")),
}


@pytest.mark.parametrize("family", SHUFFLING)
def test_all_positions_of_every_pixel_shuffle_start_equal(family: str) -> None:
    network = make_generator(SHUFFLING[family], seed=0)
    enlarging = network.enlargements()  # type: ignore[operator]
    assert len(enlarging) == 2
    for conv, factor in enlarging:
        places = conv.weight.unflatten(0, (-1, factor**2))
        assert torch.equal(places, places[:, :1].expand_as(places))
        assert float(places[:, 0].detach().std()) > 0


def test_weights_of_another_scale_match_in_all_but_the_upsampling_layer() -> None:
    double, fourfold = (
        make_generator(GeneratorSettings(compact=CompactConfig(nf=16, nc=4, scale=scale)), seed=0)
        for scale in (2, 4)
    )
    start = {name: torch.full_like(value, 0.5) for name, value in double.state_dict().items()}
    load_matching_weights(fourfold, start)
    taken = {name for name, value in fourfold.state_dict().items() if bool((value == 0.5).all())}
    last = max(int(name.split(".")[1]) for name in start)
    assert taken == {name for name in start if not name.startswith(f"body.{last}.")}


@pytest.mark.parametrize("nc", [4, 5, 9])
def test_weights_of_a_shallower_compact_give_a_deeper_one_with_the_same_results(nc: int) -> None:
    small, large = CompactConfig(nf=8, nc=3, scale=2), CompactConfig(nf=8, nc=nc, scale=2)
    start = make_generator(GeneratorSettings(compact=small), seed=1)
    for slopes in (layer.weight for layer in start.modules() if isinstance(layer, PReLU)):
        nn.init.uniform_(slopes, -0.5, 1.5)
    made = make_generator(GeneratorSettings(compact=large), seed=2)
    load_matching_weights(made, start.state_dict())
    images = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        # sums in another order: a few times the rounding of float32
        torch.testing.assert_close(made(images), start(images), rtol=0, atol=2e-6)
    assert sum(isinstance(layer, nn.Conv2d) for layer in made.modules()) == nc + 2


def test_weights_that_match_less_than_half_are_rejected_with_their_percentage() -> None:
    network = make_generator(SMALL["compact"], seed=0)
    before = numbers(network)
    other = make_generator(GeneratorSettings(compact=CompactConfig(nf=16, nc=2, scale=2)), seed=0)
    with pytest.raises(ModelError, match=r"match \d+% of the recipe's network, at least 50 %"):
        load_matching_weights(network, other.state_dict())
    with pytest.raises(ModelError, match="match 0%"):
        load_matching_weights(network, {"conv_first.weight": torch.zeros(1)})
    assert same(before, numbers(network))


def test_an_rrdb_with_the_start_picture_nearly_equals_nearest_neighbour() -> None:
    published = GeneratorSettings(rrdb=RRDBConfig(nf=16, nb=2, gc=8, scale=4))
    starts = {"published": published, "picture": replace(published, start="picture")}
    picture = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    nearest = picture.repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.inference_mode():
        made = {name: make_generator(start, seed=0)(picture) for name, start in starts.items()}
    error = {name: float((one - nearest).square().mean().sqrt()) for name, one in made.items()}
    assert error["picture"] < 0.1 < 0.3 < error["published"], (
        "the difference is the noise of the initial features"
    )


@pytest.mark.parametrize(
    "network",
    [
        {"compact": CompactConfig()},
        {"rrdb": RRDBConfig(scale=2, unshuffle=2)},
        {"rrdb": RRDBConfig(upsampler="pixelshuffle")},
    ],
)
def test_the_start_picture_requires_a_suitable_rrdb(network: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="requires an RRDB with upsampler = 'nearest' and unshuffle = 1"):
        GeneratorSettings(**network, start="picture")
