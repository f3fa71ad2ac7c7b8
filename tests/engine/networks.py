"""Networks with random parameters in which every layer and parameter changes the result."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsr.engine.backends.contract import Run
from vsr.engine.backends.own_kernels import in_kernels
from vsr.kernels import Target
from vsr.models.archs.compact import Compact, CompactConfig, identity_init_
from vsr.models.archs.msrresnet import MSRResNet, MSRResNetConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig


def network(**changes: object) -> Compact:
    torch.manual_seed(1)
    made = Compact(CompactConfig(**({"nf": 32, "nc": 6, "scale": 2} | changes)))  # type: ignore[arg-type]
    identity_init_(made)
    for layer in made.body:  # different slopes and biases, so that a wrong order of channels is detected
        for values in (
            getattr(layer, "bias", None),
            layer.weight if layer.__class__.__name__ == "PReLU" else None,
        ):
            if values is not None:
                torch.nn.init.uniform_(values, -0.1, 0.3)
    return made.eval()


def random_images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


def exact(made: Compact, x: Tensor) -> Tensor:
    with torch.no_grad():
        return made(x)


RRDBS = {
    "x4": {"nf": 64},
    "x4 of few channels": {"nf": 32, "nb": 3},
    "x2 with pixel unshuffle": {"scale": 2, "unshuffle": 2},
    "x1 with pixel unshuffle": {"scale": 1, "unshuffle": 4},
    "x3 by pixel shuffle": {"scale": 3, "upsampler": "pixelshuffle"},
    "x4 by pixel shuffle": {"upsampler": "pixelshuffle", "nb": 2},
    "x8": {"nf": 32, "scale": 8},
}


def rrdb(**changes: object) -> RRDB:
    torch.manual_seed(3)
    made = RRDB(RRDBConfig(**({"nb": 1} | changes))).eval()  # type: ignore[arg-type]
    _fill(made)
    return made


def msrresnet(**changes: object) -> MSRResNet:
    torch.manual_seed(4)
    made = MSRResNet(MSRResNetConfig(**changes)).eval()  # type: ignore[arg-type]
    _fill(made)
    return made


def _fill(made: nn.Module) -> None:
    """Fill a network with random parameters large enough that each layer changes the result."""
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, -0.04, 0.05)
            assert layer.bias is not None
            nn.init.uniform_(layer.bias, -0.1, 0.1)


def on_cpu(made: nn.Module, target: Target, dtype: torch.dtype) -> Run:
    """Compile a network for one of the package's kernels on the CPU."""
    return in_kernels(made, target, dtype, torch.device("cpu"))
