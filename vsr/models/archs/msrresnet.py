"""MSRResNet, BasicSR's SRResNet without batch norm: residual blocks with ReLU, pixel shuffle, and a bilinear
skip.

The layer names are those of BasicSR.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.layers import ENLARGEMENTS, require, scaled_kaiming_init_, upsampling_stages

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph

_SLOPE = 0.1  # of the leaky ReLUs outside the blocks: BasicSR's srresnet_arch
_INIT_GAIN = 0.1  # factor of Kaiming's initialisation, from the same file


@dataclass(frozen=True, slots=True, kw_only=True)
class MSRResNetConfig:
    """The configuration of an MSRResNet."""

    scale: int = 4
    """HR side over LR side: a power of two, or 3."""
    nf: int = 64
    """Feature channels."""
    nb: int = 16
    """Residual blocks."""


class MSRResNet(nn.Module):
    """SRResNet without batch norm."""

    scale: int
    """HR side over LR side."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on."""
    multiple: int = 1
    """A tile may start anywhere."""

    def __init__(self, config: MSRResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = config.scale
        self._stages = upsampling_stages(config.scale)
        self.receptive_radius = _receptive_radius(config.nb, self._stages)
        nf = config.nf
        self.conv_first = nn.Conv2d(3, nf, 3, padding=1)
        self.body = nn.Sequential(*(_Block(nf) for _ in range(config.nb)))
        for number, factor in enumerate(self._stages, start=1):
            self.add_module(f"upconv{number}", nn.Conv2d(nf, nf * factor**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(nf, nf, 3, padding=1)
        self.conv_last = nn.Conv2d(nf, 3, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                scaled_kaiming_init_(layer, _INIT_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device.

        Returns:
            `(N, 3, H * scale, W * scale)` in x's dtype, not clipped. The convolutions use the weights' dtype,
            but the input is added in its own: the 8 bits of bf16 would be visible.
        """
        h = F.leaky_relu_(self.conv_first(x.to(self.conv_first.weight.dtype)), _SLOPE)
        h = self.body(h)
        for conv, factor in self.enlargements():
            h = F.leaky_relu_(F.pixel_shuffle(conv(h), factor), _SLOPE)
        return self.finish(self.conv_last(F.leaky_relu_(self.conv_hr(h), _SLOPE)), x)

    def as_graph(self) -> ConvGraph:
        """Return the network before `finish` as convolutions, for kernels."""
        from vsr.kernels.conv_graph import IMAGE, GraphBuilder, Residual

        graph = GraphBuilder()
        value = graph.add(self.conv_first, IMAGE, slopes=_SLOPE)
        for block in self.body:
            inner = graph.add(block.get_submodule("conv1"), value, slopes=0.0)
            value = graph.add(block.get_submodule("conv2"), inner, residuals=[Residual(value)])
        for conv, factor in self.enlargements():
            value = graph.add(conv, value, slopes=_SLOPE, shuffle=factor)
        graph.add(self.conv_last, graph.add(self.conv_hr, value, slopes=_SLOPE))
        return graph.build()

    def prepare(self, x: Tensor) -> Tensor:
        """Return the input of the graph for a batch: the batch itself."""
        return x

    def finish(self, details: Tensor, x: Tensor) -> Tensor:
        """Add the result of the graph to the enlarged batch.

        Args:
            details: The result of the last convolution, `(N, 3, H * scale, W * scale)`.
            x: `(N, 3, H, W)`.
        """
        return F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False).add(details)

    def enlargements(self) -> list[tuple[nn.Module, int]]:
        """Return the convolutions before pixel shuffles in order, each with the factor of its shuffle."""
        return [(self.get_submodule(f"upconv{i}"), f) for i, f in enumerate(self._stages, start=1)]


class _Block(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(nf, nf, 3, padding=1)
        self.conv2 = nn.Conv2d(nf, nf, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu_(self.conv1(x)))


def _receptive_radius(nb: int, stages: tuple[int, ...]) -> int:
    """Go from the result back to the input: a convolution adds 1, an enlargement divides and rounds up."""
    radius = 2
    for factor in reversed(stages):
        radius = -(-radius // factor) + 1
    return radius + 2 * nb + 1


_LAYER = re.compile(r"(conv_first|conv_hr|conv_last|upconv\d+|body\.\d+\.conv[12])\.(weight|bias)")


def detect(state: Mapping[str, Tensor]) -> MSRResNetConfig | None:
    """Return the configuration of an MSRResNet from its weights; None if they belong to another family.

    Raises:
        ModelError: it is an MSRResNet that does not take three channels, or whose scale is not supported.
    """
    if len(state) > 2 and all(_LAYER.fullmatch(key) for key in state):
        require("MSRResNet", state, "conv_first", "body.0.conv1", "conv_hr", "conv_last")
    first, last = state.get("conv_first.weight"), state.get("conv_last.weight")
    ups = [len(value) for key, value in state.items() if re.fullmatch(r"upconv\d+\.weight", key)]
    if first is None or last is None or "body.0.conv1.weight" not in state or "conv_hr.weight" not in state:
        return None
    if first.dim() != 4 or first.shape[1] != 3 or len(last) != 3:
        raise ModelError(
            f"MSRResNet takes {first.shape[1]} and gives {len(last)} channels; 3 and 3 are supported"
        )
    scale = math.prod(round(math.sqrt(wide / len(first))) for wide in ups)
    if scale not in ENLARGEMENTS:
        raise ModelError(f"MSRResNet enlarges {scale} times; supported are {ENLARGEMENTS}")
    blocks = {key.split(".")[1] for key in state if key.startswith("body.")}
    return MSRResNetConfig(scale=scale, nf=len(first), nb=len(blocks))


def remap(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights unchanged, because the names are those of the network here."""
    return dict(state)
