"""Compact (SRVGGNetCompact): 3x3 convolutions at LR size, a pixel shuffle, and a nearest-neighbour skip.

This file has the network, the recognition of its weights, and an initialisation for training deep networks.
The layer names are those of BasicSR and Real-ESRGAN, so weight files are interchangeable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.layers import equal_places_, require
from vsr.models.archs.prelu import PReLU

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph

Activation = Literal["prelu", "relu", "leakyrelu"]

_NEGATIVE_SLOPE = 0.1  # of `leakyrelu` in BasicSR's SRVGGNetCompact
_PRELU_START = 0.25  # initial slope of a PReLU in torch and BasicSR


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactConfig:
    """The shape of a Compact network."""

    nf: int = 64
    """Feature channels."""
    nc: int = 16
    """Convolutions between the first and the last one; the network has `nc + 2`."""
    scale: int = 4
    activation: Activation = "prelu"


class Compact(nn.Module):
    """SRVGGNetCompact: `pixel_shuffle(body(x)) + nearest(x)`."""

    scale: int
    """HR side over LR side."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on: one for each 3x3 convolution."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = config.scale
        self.receptive_radius = config.nc + 2
        layers: list[nn.Module] = []
        for channels in (3, *[config.nf] * config.nc):
            layers += [nn.Conv2d(channels, config.nf, 3, padding=1), _activation(config)]
        layers.append(nn.Conv2d(config.nf, 3 * config.scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device. If x and the weights
                are channels_last, all features are, too.

        Returns:
            `(N, 3, H * scale, W * scale)` in x's dtype, not clipped. The convolutions use the weights' dtype,
            but the input is added in its own: the 8 bits of bf16 would show as steps in a smooth sky.
        """
        return self.assemble(self.body(x.to(self._dtype())), x)

    def assemble(self, details: Tensor, x: Tensor) -> Tensor:
        """Add the result of `body`, after a pixel shuffle, to the enlarged batch.

        Args:
            details: The result of `body`, `(N, 3 * scale^2, H, W)`, any float dtype.
            x: `(N, 3, H, W)`.

        Returns:
            `(N, 3, H * scale, W * scale)` in x's dtype.
        """
        n, _, height, width = x.shape
        details = details.unflatten(1, (3, self.scale, self.scale))
        # Adding before the shuffle takes half the time of adding at SR size, on a CPU.
        sr = details + x[:, :, None, None]
        sr = sr.permute(0, 1, 4, 2, 5, 3).reshape(n, 3, height * self.scale, width * self.scale)
        return sr.to(x.dtype)

    def as_graph(self) -> ConvGraph:
        """Return the whole network as convolutions, for kernels."""
        from vsr.kernels.conv_graph import IMAGE, GraphBuilder, slopes_of

        graph, value = GraphBuilder(), IMAGE
        *inner, last = [index for index, layer in enumerate(self.body) if isinstance(layer, nn.Conv2d)]
        for index in inner:
            value = graph.add(self.body[index], value, slopes=slopes_of(self.body[index + 1], self.config.nf))
        graph.add(self.body[last], value, shuffle=self.scale)
        return graph.build(adds_image=True)

    def prepare(self, x: Tensor) -> Tensor:
        """Return the input of the graph for a batch: the batch itself."""
        return x

    def finish(self, sr: Tensor, x: Tensor) -> Tensor:
        """Return the result of the network for the output of the graph: the same."""
        return sr

    def _dtype(self) -> torch.dtype:
        return next(self.body.parameters()).dtype


def _activation(config: CompactConfig) -> nn.Module:
    if config.activation == "prelu":
        return PReLU(config.nf, init=_PRELU_START)
    if config.activation == "relu":
        return nn.ReLU(inplace=True)
    return nn.LeakyReLU(_NEGATIVE_SLOPE, inplace=True)


def detect(state: Mapping[str, Tensor]) -> CompactConfig | None:
    """Return the configuration of a Compact network from its weights; None if they belong to another family.

    Files of networks with ReLU and leaky ReLU look the same, because neither has weights. They count as ReLU,
    with which networks were published.

    Raises:
        ModelError: it is a Compact network that does not take three channels, or its last layers are missing.
    """
    if len(state) < 3 or not all(re.fullmatch(r"body\.\d+\.(weight|bias)", key) for key in state):
        return None
    first, end = state.get("body.0.weight"), _last_index(state)
    require("Compact", state, "body.0", f"body.{end}")
    assert first is not None
    if first.dim() != 4 or first.shape[2:] != (3, 3) or end < 2:
        return None
    if first.shape[1] != 3:
        raise ModelError(f"Compact takes images of {first.shape[1]} channels, not of 3; use other weights")
    last = state[f"body.{end}.weight"]
    scale = math.isqrt(len(last) // 3) if last.dim() == 4 else 0
    if not scale or len(last) != 3 * scale**2 or end % 2:
        raise ModelError(
            f"Compact ends in body.{end} of shape {tuple(last.shape)}, not in a convolution to 3 x scale^2"
            " channels; the layers after it are missing, or it is an unknown variant"
        )
    activations = any(int(key.split(".")[1]) % 2 for key in state)
    return CompactConfig(
        nf=len(first), nc=end // 2 - 1, scale=scale, activation="prelu" if activations else "relu"
    )


def identity_init_(net: Compact, *, generator: torch.Generator | None = None) -> None:
    """Initialise every inner convolution as the identity plus a little noise, in place.

    With torch's default initialisation the first of 18 layers gets 1e-8 of a usual gradient, and the network
    stays the nearest neighbour for thousands of steps; with this one it learns at once (measured,
    docs/training-log.md). The first layer gets Kaiming's normal initialisation (arXiv 1502.01852, eq. 15),
    the last layer a tenth of it, with equal weights for all phases of the pixel shuffle.
    """
    convs = [layer for layer in net.body if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for conv in convs:
            _zero_bias_(conv)
        _kaiming_(convs[0], 1.0, generator)
        _kaiming_(convs[-1], 0.1, generator)
        equal_places_(convs[-1], net.scale)
        for conv in convs[1:-1]:
            nn.init.dirac_(conv.weight)
            conv.weight.add_(torch.empty_like(conv.weight).normal_(0, 0.01, generator=generator))


def deepened(state: Mapping[str, Tensor], config: CompactConfig) -> Mapping[str, Tensor]:
    """Return the weights of a network with more layers and the same results.

    It is the Net2DeeperNet of Chen et al., arXiv 1511.05641: convolutions that pass their features on
    unchanged, and PReLUs with a slope of 1, are spread evenly among the layers.

    Args:
        state: Weights of a Compact of the same width with PReLU; others are returned as they are.
        config: Shape of the larger network.
    """
    try:
        old = detect(state)
    except ModelError:
        return state
    if old is None or (old.nf, old.activation) != (config.nf, config.activation) or old.nc >= config.nc:
        return state
    place_of = {number: number * config.nc // old.nc for number in range(old.nc + 1)}
    made = _passing_layers(config, without=set(place_of.values()))
    for key, value in state.items():
        _, index, kind = key.split(".")
        number = int(index) // 2
        made[f"body.{2 * place_of.get(number, config.nc + 1) + int(index) % 2}.{kind}"] = value
    return made


def _passing_layers(config: CompactConfig, *, without: set[int]) -> dict[str, Tensor]:
    identity = nn.init.dirac_(torch.empty(config.nf, config.nf, 3, 3))
    made = {}
    for place in set(range(config.nc + 1)) - without:
        made[f"body.{2 * place}.weight"] = identity.clone()
        made[f"body.{2 * place}.bias"] = torch.zeros(config.nf)
        made[f"body.{2 * place + 1}.weight"] = torch.ones(config.nf)
    return made


def _kaiming_(conv: nn.Conv2d, gain: float, generator: torch.Generator | None) -> None:
    nn.init.kaiming_normal_(conv.weight, a=_PRELU_START, nonlinearity="leaky_relu", generator=generator)
    conv.weight.mul_(gain)


def _zero_bias_(conv: nn.Conv2d) -> None:
    assert conv.bias is not None
    conv.bias.zero_()


def _last_index(state: Mapping[str, Tensor]) -> int:
    """Return the largest N of the keys `body.N.weight`; -1 if there is none."""
    parts = [key.split(".") for key in state]
    return max((int(p[1]) for p in parts if len(p) == 3 and p[0] == "body" and p[1].isdecimal()), default=-1)
