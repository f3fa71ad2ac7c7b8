"""VGG19's features (Simonyan and Zisserman, arXiv 1409.1556), and how far apart two pictures are in them.

Layers are named by block and place: `conv5_4` is what the fourth convolution of the fifth block gives, before
its ReLU, `relu5_4` the same after it. The weights come from a file of the user's: torchvision's vgg19, or the
normalised one of style transfer, in which every channel's mean activation is about 1. None is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.files import WeightFile, read_weights
from vsr.training.losses.loss_settings import PIXEL

Padding = Literal["zeros", "reflect"]

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of each block; a max pool of 2 lies between blocks (VGG19, configuration E)."""
CONVOLUTIONS = tuple(f"conv{b}_{i}" for b, (_, n) in enumerate(BLOCKS, start=1) for i in range(1, n + 1))
"""The sixteen, from the picture on."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's R, G and B in [0, 1], by which torchvision's networks expect their pictures normalised."""

SRGAN_FEATURE_SCALE = 0.006
"""Of the features' squared difference: SRGAN (arXiv 1609.04802, section 3.2) divides features by 12.75, and
1 / 12.75^2 = 0.00615."""
REAL_ESRGAN_LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
"""Real-ESRGAN (arXiv 2107.10833, section 4.1), with the criterion l1."""

_HOW_TO_GET = (
    "save torchvision.models.vgg19(weights='IMAGENET1K_V1').state_dict(), or copy its vgg19-dcbb9e9d.pth;"
    " nothing is downloaded here"
)


@dataclass(frozen=True, slots=True)
class _Naming:
    """How a kind of file names its layers, and what goes with it."""

    keys: Mapping[str, str]
    """Name in the file to name in `Features`."""
    prefix: str
    """Of everything in the file that is a feature layer."""
    padding: Padding


def _torchvision_keys() -> dict[str, str]:
    """`features.N`, where N counts convolutions, ReLUs and pools alike."""
    keys: dict[str, str] = {}
    number = 0
    for name in CONVOLUTIONS:
        if name.endswith("_1") and name != CONVOLUTIONS[0]:
            number += 1  # the pool
        keys |= {f"features.{number}.{kind}": f"{name}.{kind}" for kind in ("weight", "bias")}
        number += 2  # a convolution and its ReLU
    return keys


TORCHVISION = _Naming(_torchvision_keys(), "features.", "zeros")
NORMALISED = _Naming(
    {
        f"{name}.{kind}": f"{name}.{kind}"
        for name in ("preproc", *CONVOLUTIONS)
        for kind in ("weight", "bias")
    },
    "",
    "reflect",
)


def _shapes() -> dict[str, tuple[int, ...]]:
    """Of all weights, by our names."""
    shapes: dict[str, tuple[int, ...]] = {"preproc.weight": (3, 3, 1, 1), "preproc.bias": (3,)}
    before = 3
    for name in CONVOLUTIONS:
        channels = BLOCKS[int(name[4]) - 1][0]
        shapes |= {f"{name}.weight": (channels, before, 3, 3), f"{name}.bias": (channels,)}
        before = channels
    return shapes


_SHAPES = _shapes()
_FIRST_KEY = {"features.0.weight": TORCHVISION, "preproc.weight": NORMALISED}
"""What tells the kind of a file."""


class Features(nn.Module):
    """VGG19 as far as its deepest wanted layer; its weights are constants."""

    layers: tuple[str, ...]
    """What `forward` gives if it is not told."""

    def __init__(self, layers: Iterable[str], *, padding: Padding = "zeros") -> None:
        """Build the network with random weights, which are for tests; see `load_features`.

        Raises:
            ValueError: A layer is unknown.
        """
        super().__init__()
        self.layers = tuple(layers)
        self._convolutions = convolutions_to(self.layers)
        self.preproc = nn.Conv2d(3, 3, 1)
        _normalise_(self.preproc)
        for name in self._convolutions:
            channels, before = _SHAPES[f"{name}.weight"][:2]
            self.add_module(name, nn.Conv2d(before, channels, 3, padding=1, padding_mode=padding))
        # A pool halves, rounding down; reflection needs a second pixel to mirror.
        self._least = 2 ** (int(self._convolutions[-1][4]) - 1) * (1 if padding == "zeros" else 2)
        self.requires_grad_(False)

    def forward(self, x: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Compute features.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device.
            layers: Which, in any order and no deeper than the network; None takes `self.layers`.

        Returns:
            By layer `(N, C, H / 2^b, W / 2^b)`, b = 0 to 4 pools before it, sides rounded down. In the
            caller's autocast precision, else fp32.

        Raises:
            ValueError: A picture is too small for the pools, or a layer is deeper than the network.
        """
        wanted = set(self.layers if layers is None else layers)
        self.check_layers(wanted)
        self._check_size(x)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round before the mean is off
            h: Tensor = self.preproc(x.float())
        found: dict[str, Tensor] = {}
        for name in convolutions_to(wanted):
            if name.endswith("_1") and name != CONVOLUTIONS[0]:
                h = F.max_pool2d(h, 2)
            h = self.get_submodule(name)(h)
            if name in wanted:
                found[name] = h
            h = F.relu(h, inplace=name not in wanted)
            if _activated(name) in wanted:
                found[_activated(name)] = h
        return found

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise ValueError if a layer is unknown, deeper than the network, or there is none."""
        deepest = convolutions_to(layers)[-1]
        if deepest not in self._convolutions:
            raise ValueError(f"{deepest} is deeper than {self._convolutions[-1]}, the last that was loaded")

    def _check_size(self, x: Tensor) -> None:
        if min(x.shape[-2:]) < self._least:
            raise ValueError(
                f"pictures of {tuple(x.shape[-2:])} are too small for {self._convolutions[-1]};"
                f" {self._least} pixels are needed"
            )


@torch.no_grad()
def _normalise_(preproc: nn.Conv2d) -> None:
    """Make the first layer (x - mean) / std."""
    assert preproc.bias is not None
    std = torch.tensor(STD)
    preproc.weight.copy_(torch.diag(1 / std).view(3, 3, 1, 1))
    preproc.bias.copy_(-torch.tensor(MEAN) / std)


def _activated(convolution: str) -> str:
    return convolution.replace("conv", "relu")


def _convolution(layer: str) -> str:
    return layer.replace("relu", "conv")


def convolutions_to(layers: Iterable[str]) -> tuple[str, ...]:
    """The convolutions from the first to the deepest of `layers`.

    Raises:
        ValueError: A layer is unknown, or there is none.
    """
    wanted = [_convolution(layer) for layer in layers]
    unknown = sorted({name for name in wanted if name not in CONVOLUTIONS})
    if unknown or not wanted:
        given = ", ".join(unknown) or "none"
        raise ValueError(f"VGG19 has layers conv1_1 to conv5_4 and relu1_1 to relu5_4; given: {given}")
    return CONVOLUTIONS[: 1 + max(CONVOLUTIONS.index(name) for name in wanted)]


def load_features(path: Path, layers: Iterable[str]) -> Features:
    """Load VGG19 as far as the deepest of `layers`; what lies beyond it in the file is not looked at.

    Args:
        path: A .safetensors or .pth file: torchvision's vgg19 (or its convolutions), or the normalised one.
        layers: Names such as `conv5_4` and `relu2_2`.

    Returns:
        On the host, fp32, eval mode, without gradients for the weights.

    Raises:
        ModelError: The file is missing, unreadable, not a VGG19's, not wholly so, or ends before a layer.
        ValueError: A layer is unknown.
    """
    layers = tuple(layers)
    wanted = convolutions_to(layers)
    if not path.is_file():
        raise ModelError(f"{path}: no such file of VGG19's weights; {_HOW_TO_GET}")
    file = read_weights(path)
    naming = next((kind for key, kind in _FIRST_KEY.items() if key in file.state), None)
    if naming is None:
        raise ModelError(f"{path}: 0 % of the layers have a VGG19's names; {_HOW_TO_GET}")
    features = Features(layers, padding=naming.padding)
    state = _matched(file, naming, wanted)
    features.load_state_dict({**features.state_dict(), **state})
    return features.eval()


def _matched(file: WeightFile, naming: _Naming, wanted: Sequence[str]) -> dict[str, Tensor]:
    """The weights of the wanted convolutions, under our names.

    All of the file's features have to be a VGG19's, wanted or not: VGG16's first blocks have the same shapes.
    """
    claimed = {key for key in file.state if key.startswith(naming.prefix)}
    right = {
        name: file.state[key]
        for key, name in naming.keys.items()
        if key in claimed and file.state[key].shape == _SHAPES[name]
    }
    there = convolutions_to(held) if (held := [n for n in CONVOLUTIONS if f"{n}.weight" in right]) else ()
    expected = {key for key, name in naming.keys.items() if name.split(".")[0] in ("preproc", *there)}
    wrong = sorted(key for key in claimed | expected if naming.keys.get(key) not in right)
    if wrong:
        percent = 100 * len(right) // len(claimed | expected)
        raise ModelError(
            f"{file.path}: {percent} % of its features are VGG19's, {wrong[0]} is not; {_HOW_TO_GET}"
        )
    if wanted[-1] not in there:
        raise ModelError(
            f"{file.path}: ends before {wanted[-1]}; layers there are {', '.join(there)}; {_HOW_TO_GET}"
        )
    return {name: value for name, value in right.items() if name.split(".")[0] in ("preproc", *wanted)}


def layers_up_to(layer: str) -> tuple[str, ...]:
    """`layer` and all of its kind before it: `relu2_1` gives relu1_1, relu1_2, relu2_1.

    Raises:
        ValueError: The layer is unknown.
    """
    names = convolutions_to([layer])
    return tuple(_activated(name) for name in names) if layer.startswith("relu") else names


class PerceptualLoss(nn.Module):
    """The weighted sum of how far apart two pictures are in each layer.

    SRGAN: `{"relu2_2": SRGAN_FEATURE_SCALE}` or relu5_4, criterion mse. ESRGAN: `{"conv5_4": 1}`, l1.
    """

    def __init__(
        self,
        features: Features,
        weights: Mapping[str, float],
        *,
        criterion: Literal["l1", "mse"] = "l1",
        scale: float = 1.0,
        accumulate: bool = False,
    ) -> None:
        """Choose layers.

        Args:
            features: At least as deep as the deepest layer.
            weights: Of the layers' distances.
            criterion: Of the distance, a mean over channels and places.
            scale: Of the sum.
            accumulate: Count all layers of its kind up to each layer as much as the layer itself.

        Raises:
            ValueError: A layer is unknown or deeper than `features`.
        """
        super().__init__()
        self.features = features
        self.weights = accumulated(weights) if accumulate else dict(weights)
        self._criterion = PIXEL[criterion]
        self._scale = scale
        features.check_layers(self.weights)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare.

        Args:
            sr: `(N, 3, H, W)`, R'G'B' in [0, 1], not clipped; the gradient goes here alone.
            hr: The same shape and device.

        Returns:
            fp32, no dimensions. Features are computed in the caller's autocast precision, distances in fp32.

        Raises:
            ValueError: The shapes differ, or the pictures are too small.
        """
        if sr.shape != hr.shape:
            raise ValueError(f"pictures of {tuple(sr.shape)} and {tuple(hr.shape)}; same shape needed")
        layers = tuple(self.weights)
        with torch.no_grad():
            target = self.features(hr, layers)
        made = self.features(sr, layers)
        terms = [weight * self._criterion(made[n], target[n]) for n, weight in self.weights.items()]
        return self._scale * torch.stack(terms).sum()


def accumulated(weights: Mapping[str, float]) -> dict[str, float]:
    """Give each layer's weight to all of its kind before it too; where several do, they add up."""
    total: dict[str, float] = {}
    for layer, weight in weights.items():
        for name in layers_up_to(layer):
            total[name] = total.get(name, 0.0) + weight
    return total
