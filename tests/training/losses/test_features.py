"""Features equal VGG19's from both kinds of files, unsuitable files are
rejected, and only SR gets a gradient."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from vsr.errors import ModelError
from vsr.training.losses.features import (
    CONVOLUTIONS,
    SRGAN_FEATURE_SCALE,
    Features,
    PerceptualLoss,
    accumulated,
    layers_up_to,
    load_features,
)

CONFIGURATION_E = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M"] + 2 * ([512] * 4 + ["M"])
"""VGG19's row in table 1 of arXiv 1409.1556, as torchvision's `features` implements it."""
INDICES = {"conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv4_4": 25, "conv5_4": 34}
"""Numbers of these layers in torchvision's `features`, as named in BSRGAN's published options."""


def noise(seed, *size):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def vgg(configuration):
    """Build torchvision's `features` from its row in the table."""
    layers, before = [], 3
    for item in configuration:
        if item == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(before, item, 3, padding=1), nn.ReLU()]
        before = item
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def naive():
    """Return torchvision's `features` with random weights that keep the scale of features."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = vgg(CONFIGURATION_E).requires_grad_(False)
        for layer in network:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.uniform_(layer.bias, -0.1, 0.1)
    return network


def state_of(network):
    return {f"features.{key}": value for key, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def torchvision_file(naive, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({**state_of(naive), "classifier.0.weight": torch.zeros(4, 4)}, path)
    return path


def normalised(x):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_the_reference_has_the_numbers_of_torchvision(naive):
    assert len(naive) == 37
    assert [name for name, layer in naive.named_children() if isinstance(layer, nn.MaxPool2d)] == [
        "4", "9", "18", "27", "36",
    ]  # fmt: skip


def test_every_layer_of_a_torchvision_file_has_the_right_number(naive, torchvision_file):
    wanted = [*CONVOLUTIONS, *(name.replace("conv", "relu") for name in CONVOLUTIONS)]
    x = noise(1, 2, 3, 37, 41)
    found = load_features(torchvision_file, wanted)(x)
    names = iter(CONVOLUTIONS)
    seen = {}
    h = normalised(x)
    for number, layer in enumerate(naive):
        h = layer(h)
        if isinstance(layer, nn.Conv2d):
            name = next(names)
            seen[name] = number
            torch.testing.assert_close(found[name], h)
        elif isinstance(layer, nn.ReLU):
            torch.testing.assert_close(found[name.replace("conv", "relu")], h)
    assert set(found) == set(wanted)
    assert {name: seen[name] for name in INDICES} == INDICES


def test_a_layer_before_its_activation_is_not_changed_by_the_relu(torchvision_file):
    x = noise(2, 1, 3, 32, 32)
    found = load_features(torchvision_file, ["conv1_2", "conv2_1"])(x)
    assert found["conv1_2"].min() < 0
    alone = load_features(torchvision_file, ["conv1_2"])(x)["conv1_2"]
    torch.testing.assert_close(found["conv1_2"], alone)


def test_shapes_follow_the_poolings():
    found = Features(["conv1_1", "relu2_2", "conv3_4", "conv4_4", "conv5_4"])(noise(3, 2, 3, 50, 33))
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == {
        "conv1_1": (64, 50, 33),
        "relu2_2": (128, 25, 16),
        "conv3_4": (256, 12, 8),
        "conv4_4": (512, 6, 4),
        "conv5_4": (512, 3, 2),
    }


def test_any_layer_of_the_network_may_be_requested():
    features = Features(["relu2_1"])
    x = noise(4, 1, 3, 16, 16)
    assert list(features(x)) == ["relu2_1"]
    assert list(features(x, ["conv1_2", "relu1_1"])) == ["relu1_1", "conv1_2"]
    with pytest.raises(ValueError, match="conv2_2 is deeper than conv2_1"):
        features(x, ["relu2_2"])


@pytest.mark.needs_material
def test_the_normalised_file_is_read_as_the_acceptance_script_reads_it(material):
    path = material / "data" / "weights" / "vgg19_normalised_relu3_1.safetensors"
    weights = load_file(path)

    def conv(x, name):
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = noise(5, 2, 3, 40, 52)
    h = F.conv2d(x, weights["preproc.weight"], weights["preproc.bias"])
    h = F.max_pool2d(conv(F.relu(conv(h, "conv1_1")), "conv1_2").relu(), 2)
    relu2_1 = conv(h, "conv2_1").relu()
    conv2_2 = conv(relu2_1, "conv2_2")
    relu3_1 = conv(F.max_pool2d(conv2_2.relu(), 2), "conv3_1").relu()

    found = load_features(path, ["relu2_1", "conv2_2", "relu3_1"])(x)
    torch.testing.assert_close(found["relu2_1"], relu2_1)
    torch.testing.assert_close(found["conv2_2"], conv2_2)
    torch.testing.assert_close(found["relu3_1"], relu3_1)
    with pytest.raises(ModelError, match=r"ends before conv5_4; its layers are conv1_1, .*conv3_1\."):
        load_features(path, ["conv5_4"])


def cut(state, last):
    return {key: value for key, value in state.items() if int(key.split(".")[1]) <= last}


def saved(tmp_path, state):
    path = tmp_path / "vgg.safetensors"
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    return path


def test_a_file_that_ends_early_provides_its_layers(naive, tmp_path):
    path = saved(tmp_path, cut(state_of(naive), 10))
    x = noise(6, 1, 3, 16, 16)
    torch.testing.assert_close(load_features(path, ["conv3_1"])(x)["conv3_1"], naive[:11](normalised(x)))
    with pytest.raises(
        ModelError,
        match=r"ends before conv3_2; its layers are conv1_1, .*conv3_1\. For a suitable file, save",
    ):
        load_features(path, ["conv3_2"])


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


def test_partial_files_are_rejected_with_the_percentage_that_matches(naive, tmp_path):
    state = state_of(naive)
    path = saved(tmp_path, without(state, "features.12.bias"))  # 31 of 32
    with pytest.raises(ModelError, match=r"96 % of its features match VGG19, features\.12\.bias does not"):
        load_features(path, ["conv5_4"])
    path = saved(tmp_path, {**state, "features.34.weight": torch.zeros(512, 256, 3, 3)})
    with pytest.raises(ModelError, match=r"96 % .* features\.34\.weight does not"):
        load_features(path, ["conv1_2"])


def test_vgg16_is_rejected_although_its_first_blocks_have_the_same_shapes(tmp_path):
    sixteen = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    path = saved(tmp_path, state_of(vgg(sixteen)))
    with pytest.raises(ModelError, match=r"\d+ % of its features match VGG19"):
        load_features(path, ["conv1_2"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "the file with VGG19's weights does not exist"),
        (lambda path: save_file({"conv_first.weight": torch.ones(2)}, path), "0 % of the layers"),
        (lambda path: path.write_bytes(b"<html>"), "a web page, not weights"),
        (lambda path: save_file({"preproc.weight": torch.ones(2)}, path), "0 % of its features"),
    ],
    ids=["missing", "another network", "a page", "wrong shape"],
)
def test_a_file_that_is_not_vgg19_is_rejected_in_one_line(make, said, tmp_path):
    path = tmp_path / "vgg.safetensors"
    make(path)
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        load_features(path, ["conv1_1"])
    assert "\n" not in str(caught.value)
    if "web page" not in said:
        assert "Nothing is downloaded" in str(caught.value)


def test_unknown_layers_and_small_images_are_rejected():
    with pytest.raises(ValueError, match="conv6_1"):
        Features(["conv6_1"])
    with pytest.raises(ValueError, match="not none"):
        Features([])
    with pytest.raises(ValueError, match="requires 4 pixels"):
        Features(["conv3_1"])(noise(0, 1, 3, 3, 9))
    assert Features(["conv3_1"])(noise(0, 1, 3, 4, 9))["conv3_1"].shape[-2:] == (1, 2)
    with pytest.raises(ValueError, match="requires 8 pixels"):
        Features(["conv3_1"], padding="reflect")(noise(0, 1, 3, 7, 9))
    assert Features(["conv3_1"], padding="reflect")(noise(0, 1, 3, 8, 9))["conv3_1"].shape[-2:] == (2, 2)


@pytest.fixture(scope="module")
def shallow(torchvision_file):
    return load_features(torchvision_file, ["conv3_1"])


@pytest.mark.parametrize("criterion", ["l1", "mse"])
def test_the_loss_is_the_weighted_sum_over_layers(shallow, criterion):
    sr, hr = noise(7, 2, 3, 20, 24), noise(8, 2, 3, 20, 24)
    weights = {"relu2_2": 0.5, "conv3_1": 2.0}
    found = PerceptualLoss(shallow, weights, criterion=criterion, scale=SRGAN_FEATURE_SCALE)(sr, hr)
    a, b = shallow(sr, list(weights)), shallow(hr, list(weights))
    distance = {"l1": lambda d: d.abs().mean(), "mse": lambda d: (d**2).mean()}[criterion]
    expected = 0.006 * (
        0.5 * distance(a["relu2_2"] - b["relu2_2"]) + 2 * distance(a["conv3_1"] - b["conv3_1"])
    )
    torch.testing.assert_close(found, expected)
    assert found > 0


def test_accumulate_includes_all_earlier_layers_of_the_kind(shallow):
    assert layers_up_to("conv2_1") == ("conv1_1", "conv1_2", "conv2_1")
    assert layers_up_to("relu1_2") == ("relu1_1", "relu1_2")
    assert accumulated({"conv1_1": 1.0, "conv1_2": 2.0}) == {"conv1_1": 3.0, "conv1_2": 2.0}
    sr, hr = noise(9, 1, 3, 16, 16), noise(10, 1, 3, 16, 16)
    found = PerceptualLoss(shallow, {"relu2_1": 3.0}, accumulate=True)(sr, hr)
    parts = [PerceptualLoss(shallow, {n: 3.0})(sr, hr) for n in ("relu1_1", "relu1_2", "relu2_1")]
    torch.testing.assert_close(found, torch.stack(parts).sum())


def test_only_sr_gets_a_gradient(shallow):
    sr, hr = noise(11, 1, 3, 16, 16).requires_grad_(), noise(12, 1, 3, 16, 16).requires_grad_()
    loss = PerceptualLoss(shallow, {"conv1_2": 1.0, "relu3_1": 1.0})
    loss(sr, hr).backward()
    assert hr.grad is None
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()
    assert sr.grad.abs().sum() > 0


def test_the_gradient_is_that_of_finite_differences(shallow):
    sr, hr = noise(13, 1, 3, 8, 8).requires_grad_(), noise(14, 1, 3, 8, 8)
    loss = PerceptualLoss(shallow, {"conv2_2": 1.0}, criterion="mse")
    loss(sr, hr).backward()
    direction = torch.randn(sr.shape, generator=torch.Generator().manual_seed(15))
    step = 1e-3  # changes the loss by about 1e-3, which fp32 resolves to 1e-4 of that change
    slope = (loss(sr.detach() + step * direction, hr) - loss(sr.detach() - step * direction, hr)) / (2 * step)
    # ReLUs and poolings are not smooth everywhere, which costs a few per cent in one direction.
    assert (sr.grad * direction).sum().item() == pytest.approx(slope.item(), rel=0.05)


def test_equal_images_have_no_distance(shallow):
    x = noise(16, 1, 3, 16, 16)
    assert PerceptualLoss(shallow, {"conv3_1": 1.0})(x, x.clone()).item() == 0


def test_under_bf16_autocast_features_are_bf16_and_the_distance_fp32(shallow):
    sr, hr = noise(17, 2, 3, 32, 32), noise(18, 2, 3, 32, 32)
    loss = PerceptualLoss(shallow, {"conv3_1": 1.0})
    full = loss(sr, hr)
    with torch.autocast("cpu", torch.bfloat16):
        assert shallow(sr)["conv3_1"].dtype == torch.bfloat16
        found = loss(sr, hr)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(
        full.item(), rel=0.02
    )  # bf16 has 8 bits, and errors of layers add up


REAL_ESRGAN_LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
"""Layer weights of Real-ESRGAN (arXiv 2107.10833, section 4.1), for the criterion l1."""


def test_the_published_settings_end_at_5_4():
    features = Features(REAL_ESRGAN_LAYERS)
    x, y = noise(19, 1, 3, 16, 16), noise(20, 1, 3, 16, 16)
    for weights, criterion in (
        (REAL_ESRGAN_LAYERS, "l1"),
        ({"conv5_4": 1.0}, "l1"),
        ({"relu5_4": SRGAN_FEATURE_SCALE}, "mse"),
        ({"relu2_2": SRGAN_FEATURE_SCALE}, "mse"),
    ):
        assert PerceptualLoss(features, weights, criterion=criterion)(x, y) > 0


def test_images_that_cannot_be_compared_are_rejected(shallow):
    with pytest.raises(ValueError, match="same shape"):
        PerceptualLoss(shallow, {"conv1_1": 1.0})(noise(0, 1, 3, 8, 8), noise(0, 1, 3, 8, 9))
    with pytest.raises(ValueError, match="conv5_4 is deeper than conv3_1"):
        PerceptualLoss(shallow, {"conv5_4": 1.0})
