"""SRResNet, the generator of SRGAN (arXiv 1609.04802): first and last convolution 9x9, residual blocks with
batch norm and PReLU, pixel shuffle.

Files with the names of this network and of leftthomas/SRGAN can be loaded. The keys of a file determine the
network: layers that it lacks have no keys, and the last convolution is named `conv_tanh` if a tanh follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.layers import ENLARGEMENTS, last_conv, require, upsampling_stages

Trunk = Literal["bn", "prelu", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SRResNetConfig:
    """The configuration of an SRResNet."""

    scale: int = 4
    """HR side over LR side: a power of two, or 3."""
    nf: int = 64
    """Feature channels."""
    nb: int = 16
    """Residual blocks."""
    batch_norm: bool = True
    """Whether residual blocks have batch norm; False if it was folded into the convolutions."""
    trunk: Trunk = "bn"
    """Layer after the convolution that follows the blocks: batch norm in the paper, PReLU in
    leftthomas/SRGAN."""
    slopes: int = 1
    """Slopes of a PReLU: 1 for all channels together, or `nf`."""
    tanh: bool = False
    """Whether the result is (tanh(x) + 1) / 2."""


class SRResNet(nn.Module):
    """The SRGAN generator."""

    scale: int
    """HR side over LR side."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on."""
    multiple: int = 1
    """A tile may start anywhere."""

    def __init__(self, config: SRResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = config.scale
        stages = upsampling_stages(config.scale)
        self.receptive_radius = _receptive_radius(config.nb, stages)
        self.conv_first = nn.Conv2d(3, config.nf, 9, padding=4)
        self.prelu_first = nn.PReLU(config.slopes)
        self.body = nn.Sequential(*(_Block(config) for _ in range(config.nb)))
        self.conv_trunk = nn.Conv2d(config.nf, config.nf, 3, padding=1)
        if config.trunk == "bn":
            self.bn_trunk = nn.BatchNorm2d(config.nf)
        elif config.trunk == "prelu":
            self.prelu_trunk = nn.PReLU(config.slopes)
        self.up = nn.Sequential(*(_Up(config, factor) for factor in stages))
        self.add_module("conv_tanh" if config.tanh else "conv_last", nn.Conv2d(config.nf, 3, 9, padding=4))

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device.

        Returns:
            `(N, 3, H * scale, W * scale)` in x's dtype, not clipped. Computed in the weights' dtype; see
            Note [Two roundings] for the last step.
        """
        first = self.prelu_first(self.conv_first(x.to(self.conv_first.weight.dtype)))
        trunk = self.conv_trunk(self.body(first))
        if self.config.trunk != "none":
            trunk = (self.bn_trunk if self.config.trunk == "bn" else self.prelu_trunk)(trunk)
        last = self.conv_tanh if self.config.tanh else self.conv_last
        assert isinstance(last, nn.Conv2d)
        image = last_conv(last, self.up(first + trunk), x.dtype)
        return torch.tanh(image).add(1).div(2) if self.config.tanh else image

    def enlargements(self) -> list[tuple[nn.Module, int]]:
        """Return the convolutions before pixel shuffles in order, each with the factor of its shuffle."""
        return [(up.conv, up.factor) for up in self.up if isinstance(up, _Up)]

    @torch.no_grad()
    def folded(self) -> SRResNet:
        """Return a network for inference without batch norm, with results equal up to rounding; 6 % faster in
        bf16.

        Each batch norm directly follows a convolution, so its gain and offset can be folded into it.
        """
        trunk: Trunk = "none" if self.config.trunk == "bn" else self.config.trunk
        with torch.device("meta"):
            network = SRResNet(replace(self.config, batch_norm=False, trunk=trunk))
        state = {key: value for key, value in self.state_dict().items() if ".bn" not in f".{key}"}
        for name, norm in self.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                key = _conv_before(name)
                conv = self.get_submodule(key)
                assert isinstance(conv, nn.Conv2d)
                state[f"{key}.weight"], state[f"{key}.bias"] = _fold(conv, norm)
        network.load_state_dict(state, assign=True)
        return network.train(self.training)


class _Block(nn.Module):
    def __init__(self, config: SRResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(config.nf, config.nf, 3, padding=1)
        self.prelu = nn.PReLU(config.slopes)
        self.conv2 = nn.Conv2d(config.nf, config.nf, 3, padding=1)
        self.normed = config.batch_norm
        if config.batch_norm:
            self.bn1 = nn.BatchNorm2d(config.nf)
            self.bn2 = nn.BatchNorm2d(config.nf)

    def forward(self, x: Tensor) -> Tensor:
        if not self.normed:
            return x + self.conv2(self.prelu(self.conv1(x)))
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class _Up(nn.Module):
    def __init__(self, config: SRResNetConfig, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(config.nf, config.nf * factor**2, 3, padding=1)
        self.prelu = nn.PReLU(config.slopes)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(F.pixel_shuffle(self.conv(x), self.factor))


def _receptive_radius(nb: int, stages: tuple[int, ...]) -> int:
    """Go from the result back to the input: a convolution adds half its side, a stage divides and rounds
    up."""
    radius = 4
    for factor in reversed(stages):
        radius = -(-radius // factor) + 1
    return radius + 1 + 2 * nb + 4


def _conv_before(norm: str) -> str:
    """Return the name of the convolution before a batch norm: `body.3.conv1` for `body.3.bn1`."""
    return re.sub(r"(^|\.)bn", r"\1conv", norm)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that equals `conv` and then `norm`, computed in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = conv.weight.double() * gain[:, None, None, None]
    bias = (conv.bias.double() - norm.running_mean.double()) * gain + norm.bias.double()
    return weight.to(conv.weight.dtype), bias.to(conv.weight.dtype)


def detect(state: Mapping[str, Tensor]) -> SRResNetConfig | None:
    """Return the configuration of an SRResNet from its weights, with any known names; None if they belong to
    another family.

    Raises:
        ModelError: it is an SRResNet that does not take three channels, or whose scale is not supported.
    """
    state = remap(state)
    outer = ("prelu_first.weight", "conv_trunk.weight", "bn_trunk.weight", "prelu_trunk.weight")
    if "body.0.conv1.weight" in state and any(key in state for key in outer):
        require("SRResNet", state, "conv_first", "prelu_first", "conv_last|conv_tanh")
    first, tanh = state.get("conv_first.weight"), "conv_tanh.weight" in state
    last = state.get("conv_tanh.weight" if tanh else "conv_last.weight")
    if first is None or last is None or "prelu_first.weight" not in state or first.dim() != 4:
        return None
    if first.shape[1] != 3 or last.shape[0] != 3:
        raise ModelError(
            f"SRResNet takes {first.shape[1]} and gives {last.shape[0]} channels; 3 and 3 are supported"
        )
    return SRResNetConfig(
        scale=_scale(state, len(first)),
        nf=len(first),
        nb=len({key.split(".")[1] for key in state if key.startswith("body.")}),
        batch_norm="body.0.bn1.weight" in state,
        trunk="bn" if "bn_trunk.weight" in state else "prelu" if "prelu_trunk.weight" in state else "none",
        slopes=state["prelu_first.weight"].numel(),
        tanh=tanh,
    )


def _scale(state: Mapping[str, Tensor], nf: int) -> int:
    """Return the product of the factors of all pixel shuffles."""
    scale = 1
    for key, value in state.items():
        if re.fullmatch(r"up\.\d+\.conv\.weight", key):
            scale *= round((len(value) / nf) ** 0.5)
    if scale not in ENLARGEMENTS:
        raise ModelError(f"SRResNet enlarges {scale} times; supported are {ENLARGEMENTS}")
    return scale


def remap(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename layers to the names of this network; keys that do not belong to an SRResNet stay as they are.

    Missing counters `num_batches_tracked` are added; inference never reads them.
    """
    if "block1.0.weight" in state:
        state = _from_leftthomas(state)
    state = dict(state)
    for key in [key for key in state if re.search(r"(^|\.)bn[^.]*\.running_mean$", key)]:
        state.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return state


def _from_leftthomas(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the layers of leftthomas/SRGAN.

    There, block1 is the first convolution, the last block has the enlargements, and the block before it the
    convolution after the residual blocks.
    """
    numbers = [int(match[1]) for key in state if (match := re.match(r"block(\d+)\.", key))]
    last_block = max(numbers)
    pattern = re.compile(r"block(\d+)\.(.+)")
    tail = max(
        (int(key.split(".")[1]) for key in state if re.match(rf"block{last_block}\.\d+\.", key)), default=-1
    )
    normed = f"block{last_block - 1}.1.running_mean" in state
    middle = {"0": "conv_trunk", "1": "bn_trunk" if normed else "prelu_trunk"}
    heads = {"0": "conv_first", "1": "prelu_first"}

    def rename(key: str) -> str:
        match = pattern.fullmatch(key)
        if match is None:
            return key
        block, rest = int(match[1]), match[2]
        part, _, name = rest.partition(".")
        if block == 1:
            return f"{heads.get(part, key)}.{name}"
        if block == last_block:
            return f"conv_tanh.{name}" if part == str(tail) else f"up.{rest}"
        return f"{middle.get(part, key)}.{name}" if block == last_block - 1 else f"body.{block - 2}.{rest}"

    return {rename(key): value for key, value in state.items()}
