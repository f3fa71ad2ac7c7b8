"""The discriminators are the published ones, according to layer tables, a
naive computation, and names in files."""

from __future__ import annotations

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm

from vsr.errors import ConfigError
from vsr.settings.toml import from_table
from vsr.training.losses.discriminators import (
    DiscriminatorConfig,
    PatchConfig,
    SpectralConv2d,
    SRGANConfig,
    UNetConfig,
    VGGConfig,
    make_discriminator,
)

SMALL = {
    "srgan": DiscriminatorConfig(srgan=SRGANConfig(nf=4, dense=8)),
    "vgg128": DiscriminatorConfig(vgg128=VGGConfig(nf=4)),
    "patch": DiscriminatorConfig(patch=PatchConfig(nf=4)),
    "patch-sn": DiscriminatorConfig(patch=PatchConfig(nf=4, spectral_norm=True)),
    "unet": DiscriminatorConfig(unet=UNetConfig(nf=4)),
}
by_kind = pytest.mark.parametrize("kind", SMALL)


def make(kind, patch=32, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make_discriminator(SMALL[kind], patch)


def settled(kind, seed=0):
    """Return a network in eval mode after enough power iterations;
    the initial spectral vectors are random."""
    network = make(kind, seed=seed)
    for _ in range(10):
        network(noise(0, 2, 3, 32, 32))
    return network.eval()


def noise(seed, *size):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def convolution(before, after, kernel, bias=True):
    return before * after * kernel**2 + after * bias


def norm(channels):
    return 2 * channels


# Layer tables with kernels and channels from the papers and BasicSR's description of architectures.
VGG128 = (
    convolution(3, 64, 3) + convolution(64, 64, 4, False) + norm(64)
    + convolution(64, 128, 3, False) + norm(128) + convolution(128, 128, 4, False) + norm(128)
    + convolution(128, 256, 3, False) + norm(256) + convolution(256, 256, 4, False) + norm(256)
    + convolution(256, 512, 3, False) + norm(512) + convolution(512, 512, 4, False) + norm(512)
    + convolution(512, 512, 3, False) + norm(512) + convolution(512, 512, 4, False) + norm(512)
    + (512 * 4 * 4 + 1) * 100 + 101
)  # fmt: skip
BIASES = 64 + 2 * 128 + 2 * 256 + 4 * 512
UNET = (
    convolution(3, 64, 3)
    + convolution(64, 128, 4, False) + convolution(128, 256, 4, False) + convolution(256, 512, 4, False)
    + convolution(512, 256, 3, False) + convolution(256, 128, 3, False) + convolution(128, 64, 3, False)
    + 2 * convolution(64, 64, 3, False) + convolution(64, 1, 3)
)  # fmt: skip
PATCH = (
    convolution(3, 64, 4)
    + convolution(64, 128, 4, False) + norm(128)
    + convolution(128, 256, 4, False) + norm(256)
    + convolution(256, 512, 4, False) + norm(512)
    + convolution(512, 1, 4)
)  # fmt: skip
SRGAN_96 = (
    convolution(3, 64, 3) + convolution(64, 64, 3, False) + norm(64)
    + convolution(64, 128, 3, False) + norm(128) + convolution(128, 128, 3, False) + norm(128)
    + convolution(128, 256, 3, False) + norm(256) + convolution(256, 256, 3, False) + norm(256)
    + convolution(256, 512, 3, False) + norm(512) + convolution(512, 512, 3, False) + norm(512)
    + (512 * 6 * 6 + 1) * 1024 + 1025
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "patch", "by_table", "published"),
    [
        (DiscriminatorConfig(unet=UNetConfig()), 256, UNET, 4_376_897),
        # 14,502,281 is also quoted; it includes biases before batch norm,
        # which BasicSR's network does not have.
        (DiscriminatorConfig(vgg128=VGGConfig()), 128, VGG128, 14_502_281 - BIASES),
        # pix2pix's log says 2.769 M for six channels; with three there are 3 * 64 * 16 fewer.
        (DiscriminatorConfig(patch=PatchConfig()), 256, PATCH, 2_768_705 - 3 * 64 * 16),
        (DiscriminatorConfig(srgan=SRGANConfig()), 96, SRGAN_96, None),
    ],
    ids=["vgg128", "unet", "patch", "srgan"],
)
def test_parameter_counts_are_those_of_the_layer_tables(config, patch, by_table, published):
    assert parameters(make_discriminator(config, patch)) == by_table
    assert published in (None, by_table)


@pytest.mark.parametrize("patch", [32, 64, 128])
@by_kind
def test_logits_are_one_an_image_or_a_map(kind, patch):
    side = {"unet": patch, "patch": patch // 8 - 2, "patch-sn": patch // 8 - 2}.get(kind)
    shape = (2, 1) if side is None else (2, 1, side, side)
    assert make(kind, patch)(noise(1, 2, 3, patch, patch)).shape == shape


def test_srgan_supports_odd_sides():
    network = make_discriminator(SMALL["srgan"], 50)
    assert network(noise(2, 2, 3, 50, 50)).shape == (2, 1)


@by_kind
def test_every_weight_and_the_image_get_a_finite_gradient(kind):
    network, x = make(kind), noise(3, 2, 3, 32, 32).requires_grad_()
    network(x).square().mean().backward()
    for name, parameter in [*network.named_parameters(), ("picture", x)]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("layers", "field"), [(2, 34), (3, 70), (4, 142)])
def test_the_receptive_field_of_the_patch_discriminator_is_the_published_one(layers, field):
    config = PatchConfig(nf=2, layers=layers, spectral_norm=True)
    network = make_discriminator(DiscriminatorConfig(patch=config), 256)
    nn.init.constant_(network.body[0].weight, 0.1)  # so that no paths from the image cancel out
    x = noise(4, 1, 3, 256, 256).requires_grad_()
    logits = network(x)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    for axis in (0, 1):
        at = seen.any(axis).nonzero().flatten()
        assert at[-1] - at[0] + 1 == field


def naive_unet(state, x):
    """Compute Real-ESRGAN's figure 6, with the state of torch's spectral norm in eval mode."""

    def conv(x, name, stride=1):
        w = state[f"{name}.weight_orig"]
        sigma = state[f"{name}.weight_u"] @ w.reshape(len(w), -1) @ state[f"{name}.weight_v"]
        return F.leaky_relu(F.conv2d(x, w / sigma, stride=stride, padding=1), 0.2)

    def twice(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    x0 = F.leaky_relu(F.conv2d(x, state["conv0.weight"], state["conv0.bias"], padding=1), 0.2)
    x1 = conv(x0, "conv1", 2)
    x2 = conv(x1, "conv2", 2)
    x3 = conv(x2, "conv3", 2)
    x4 = conv(twice(x3), "conv4") + x2
    x5 = conv(twice(x4), "conv5") + x1
    x6 = conv(twice(x5), "conv6") + x0
    x8 = conv(conv(x6, "conv7"), "conv8")
    return F.conv2d(x8, state["conv9.weight"], state["conv9.bias"], padding=1)


def test_the_unet_computes_the_figure_of_the_paper():
    network, x = settled("unet"), noise(5, 2, 3, 24, 40)
    torch.testing.assert_close(network(x), naive_unet(network.state_dict(), x))


def test_without_skips_the_decoder_does_not_use_the_encoders_features():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make_discriminator(DiscriminatorConfig(unet=UNetConfig(nf=4, skip=False)), 32)
    x = noise(6, 1, 3, 32, 32)
    assert not torch.allclose(network.eval()(x), make("unet").eval()(x))
    assert network.state_dict().keys() == make("unet").state_dict().keys()


def test_vgg128_computes_pairs_of_convolutions_with_batch_norm():
    network, x = make("vgg128").eval(), noise(7, 2, 3, 32, 32)
    for name, buffer in network.named_buffers():  # so that batch norm has an effect
        if name.endswith(("mean", "var")):
            buffer.copy_(noise(8, len(buffer)) + 0.5)
    s, h = network.state_dict(), x
    for stage in range(3):
        for half, stride in ((0, 1), (1, 2)):
            bias = s.get(f"conv{stage}_{half}.bias")
            h = F.conv2d(h, s[f"conv{stage}_{half}.weight"], bias, stride=stride, padding=1)
            if (stage, half) != (0, 0):
                bn = [s[f"bn{stage}_{half}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
                h = F.batch_norm(h, *bn)
            h = F.leaky_relu(h, 0.2)
    h = F.leaky_relu(F.linear(h.flatten(1), s["linear1.weight"], s["linear1.bias"]), 0.2)
    torch.testing.assert_close(network(x), F.linear(h, s["linear2.weight"], s["linear2.bias"]))


def twins(before, after, kernel, stride):
    """Return a convolution with this package's spectral norm and one with torch's, with the same state."""
    ours = SpectralConv2d(before, after, kernel, stride=stride)
    theirs = spectral_norm(nn.Conv2d(before, after, kernel, stride, 1, bias=False))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("shape", [(3, 8, 4, 2), (6, 2, 3, 1)])
def test_spectral_norm_equals_torchs_in_values_state_and_gradient(shape):
    ours, theirs = twins(*shape)
    x = noise(9, 2, shape[0], 8, 8)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
        ours(x).square().sum().backward()
        theirs(x).square().sum().backward()
        torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_the_spectral_norm_converges_to_one_and_does_not_change_in_eval():
    conv, x = SpectralConv2d(3, 4, 3), noise(10, 1, 3, 8, 8)
    for _ in range(200):
        conv(x)
    weight = conv.weight_orig.detach().flatten(1)
    largest = torch.linalg.svdvals(weight)[0]
    assert conv._largest().item() == pytest.approx(largest.item(), rel=1e-4)
    before = conv.eval().weight_u.clone()
    conv(x)
    assert torch.equal(conv.weight_u, before)


@by_kind
def test_both_forward_passes_may_precede_the_backward_passes(kind):
    network = make(kind)
    real, fake = network(noise(11, 2, 3, 32, 32)), network(noise(12, 2, 3, 32, 32))
    (real.mean() - fake.mean()).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@by_kind
def test_copies_of_networks_continue_equally(kind):
    network = make(kind)
    network(noise(13, 2, 3, 32, 32))
    other = copy.deepcopy(network)
    x = noise(14, 2, 3, 32, 32)
    assert torch.equal(network(x), other(x))
    restored = make(kind, seed=1)
    restored.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(x), restored.eval()(x))


@by_kind
def test_discriminators_run_under_bf16_autocast_in_channels_last(kind):
    network = settled(kind).to(memory_format=torch.channels_last)
    x = noise(15, 2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    full = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x)
    # bf16 has 8 bits: 0.4 % a layer, which is at most 4 % of the largest logits for ten layers.
    scale = max(1.0, full.abs().max().item())
    torch.testing.assert_close(found.float(), full, rtol=0, atol=0.05 * scale)


# On the CPU, autocast does not change matrix-vector products; on CUDA it does.
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def test_spectral_vectors_stay_fp32_under_autocast(device):
    ours, other = SpectralConv2d(3, 4, 3).to(device), SpectralConv2d(3, 4, 3).to(device)
    other.load_state_dict(ours.state_dict())
    x = noise(16, 1, 3, 8, 8).to(device)
    with torch.autocast(device, torch.bfloat16):
        ours(x)
    other(x)
    assert torch.equal(ours.weight_u, other.weight_u)


def test_dropout_is_active_only_in_training():
    config = SRGANConfig(nf=4, dense=8, dropout=0.5)
    network, x = make_discriminator(DiscriminatorConfig(srgan=config), 32), noise(17, 2, 3, 32, 32)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_a_discriminator_learns_to_distinguish_noise_from_constant_images():
    for kind in SMALL:
        network = make(kind)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        real, fake = noise(18, 4, 3, 32, 32), torch.full((4, 3, 32, 32), 0.5)
        for _ in range(30):
            loss = F.softplus(-network(real)).mean() + F.softplus(network(fake)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert network(real).mean() > network(fake).mean() + 0.5, kind


PUBLISHED_UNET = {f"conv{i}.{n}" for i in (0, 9) for n in ("weight", "bias")} | {
    f"conv{i}.weight_{n}" for i in range(1, 9) for n in ("orig", "u", "v")
}
PUBLISHED_VGG = (
    {"conv0_0.weight", "conv0_0.bias", "conv0_1.weight"}
    | {f"conv{s}_{h}.weight" for s in range(1, 5) for h in (0, 1)}
    | {
        f"bn{s}_{h}.{n}"
        for s in range(5)
        for h in (0, 1)
        if (s, h) != (0, 0)
        for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    | {f"linear{i}.{n}" for i in (1, 2) for n in ("weight", "bias")}
)
"""Layer names in BasicSR's files for 128 pixels."""


def test_layers_have_the_names_of_published_files():
    assert make("unet").state_dict().keys() == PUBLISHED_UNET
    assert make("vgg128", 128).state_dict().keys() == PUBLISHED_VGG


@pytest.mark.parametrize(
    ("kind", "patch", "said"),
    [
        ("srgan", 15, "at least 16 pixels, not 15"),
        ("vgg128", 96, "32, 64, 128, ..., not 96"),
        ("vgg128", 16, "not 16"),
        ("patch", 23, "at least 24 pixels, not 23"),
        ("unet", 100, "multiple of 8, not 100"),
    ],
)
def test_unsupported_sides_are_rejected_in_one_line(kind, patch, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        make_discriminator(SMALL[kind], patch)
    assert "\n" not in str(caught.value)


def test_the_smallest_documented_sides_are_supported():
    for kind, patch in (("srgan", 16), ("vgg128", 32), ("patch", 24), ("unet", 8)):
        assert make(kind, patch)(noise(19, 2, 3, patch, patch)).numel() >= 2


def test_a_recipe_must_name_exactly_one_discriminator():
    config = from_table({"unet": {"nf": 32}}, DiscriminatorConfig, where="discriminator")
    assert config == DiscriminatorConfig(unet=UNetConfig(nf=32))
    assert config.kind == "unet"
    for table, said in (({}, "gives none"), ({"unet": {}, "srgan": {}}, "gives srgan, unet")):
        with pytest.raises(ConfigError, match=said):
            from_table(table, DiscriminatorConfig, where="discriminator")
    with pytest.raises(ConfigError, match=r"dropout = 1\.0"):
        from_table({"srgan": {"dropout": 1.0}}, DiscriminatorConfig, where="discriminator")
    with pytest.raises(ConfigError, match="layers = 0"):
        from_table({"patch": {"layers": 0}}, DiscriminatorConfig, where="discriminator")
