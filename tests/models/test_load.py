"""A generator saved with any known names, wrapper and format is loaded as the same function."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from safetensors.torch import save_file

from tests.models.small_nets import CONFIGS, as_2018, as_2019, as_leftthomas, make, name_of
from vsr.errors import ConfigError, ModelError
from vsr.models import catalog
from vsr.models.archs.rrdb import RRDBConfig
from vsr.models.archs.srresnet import SRResNetConfig
from vsr.models.load import load_generator

RRDBS = tuple(config for config in CONFIGS if isinstance(config, RRDBConfig))
LR = torch.rand(1, 3, 8, 9)


def _same(loaded, network):
    """Folded batch norm rounds differently; all other results have the same bits."""
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(LR), network(LR), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_every_generator_is_loaded_with_its_configuration(config, suffix, tmp_path):
    network, path = make(config), tmp_path / f"net.{suffix}"
    state = network.state_dict()
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    loaded = load_generator(path)
    assert loaded.config == config
    assert loaded.scale == config.scale
    assert loaded.name == "net"
    assert loaded.parameters == sum(p.numel() for p in network.parameters())
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.receptive_radius == network.receptive_radius
    assert not loaded.network.training
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    _same(loaded, network)


@pytest.mark.parametrize("config", RRDBS, ids=name_of)
@pytest.mark.parametrize("naming", ["2018", "2019"])
def test_older_names_of_rrdb_load(config, naming, tmp_path):
    network, path = make(config), tmp_path / "old.pth"
    state = network.state_dict()
    torch.save(as_2018(state, config.upsampler) if naming == "2018" else as_2019(state), path)
    loaded = load_generator(path)
    assert loaded.config == config
    _same(loaded, network)


@pytest.mark.parametrize("trunk", ["bn", "prelu"])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("blocks", [1, 5, 16])
def test_leftthomas_names_load(trunk, scale, blocks, tmp_path):
    config = SRResNetConfig(scale=scale, nf=4, nb=blocks, trunk=trunk, tanh=True)
    network, path = make(config), tmp_path / "netG.safetensors"
    save_file(as_leftthomas(network.state_dict()), path)
    loaded = load_generator(path)
    assert loaded.config == config
    _same(loaded, network)


def test_unfolded_batch_norm_is_kept_for_training(tmp_path):
    network, path = make(SRResNetConfig(scale=2, nf=4, nb=1)), tmp_path / "net.pth"
    torch.save(network.state_dict(), path)
    loaded = load_generator(path, fold=False)
    assert loaded.network.state_dict().keys() == network.state_dict().keys()
    assert not any("bn" in key for key in load_generator(path).network.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_files_of_other_precision_become_fp32(dtype, tmp_path):
    network, path = make(RRDBS[0]).to(dtype), tmp_path / "half.safetensors"
    save_file(network.state_dict(), path)
    _same(load_generator(path), network.float())


@pytest.mark.parametrize(
    "config", [CONFIGS[0], CONFIGS[-1], SRResNetConfig(scale=2, nf=4, nb=1)], ids=name_of
)
@pytest.mark.parametrize("what", ["missing", "extra", "shape"])
def test_a_network_that_does_not_fit_exactly_is_refused(config, what, tmp_path):
    state = dict(make(config).state_dict())
    key = next(key for key in state if key.endswith("conv2.weight") or key == "body.2.weight")
    if what == "missing":
        del state[key]
    elif what == "extra":
        state["body.0.rdb1.conv9.weight"] = state[key].clone()
    else:
        state[key] = state[key][:, :-1].contiguous()
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"odd\.safetensors"):
        load_generator(tmp_path / "odd.safetensors")


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_the_error_for_any_missing_weight_names_family_and_layer(config, tmp_path):
    state, path = make(config).state_dict(), tmp_path / "net.safetensors"
    for key in state:
        if not key.endswith(".weight") or "prelu_trunk" in key:  # without it, another SRResNet
            continue
        save_file({name: value for name, value in state.items() if name != key}, path)
        with pytest.raises(ModelError) as caught:
            load_generator(path)
        message = str(caught.value)
        assert type(config).__name__.removesuffix("Config") in message
        layer = key.removesuffix(".weight")  # the error for an enlargement may name its superfluous bias
        assert layer in message or "enlarges" in message, message


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("conv0_0.weight", "linear1.weight"), "discriminator"),
        (("conv0.weight", "conv1.weight_orig", "conv9.weight"), "discriminator"),
        (("net.0.weight", "net.2.weight"), "discriminator"),
        (("features.0.weight", "classifier.0.weight"), "VGG"),
        (("fc.weight", "fc.bias"), "an unknown network"),
        (("conv_first.weight", "body.0.conv1.weight", "conv_after_body.weight"), "EDSR"),
    ],
)
def test_the_error_for_another_kind_of_network_names_the_kind(keys, what, tmp_path):
    save_file({key: torch.rand(4, 3, 3, 3) for key in keys}, tmp_path / "d.safetensors")
    with pytest.raises(ModelError, match=what):
        load_generator(tmp_path / "d.safetensors")


def _prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


TRAINERS = {
    "Lightning": lambda g, other: {"state_dict": _prefixed(g, "model."), "epoch": 3},
    "Lightning, with what it compares": lambda g, other: {
        "state_dict": _prefixed(g, "net_g.module.")
        | {"net_d.conv0.weight": torch.zeros(1), "vgg.mean": torch.zeros(3)}
    },
    "Lightning, with an average": lambda g, other: {
        "state_dict": _prefixed(other, "net_g.")
        | _prefixed(g, "net_g_ema.")
        | {"net_d.x.weight": torch.zeros(1)}
    },
    "compiled, on several devices": lambda g, other: _prefixed(g, "module._orig_mod."),
    "a name of one's own": lambda g, other: _prefixed(g, "my_upscaler."),
    "torch's AveragedModel": lambda g, other: _prefixed(g, "module.") | {"n_averaged": torch.tensor(7)},
    "AveragedModel in Lightning": lambda g, other: {
        "state_dict": _prefixed(g, "average_model.module.")
        | {"average_model.n_averaged": torch.tensor(7)}
        | _prefixed(other, "model.")
    },
    "a counter beside": lambda g, other: dict(g) | {"n_averaged": torch.tensor(7)},
    "ema_pytorch": lambda g, other: (
        _prefixed(g, "ema_model.")
        | _prefixed(other, "online_model.")
        | {"initted": torch.tensor(True), "step": torch.tensor(9)}
    ),
    "{ema, model}": lambda g, other: {"model": other, "ema": g},
    "{model, EMA}": lambda g, other: {"EMA": g, "model": other},
    "{net, model-ema}": lambda g, other: {"net": other, "model-ema": g},
    "an average in two steps": lambda g, other: {"ema": {"decay": 0.999, "shadow": g}, "state_dict": other},
    "an average that is none": lambda g, other: {"ema": {"decay": 0.999}, "state_dict": g},
    "an empty average": lambda g, other: {"params_ema": {}, "params": g},
}
"""How trainers save the generator `g`; `other` is another network, such as the weights before averaging."""


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[-2]], ids=name_of)
@pytest.mark.parametrize("way", TRAINERS)
def test_the_generator_in_a_trainers_file_is_found(way, config, tmp_path):
    network, other = make(config, seed=1), make(config, seed=2)
    torch.save(TRAINERS[way](network.state_dict(), other.state_dict()), tmp_path / "run.ckpt")
    _same(load_generator(tmp_path / "run.ckpt"), network)


def test_the_names_of_2018_inside_a_module_are_found(tmp_path):
    config = RRDBS[0]
    network = make(config)
    torch.save(_prefixed(as_2018(network.state_dict(), "nearest"), "model."), tmp_path / "old.pth")
    _same(load_generator(tmp_path / "old.pth"), network)


def test_several_generators_in_a_file_are_an_error(tmp_path):
    a, b = (make(CONFIGS[-2], seed=seed).state_dict() for seed in (1, 2))
    save_file(_prefixed(a, "net_g.") | _prefixed(b, "netG."), tmp_path / "two.safetensors")
    with pytest.raises(ModelError, match=r"has the generators (net_g, netG|netG, net_g)"):
        load_generator(tmp_path / "two.safetensors")


def test_a_generator_that_is_part_of_another_network_is_not_loaded(tmp_path):
    state = _prefixed(make(CONFIGS[-2]).state_dict(), "background.") | {"face.weight": torch.zeros(3)}
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(ModelError, match="an unknown network"):
        load_generator(tmp_path / "part.safetensors")


@pytest.mark.parametrize("key", ["body.999999.weight", "body.99999999999999.rdb1.conv1.weight"])
def test_a_layer_number_that_would_take_very_long_is_refused_at_once(key, tmp_path):
    state = {"body.0.weight": torch.rand(4, 3, 3, 3), key: torch.rand(12, 4, 3, 3)}
    save_file(state, tmp_path / "many.safetensors")
    with pytest.raises(ModelError, match="missing"):
        load_generator(tmp_path / "many.safetensors")


@pytest.mark.parametrize("shape", [(), (0,), (0, 3, 3, 3), (4, 0, 3, 3)])
@pytest.mark.parametrize(
    "config", [CONFIGS[0], CONFIGS[-1], SRResNetConfig(scale=2, nf=4, nb=1)], ids=name_of
)
def test_degenerate_shapes_are_a_model_error(shape, config, tmp_path):
    state = {key: torch.zeros(shape) for key in make(config).state_dict()}
    save_file(state, tmp_path / "flat.safetensors")
    with pytest.raises(ModelError):
        load_generator(tmp_path / "flat.safetensors")


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@pytest.mark.parametrize("further", ["mean", "head.weight"])
def test_the_error_for_tensors_beside_a_network_names_both(config, further, tmp_path):
    save_file({**make(config).state_dict(), further: torch.ones(3)}, tmp_path / "more.safetensors")
    with pytest.raises(ModelError, match=f"with {further}, which it does not have"):
        load_generator(tmp_path / "more.safetensors")


def test_a_link_to_nothing_is_named_as_such(tmp_path):
    (tmp_path / "link.pth").symlink_to(tmp_path / "gone.pth")
    with pytest.raises(ModelError, match="a link to a file that does not exist"):
        load_generator(tmp_path / "link.pth")


def test_strength_interpolates_from_the_partner_to_the_model(tmp_path):
    strong, weak = make(CONFIGS[-2], seed=1), make(CONFIGS[-2], seed=2)
    save_file(strong.state_dict(), tmp_path / "strong.safetensors")
    torch.save({"params": weak.state_dict()}, tmp_path / "weak.pth")

    def load(strength):
        return load_generator(
            tmp_path / "strong.safetensors", strength=strength, partner=tmp_path / "weak.pth"
        )

    _same(load(1), strong)
    _same(load(0), weak)
    key = "body.0.weight"
    expected = 0.3 * strong.state_dict()[key] + 0.7 * weak.state_dict()[key]
    torch.testing.assert_close(load(0.3).network.state_dict()[key], expected)


@pytest.mark.parametrize("asked", ["plain", "crisp"])
def test_strength_interpolates_from_faithful_to_crisp_whichever_is_named(asked, tmp_path, monkeypatch):
    nets = {name: make(CONFIGS[-2], seed=seed) for seed, name in enumerate(("plain", "crisp"))}
    for name, network in nets.items():
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
    plain = catalog.CatalogEntry(name="plain", family="Compact", scale=4, description="", partner="crisp")
    crisp = replace(plain, name="crisp", partner="plain", crisp=True)
    monkeypatch.setattr(catalog, "MODELS", {"plain": plain, "crisp": crisp})
    monkeypatch.setattr(catalog.CatalogEntry, "path", property(lambda e: tmp_path / f"{e.name}.safetensors"))
    _same(load_generator(asked), nets[asked])
    _same(load_generator(asked, strength=0), nets["plain"])
    _same(load_generator(asked, strength=1), nets["crisp"])
    ends = [nets[name].state_dict()["body.0.weight"] for name in ("plain", "crisp")]
    mixed = load_generator(asked, strength=0.3).network.state_dict()["body.0.weight"]
    torch.testing.assert_close(mixed, 0.7 * ends[0] + 0.3 * ends[1])


def test_a_filter_without_a_partner_is_unchanged_at_strength_0():
    asked, plain = (load_generator("bicubic", **more).network for more in ({"strength": 0}, {}))
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(asked(image), plain(image))


@pytest.mark.parametrize("name", ["bicubic", "file"])
def test_strength_without_a_partner_is_refused_with_a_remedy(name, tmp_path):
    save_file(make(CONFIGS[-2]).state_dict(), tmp_path / "net.safetensors")
    model = name if name != "file" else tmp_path / "net.safetensors"
    with pytest.raises(ConfigError, match="partner"):
        load_generator(model, strength=0.5)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strengths_out_of_range_are_refused(strength):
    with pytest.raises(ConfigError, match="strength"):
        load_generator("bicubic", strength=strength)


def test_partners_of_another_shape_are_refused_with_the_difference(tmp_path):
    save_file(make(CONFIGS[0]).state_dict(), tmp_path / "a.safetensors")
    save_file(make(CONFIGS[4]).state_dict(), tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="body"):
        load_generator(tmp_path / "a.safetensors", strength=0.5, partner=tmp_path / "b.safetensors")


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_filters_load_like_networks(name):
    loaded = load_generator(name, scale=Fraction(3, 2))
    assert (loaded.scale, loaded.parameters, loaded.path) == (Fraction(3, 2), 0, None)
    assert loaded.network(LR).shape == (1, 3, 12, 13)


@pytest.mark.parametrize("name", [n for n, entry in catalog.MODELS.items() if entry.path])
def test_shipped_weights_match_the_catalog(name):
    loaded = load_generator(name)
    entry = catalog.MODELS[name]
    assert (loaded.family, loaded.scale) == (entry.family, entry.scale)
    assert loaded.path.stat().st_size < 16_000_000  # the limit of the package
