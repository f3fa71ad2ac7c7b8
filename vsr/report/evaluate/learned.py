"""LPIPS and DISTS, computed by the package `torchmetrics` with weights that the user gives.

The package contains the small calibrated weights of both, but it would download the networks under them and
needs torchvision for that. Both are replaced here: the networks are built from the given file, so nothing is
downloaded, and torchvision is not needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError, ModelError
from vsr.media.files.opening import shown
from vsr.models.files import read_weights

Distance = Callable[[Tensor, Tensor], float]
"""Compares frames `(T, 3, H, W)` uint8 with their originals; 0 is equal. The mean over the frames."""

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions of VGG16, and 0 for a pooling layer."""
_LEAST = 64
"""Smallest side of an image: AlexNet and VGG16 reduce by up to 32 and need some pixels there."""


def lpips(weights: Path) -> Distance:
    """Return LPIPS 0.1 (Zhang et al., CVPR 2018) over AlexNet or VGG16, whichever the file contains.

    Papers of super-resolution mostly use AlexNet.

    Args:
        weights: torchvision's `alexnet-owt-7be5be79.pth` or `vgg16-397923af.pth`, or the same as safetensors.

    Raises:
        ConfigError: torchmetrics is not installed, or does not work.
        ModelError: the file has no such network.
    """
    module, net = _package("lpips"), backbone_in(weights)
    features = _features(weights, net)
    builder = {"_TORCHVISION_AVAILABLE": True, "_get_tv_model_features": lambda *_: features}
    with _replaced(module, builder):
        network = module._LPIPS(pretrained=True, net={"alexnet": "alex", "vgg16": "vgg"}[net], pnet_rand=True)
    return _mean_over_frames(lambda a, b: network(2 * a - 1, 2 * b - 1))


def dists(weights: Path) -> Distance:
    """Return DISTS (Ding et al., IEEE TPAMI 2020) over VGG16.

    Args:
        weights: torchvision's `vgg16-397923af.pth`, or the same as safetensors.

    Raises:
        ConfigError: torchmetrics is not installed, or does not work.
        ModelError: the file has no VGG16.
    """
    if backbone_in(weights) != "vgg16":
        raise ModelError(f"{shown(weights)}: is AlexNet; DISTS needs torchvision's VGG16")
    module, features = _package("dists"), _features(weights, "vgg16")
    builder = {
        "_TORCHVISION_AVAILABLE": True,
        "vgg16": lambda **_: SimpleNamespace(features=features),
        "VGG16_Weights": SimpleNamespace(DEFAULT=None),
    }
    with _replaced(module, builder):
        network = module.DISTSNetwork().eval()
    return _mean_over_frames(network)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(f"torchmetrics.functional.image.{name}")
    except ImportError as error:
        raise ConfigError(
            f"LPIPS and DISTS need the package torchmetrics ({error}); install vsr with the extra evaluate"
        ) from error
    except RuntimeError as error:  # a torchvision that was built for another torch
        raise ConfigError(f"torchmetrics does not work: {error}; reinstall or remove torchvision") from error


@contextmanager
def _replaced(module: Any, values: Mapping[str, object]) -> Generator[None, None, None]:
    """Give names of a module other values for a while; names that it lacks are removed afterwards."""
    missing = object()
    before = {name: getattr(module, name, missing) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                delattr(module, name)
            else:
                setattr(module, name, value)


def backbone_in(weights: Path) -> str:
    """Return `alexnet` or `vgg16`, by the shape of the first layer in a file.

    Raises:
        ModelError: the file cannot be read, or has another network.
    """
    first = read_weights(weights).state.get("features.0.weight")
    shapes: dict[tuple[int, ...], str] = {(64, 3, 11, 11): "alexnet", (64, 3, 3, 3): "vgg16"}
    net = None if first is None else shapes.get(tuple(first.shape))
    if net is None:
        raise ModelError(f"{shown(weights)}: has neither AlexNet nor VGG16; give torchvision's file of one")
    return net


def _features(weights: Path, net: str) -> nn.Sequential:
    """Build the convolutions of a network, with the weights of a file."""
    layers = _alexnet() if net == "alexnet" else _vgg16()
    state, wanted = read_weights(weights).state, layers.state_dict()
    for name, value in wanted.items():
        given = state.get(f"features.{name}")
        if given is None or given.shape != value.shape:
            raise ModelError(
                f"{shown(weights)}: features.{name} is not that of {net}; give torchvision's file"
            )
    layers.load_state_dict({name: state[f"features.{name}"] for name in wanted})
    return layers.eval().requires_grad_(False)


def _alexnet() -> nn.Sequential:
    """Return the layers of torchvision's `alexnet().features`, in its numbering."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )


def _vgg16() -> nn.Sequential:
    """Return the layers of torchvision's `vgg16().features`, in its numbering."""
    layers, before = list[nn.Module](), 3
    for channels in _VGG16:
        if channels:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        else:
            layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


def _mean_over_frames(distance: Callable[[Tensor, Tensor], Tensor]) -> Distance:
    def compared(sr: Tensor, hr: Tensor) -> float:
        if min(sr.shape[-2:]) < _LEAST:
            raise ConfigError(
                f"images of {sr.shape[-1]}x{sr.shape[-2]} are too small; use {_LEAST} pixels or more"
            )
        with torch.inference_mode():
            found = [distance(a[None] / 255, b[None] / 255).item() for a, b in zip(sr, hr, strict=True)]
        return sum(found) / len(found)

    return compared
