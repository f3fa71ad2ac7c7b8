"""VGG19's features (Simonyan and Zisserman, arXiv 1409.1556) and the
perceptual loss, a distance between them.

Layers are named by block and position: `conv5_4` is the output of the fourth convolution of the fifth
block before its ReLU, `relu5_4` the output after it. The user provides the file with the weights:
torchvision's vgg19, or the normalised one of style transfer, in which the mean activation of every
channel is about 1. Nothing is downloaded.
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
"""Channels and number of convolutions of each block; 2x2 max pooling lies
between blocks (VGG19, configuration E)."""
CONVOLUTIONS = tuple(f"conv{b}_{i}" for b, (_, n) in enumerate(BLOCKS, start=1) for i in range(1, n + 1))
"""Names of the sixteen convolutions, in order."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's R, G and B in [0, 1], by which
torchvision's networks are normalised."""

SRGAN_FEATURE_SCALE = 0.006
"""Factor on the squared difference of features: SRGAN (arXiv 1609.04802, section 3.2) divides features by
12.75, and 1 / 12.75^2 = 0.00615."""

_HOW_TO_GET = (
    "save torchvision.models.vgg19(weights='IMAGENET1K_V1').state_dict() to a file, or give its"
    " vgg19-dcbb9e9d.pth. Nothing is downloaded"
)


@dataclass(frozen=True, slots=True)
class _Naming:
    """Layer names and padding of one kind of weight file."""

    keys: Mapping[str, str]
    """Maps names in the file to names in `Features`."""
    prefix: str
    """Prefix of all feature layers in the file."""
    padding: Padding


def _torchvision_keys() -> dict[str, str]:
    """Return the names `features.N`, where N counts convolutions, ReLUs and pooling layers."""
    keys: dict[str, str] = {}
    number = 0
    for name in CONVOLUTIONS:
        if name.endswith("_1") and name != CONVOLUTIONS[0]:
            number += 1  # pooling
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
    """Return the shapes of all weights, by the names in `Features`."""
    shapes: dict[str, tuple[int, ...]] = {"preproc.weight": (3, 3, 1, 1), "preproc.bias": (3,)}
    before = 3
    for name in CONVOLUTIONS:
        channels = BLOCKS[int(name[4]) - 1][0]
        shapes |= {f"{name}.weight": (channels, before, 3, 3), f"{name}.bias": (channels,)}
        before = channels
    return shapes


_SHAPES = _shapes()
_FIRST_KEY = {"features.0.weight": TORCHVISION, "preproc.weight": NORMALISED}
"""A weight that identifies each kind of file."""


class Features(nn.Module):
    """VGG19 up to the deepest requested layer; its weights are constants."""

    layers: tuple[str, ...]
    """Layers that `forward` returns by default."""

    def __init__(self, layers: Iterable[str], *, padding: Padding = "zeros") -> None:
        """Build the network with random weights, for tests; see `load_features` for trained ones.

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
        # Pooling halves and rounds down; reflection padding requires a second pixel.
        self._least = 2 ** (int(self._convolutions[-1][4]) - 1) * (1 if padding == "zeros" else 2)
        self.requires_grad_(False)

    def forward(self, x: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Compute features.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device.
            layers: Names of layers in any order, no deeper than the network; None returns `self.layers`.

        Returns:
            For each layer `(N, C, H / 2^b, W / 2^b)`, where b = 0 to 4 is the number of poolings before it
            and sides are rounded down. The dtype is that of the caller's autocast, otherwise fp32.

        Raises:
            ValueError: An image is too small for the poolings, or a layer is deeper than the network.
        """
        wanted = set(self.layers if layers is None else layers)
        self.check_layers(wanted)
        self._check_size(x)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round before the mean is subtracted
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
        """Raise ValueError if a layer is unknown or deeper than the network, or if `layers` is empty."""
        deepest = convolutions_to(layers)[-1]
        if deepest not in self._convolutions:
            raise ValueError(
                f"{deepest} is deeper than {self._convolutions[-1]}, the last layer that was loaded"
            )

    def _check_size(self, x: Tensor) -> None:
        if min(x.shape[-2:]) < self._least:
            raise ValueError(
                f"images of {tuple(x.shape[-2:])} are too small for {self._convolutions[-1]},"
                f" which requires {self._least} pixels on each side"
            )


@torch.no_grad()
def _normalise_(preproc: nn.Conv2d) -> None:
    """Set the first layer to (x - mean) / std."""
    assert preproc.bias is not None
    std = torch.tensor(STD)
    preproc.weight.copy_(torch.diag(1 / std).view(3, 3, 1, 1))
    preproc.bias.copy_(-torch.tensor(MEAN) / std)


def _activated(convolution: str) -> str:
    return convolution.replace("conv", "relu")


def _convolution(layer: str) -> str:
    return layer.replace("relu", "conv")


def convolutions_to(layers: Iterable[str]) -> tuple[str, ...]:
    """Return the convolutions from the first to the deepest of `layers`.

    Raises:
        ValueError: A layer is unknown, or `layers` is empty.
    """
    wanted = [_convolution(layer) for layer in layers]
    unknown = sorted({name for name in wanted if name not in CONVOLUTIONS})
    if unknown or not wanted:
        given = ", ".join(unknown) or "none"
        raise ValueError(f"VGG19 has the layers conv1_1 to conv5_4 and relu1_1 to relu5_4, not {given}")
    return CONVOLUTIONS[: 1 + max(CONVOLUTIONS.index(name) for name in wanted)]


def load_features(path: Path, layers: Iterable[str]) -> Features:
    """Load VGG19 up to the deepest of `layers`; later layers of the file are ignored.

    Args:
        path: A .safetensors or .pth file: torchvision's vgg19 (or its convolutions), or the normalised one.
        layers: Names such as `conv5_4` and `relu2_2`.

    Returns:
        The network on the CPU, fp32, in eval mode, without gradients for its weights.

    Raises:
        ModelError: The file is missing, unreadable, not a complete VGG19, or ends before a layer.
        ValueError: A layer is unknown.
    """
    layers = tuple(layers)
    wanted = convolutions_to(layers)
    if not path.is_file():
        raise ModelError(f"{path}: the file with VGG19's weights does not exist. To get it, {_HOW_TO_GET}")
    file = read_weights(path)
    naming = next((kind for key, kind in _FIRST_KEY.items() if key in file.state), None)
    if naming is None:
        raise ModelError(f"{path}: 0 % of the layers have names of VGG19. For a suitable file, {_HOW_TO_GET}")
    features = Features(layers, padding=naming.padding)
    state = _matched(file, naming, wanted)
    features.load_state_dict({**features.state_dict(), **state})
    return features.eval()


def _matched(file: WeightFile, naming: _Naming, wanted: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights of the wanted convolutions, under the names in `Features`.

    All features of the file must match VGG19, wanted or not, because
    VGG16's first blocks have the same shapes.
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
            f"{file.path}: {percent} % of its features match VGG19, {wrong[0]} does not."
            f" For a suitable file, {_HOW_TO_GET}"
        )
    if wanted[-1] not in there:
        raise ModelError(
            f"{file.path} ends before {wanted[-1]}; its layers are {', '.join(there)}."
            f" For a suitable file, {_HOW_TO_GET}"
        )
    return {name: value for name, value in right.items() if name.split(".")[0] in ("preproc", *wanted)}


def layers_up_to(layer: str) -> tuple[str, ...]:
    """Return `layer` and all earlier ones of its kind: `relu2_1` gives relu1_1, relu1_2, relu2_1.

    Raises:
        ValueError: The layer is unknown.
    """
    names = convolutions_to([layer])
    return tuple(_activated(name) for name in names) if layer.startswith("relu") else names


class PerceptualLoss(nn.Module):
    """Weighted sum of the distances between two images' features in several layers.

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
            features: A network at least as deep as the deepest layer.
            weights: Weight of each layer's distance.
            criterion: Distance, a mean over channels and positions.
            scale: Factor on the sum.
            accumulate: Whether all earlier layers of a kind have the same weight as the layer itself.

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
        """Compute the loss.

        Args:
            sr: `(N, 3, H, W)`, R'G'B' in [0, 1], not clipped; only this image gets a gradient.
            hr: The same shape and device.

        Returns:
            Scalar, fp32. Features are computed in the caller's autocast precision, distances in fp32.

        Raises:
            ValueError: The shapes differ, or the images are too small.
        """
        if sr.shape != hr.shape:
            raise ValueError(f"images must have the same shape, not {tuple(sr.shape)} and {tuple(hr.shape)}")
        layers = tuple(self.weights)
        with torch.no_grad():
            target = self.features(hr, layers)
        made = self.features(sr, layers)
        terms = [weight * self._criterion(made[n], target[n]) for n, weight in self.weights.items()]
        return self._scale * torch.stack(terms).sum()


def accumulated(weights: Mapping[str, float]) -> dict[str, float]:
    """Give each layer's weight to all earlier layers of its kind too,
    and add up the weights of each layer."""
    total: dict[str, float] = {}
    for layer, weight in weights.items():
        for name in layers_up_to(layer):
            total[name] = total.get(name, 0.0) + weight
    return total
