"""RRDB, the generator of ESRGAN and Real-ESRGAN (arXiv 1809.00219, 2107.10833): residual-in-residual dense
blocks, then enlargements with convolutions.

The layer names are those of BasicSR. Files with the names of ESRGAN of 2018
("model.1.sub.0.RDB1.conv1.0.weight") and of ESRGAN of 2019, RealSR and BSRGAN
("RRDB_trunk.0.RDB1.conv1.weight") can be loaded, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.layers import (
    ENLARGEMENTS,
    last_conv,
    pad_to_multiple,
    require,
    scaled_kaiming_init_,
    upsampling_stages,
)

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph, GraphBuilder

Upsampler = Literal["nearest", "pixelshuffle"]

SLOPE = 0.2  # of every leaky ReLU: ESRGAN, section 3.1 and its code
RESIDUAL = 0.2  # gain of the result of a dense block and of a block of three: ESRGAN's beta
_INIT_GAIN = 0.1  # factor of Kaiming's initialisation in dense blocks: ESRGAN, "smaller initialization"


@dataclass(frozen=True, slots=True, kw_only=True)
class RRDBConfig:
    """The configuration of an RRDB network for images of three channels."""

    scale: int = 4
    """HR side over LR side: a power of two, or 3 with pixel shuffle."""
    nf: int = 64
    """Feature channels."""
    nb: int = 23
    """Blocks of three dense blocks."""
    gc: int = 32
    """Channels that each convolution in a dense block adds."""
    upsampler: Upsampler = "nearest"
    """How features are enlarged: by the nearest neighbour before a convolution, or a pixel shuffle after
    it."""
    unshuffle: int = 1
    """Factor of the pixel unshuffle of the input; BasicSR's networks use 2 for x2 and 4 for x1."""


class RRDB(nn.Module):
    """RRDBNet, the generator of ESRGAN and Real-ESRGAN (Wang et al., arXiv 1809.00219)."""

    scale: int
    """HR side over LR side."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on, in tiles that start at a multiple."""
    multiple: int
    """LR pixels; tiles must start at multiples of it, which is the factor of the pixel unshuffle."""

    def __init__(self, config: RRDBConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = config.scale
        self.multiple = config.unshuffle
        self.receptive_radius = _receptive_radius(config)
        nf = config.nf
        self.conv_first = nn.Conv2d(3 * config.unshuffle**2, nf, 3, padding=1)
        self.body = nn.Sequential(*(_Block(config) for _ in range(config.nb)))
        self.conv_body = nn.Conv2d(nf, nf, 3, padding=1)
        self._stages = upsampling_stages(config.scale * config.unshuffle)
        for number, factor in enumerate(self._stages, start=1):
            wide = nf * factor**2 if config.upsampler == "pixelshuffle" else nf
            self.add_module(f"conv_up{number}", nn.Conv2d(nf, wide, 3, padding=1))
        self.conv_hr = nn.Conv2d(nf, nf, 3, padding=1)
        self.conv_last = nn.Conv2d(nf, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device; any H and W.

        Returns:
            `(N, 3, H * scale, W * scale)` in x's dtype, not clipped. Computed in the weights' dtype; see
            Note [Two roundings] for the last step.
        """
        h = self.conv_first(self.prepare(x.to(self.conv_first.weight.dtype)))
        h = self.conv_body(self.body(h)).add_(h)
        for conv, factor in self.enlargements():
            h = self._enlarge(h, conv, factor)
        h = F.leaky_relu_(self.conv_hr(h), SLOPE)
        return self.finish(last_conv(self.conv_last, h, x.dtype), x)

    def as_graph(self) -> ConvGraph:
        """Return the network between `prepare` and `finish` as convolutions, for kernels."""
        from vsr.kernels.conv_graph import IMAGE, GraphBuilder, Residual

        graph = GraphBuilder()
        first = value = graph.add(self.conv_first, IMAGE)
        for block in self.body:
            value = _add_block(graph, block, value)
        value = graph.add(self.conv_body, value, residuals=[Residual(first)])
        shuffled = self.config.upsampler == "pixelshuffle"
        for conv, factor in self.enlargements():
            upsample, shuffle = (1, factor) if shuffled else (factor, 1)
            value = graph.add(conv, value, slopes=SLOPE, upsample=upsample, shuffle=shuffle)
        graph.add(self.conv_last, graph.add(self.conv_hr, value, slopes=SLOPE))
        return graph.build()

    def prepare(self, x: Tensor) -> Tensor:
        """Return the input of the first convolution: the batch after a pixel unshuffle by `multiple`, padded
        at the right and bottom if its sides are no multiples."""
        if self.multiple == 1:
            return x
        return F.pixel_unshuffle(pad_to_multiple(x, self.multiple), self.multiple)

    def finish(self, sr: Tensor, x: Tensor) -> Tensor:
        """Return the result without the padding that `prepare` added."""
        return sr[..., : x.shape[-2] * self.scale, : x.shape[-1] * self.scale]

    def enlargements(self) -> list[tuple[nn.Module, int]]:
        """Return the convolutions that enlarge in order, each with its factor."""
        return [(self.get_submodule(f"conv_up{i}"), f) for i, f in enumerate(self._stages, start=1)]

    def _enlarge(self, h: Tensor, conv: nn.Module, factor: int) -> Tensor:
        if self.config.upsampler == "pixelshuffle":
            h = F.pixel_shuffle(conv(h), factor)
        else:
            h = conv(F.interpolate(h, scale_factor=factor, mode="nearest"))
        return F.leaky_relu_(h, SLOPE)


class _Block(nn.Module):
    """Three dense blocks with a skip connection around them ("residual in residual")."""

    def __init__(self, config: RRDBConfig) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(config)
        self.rdb2 = _DenseBlock(config)
        self.rdb3 = _DenseBlock(config)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL)


class _DenseBlock(nn.Module):
    """Five convolutions, each of which reads the input and all results before it."""

    def __init__(self, config: RRDBConfig) -> None:
        super().__init__()
        nf, gc = config.nf, config.gc
        self.conv1 = nn.Conv2d(nf, gc, 3, padding=1)
        self.conv2 = nn.Conv2d(nf + gc, gc, 3, padding=1)
        self.conv3 = nn.Conv2d(nf + 2 * gc, gc, 3, padding=1)
        self.conv4 = nn.Conv2d(nf + 3 * gc, gc, 3, padding=1)
        self.conv5 = nn.Conv2d(nf + 4 * gc, nf, 3, padding=1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            scaled_kaiming_init_(conv, _INIT_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        # Concatenate a growing tensor: in channels_last every convolution would copy a slice of a
        # preallocated one, which took 1.5 times as long (CPU, bf16, 135x240, nf 64, gc 32).
        h = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            h = torch.cat((h, F.leaky_relu_(conv(h), SLOPE)), 1)
        return torch.add(x, self.conv5(h), alpha=RESIDUAL)


def _add_block(graph: GraphBuilder, block: nn.Module, entry: int) -> int:
    """Append three dense blocks and the skip connection around them; return the number of their result."""
    from vsr.kernels.conv_graph import Residual

    value = entry
    blocks = list(block.children())
    for dense in blocks:
        *grow, last = dense.children()
        inputs = [value]
        for conv in grow:
            inputs.append(graph.add(conv, *inputs, slopes=SLOPE))
        skip = [Residual(entry, RESIDUAL)] if dense is blocks[-1] else []
        value = graph.add(last, *inputs, residuals=[Residual(value, RESIDUAL), *skip])
    return value


def picture_init_(net: RRDB, *, generator: torch.Generator | None = None) -> None:
    """Initialise a network as the nearest neighbour, in place: three channels pass the image through all
    layers.

    With the published initialisation a network without a skip from LR to SR must first learn to pass the
    image through; with this one it improves at once (measured, docs/training-log.md). Dense blocks keep the
    published initialisation, whose effect is small in comparison. Only for networks without pixel unshuffle
    that enlarge by the nearest neighbour.
    """
    with torch.no_grad():
        for conv in (net.conv_hr, *(conv for conv, _ in net.enlargements())):
            _dirac_(conv, noise=0.01, generator=generator)
        for conv in (net.conv_body, net.conv_last):
            conv.weight.mul_(_INIT_GAIN)
        net.conv_first.weight[:3] = 0
        net.conv_last.weight[:, :3] = 0
        for color in range(3):
            net.conv_first.weight[color, color, 1, 1] = 1
            net.conv_last.weight[color, color, 1, 1] = 1
        for conv in (net.conv_first, net.conv_body, net.conv_last):
            assert conv.bias is not None
            conv.bias.zero_()


def _dirac_(conv: nn.Module, *, noise: float, generator: torch.Generator | None) -> None:
    """Initialise a convolution as the identity plus a little noise, in place."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    nn.init.dirac_(conv.weight)
    conv.weight.add_(torch.empty_like(conv.weight).normal_(0, noise, generator=generator))
    conv.bias.zero_()


def _receptive_radius(config: RRDBConfig) -> int:
    """Go from the result back to the input: a convolution adds 1, an enlargement divides and rounds up."""
    radius = 2
    for factor in reversed(upsampling_stages(config.scale * config.unshuffle)):
        nearest = config.upsampler == "nearest"
        radius = -(-(radius + 1) // factor) if nearest else -(-radius // factor) + 1
    radius += 1 + 15 * config.nb + 1
    return config.unshuffle * radius + config.unshuffle - 1  # whole unshuffled pixels are read


def detect(state: Mapping[str, Tensor]) -> RRDBConfig | None:
    """Return the configuration of an RRDB network from its weights, with any known names; None if they belong
    to another family.

    Raises:
        ModelError: it is an RRDB network that does not take three channels, or whose scale is not supported.
    """
    state = remap(state)
    if any(re.fullmatch(r"body\.\d+\.rdb[123]\.conv[1-5]\.\w+", key) for key in state):
        require("RRDB", state, "conv_first", "body.0.rdb1.conv1", "conv_last")
    dense, first = state.get("body.0.rdb1.conv1.weight"), state.get("conv_first.weight")
    last = state.get("conv_last.weight")
    if dense is None or first is None or last is None or first.dim() != 4 or dense.dim() != 4:
        return None
    nf, unshuffle = len(first), _unshuffle(first, last)
    stages = [len(value) for key, value in state.items() if re.fullmatch(r"conv_up\d+\.weight", key)]
    shuffled = bool(stages) and stages[0] != nf
    enlarged = math.prod(round(math.sqrt(wide / nf)) if shuffled else 2 for wide in stages)
    if enlarged % unshuffle or enlarged not in ENLARGEMENTS:
        raise ModelError(
            f"RRDB with unshuffle {unshuffle} enlarges {enlarged} times; supported are {ENLARGEMENTS}"
        )
    return RRDBConfig(
        scale=enlarged // unshuffle,
        nf=nf,
        nb=len({key.split(".")[1] for key in state if key.startswith("body.")}),
        gc=len(dense),
        upsampler="pixelshuffle" if shuffled else "nearest",
        unshuffle=unshuffle,
    )


def _unshuffle(first: Tensor, last: Tensor) -> int:
    """Return the factor of the pixel unshuffle: 1 for 3 input channels, 2 for 12, 4 for 48."""
    unshuffle = {3: 1, 12: 2, 48: 4}.get(first.shape[1])
    if unshuffle is None or len(last) != 3:
        raise ModelError(
            f"RRDB takes {first.shape[1]} and gives {len(last)} channels; 3, 12 or 48, and 3, are supported"
        )
    return unshuffle


_RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"RRDB_trunk\.(\d+)\.RDB(\d)\.(conv\d)\.(.+)", r"body.\1.rdb\2.\3.\4"),
        (r"trunk_conv\.(.+)", r"conv_body.\1"),
        (r"upconv(\d+)\.(.+)", r"conv_up\1.\2"),
        (r"HRconv\.(.+)", r"conv_hr.\1"),
        (r"model\.0\.(.+)", r"conv_first.\1"),
        (r"model\.1\.sub\.(\d+)\.RDB(\d)\.(conv\d)\.0\.(.+)", r"body.\1.rdb\2.\3.\4"),
        (r"model\.1\.sub\.\d+\.(weight|bias)", r"conv_body.\1"),
    )
)


def remap(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename layers to BasicSR's names; keys that do not belong to an RRDB network stay as they are."""
    if not any(".RDB1." in key for key in state):
        return dict(state)
    top = sorted({int(m[1]) for key in state if (m := re.match(r"model\.(\d+)\.(weight|bias)$", key))} - {0})
    names = {number: f"conv_up{i}" for i, number in enumerate(top, start=1)}
    names |= dict(zip(top[-2:], ("conv_hr", "conv_last"), strict=False))
    return {_rename(key, names): value for key, value in state.items()}


def _rename(key: str, top: Mapping[int, str]) -> str:
    for pattern, name in _RENAMED:
        if pattern.fullmatch(key):
            return pattern.sub(name, key)
    match = re.fullmatch(r"model\.(\d+)\.(.+)", key)
    return f"{top.get(int(match[1]), match[1])}.{match[2]}" if match else key
