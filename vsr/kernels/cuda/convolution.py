"""A convolution for CUDA in Triton: implicit matrix products on pixels that lie with all their channels
together, several layers' channels in one buffer.

A program computes a rectangle of pixels with all outputs. A source may be a part of a pixel's channels, so
what a dense block joins is never copied; bias, activation and residuals come before a result is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from vsr.kernels.cuda import halo
from vsr.kernels.cuda.work import Residual, Work

LEAST = 16
"""Channels and outputs are filled up to a multiple: the least that a product of tensor cores takes."""


def _tiling(rows: int, columns: int, *, warps: int, stages: int) -> triton.Config:
    return triton.Config({"TILE_ROWS": rows, "TILE_COLUMNS": columns}, num_warps=warps, num_stages=stages)


_TILINGS = [
    _tiling(8, 16, warps=4, stages=3),
    _tiling(8, 16, warps=8, stages=4),
    _tiling(8, 32, warps=8, stages=3),
    _tiling(4, 16, warps=4, stages=4),
    _tiling(8, 8, warps=4, stages=2),
]
"""How the picture may be cut. Each kind of layer tries them once on a card, and Triton keeps on disk which
was the fastest; those that a card has too little shared memory for are left out by it."""
_TRIED = _TILINGS[:1] if triton.knobs.runtime.interpret else _TILINGS


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution's numbers, on the device, as the kernel reads them."""

    weights: Tensor
    """`(taps * channels, outputs)` in the features' dtype, both filled up with zeros."""
    bias: Tensor
    """`(outputs,)` float32."""
    slopes: Tensor
    """`(outputs,)` float32: what negative sums are multiplied by; 1 is no activation."""
    columns: int
    """Of taps."""
    top: int
    """Row of the first tap, from the pixel."""
    left: int
    channels: int
    """That a tap reads."""
    packed: halo.Packed | None = None
    """The same for the kernel for Hopper, where it is to be had and the layer suits it."""

    @property
    def taps(self) -> int:
        """How many pixels a result depends on."""
        return len(self.weights) // self.channels


@triton.autotune(_TRIED, key=["TAPS", "CHANNELS", "OUTPUTS", "BASED", "UNDER"], cache_results=True)  # type: ignore[untyped-decorator]
@triton.jit  # type: ignore[untyped-decorator]
def _convolve(  # type: ignore[no-untyped-def]
    src, weights, bias, slopes, base, under, dst,
    height, width, src_image, src_pixel, base_image, base_pixel, under_image, under_pixel,
    dst_image, dst_row, dst_column, dst_channel, outputs, gain, base_gain, under_gain,
    TAPS: tl.constexpr, COLUMNS: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    CHANNELS: tl.constexpr, DEPTH: tl.constexpr, OUTPUTS: tl.constexpr,
    BASED: tl.constexpr, UNDER: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(width, TILE_COLUMNS)
    pixel = tl.arange(0, TILE_ROWS * TILE_COLUMNS)
    row = tl.program_id(0) // across * TILE_ROWS + pixel // TILE_COLUMNS
    column = tl.program_id(0) % across * TILE_COLUMNS + pixel % TILE_COLUMNS
    image = tl.program_id(1).to(tl.int64)
    depth = tl.arange(0, DEPTH)
    output = tl.arange(0, OUTPUTS)
    place = row * width + column
    total = tl.zeros((TILE_ROWS * TILE_COLUMNS, OUTPUTS), tl.float32)
    # Taps inside, channels outside: nine reads of nearly the same pixels follow each other, from L1.
    for step in range(TAPS * (CHANNELS // DEPTH)):
        tap, begin = step % TAPS, step // TAPS * DEPTH
        y, x = tap // COLUMNS + TOP, tap % COLUMNS + LEFT
        inside = (row + y >= 0) & (row + y < height) & (column + x >= 0) & (column + x < width)
        where = (
            src + image * src_image + (place + y * width + x)[:, None] * src_pixel + begin + depth[None, :]
        )
        a = tl.load(where, mask=inside[:, None], other=0.0)
        b = tl.load(weights + (tap * CHANNELS + begin + depth)[:, None] * OUTPUTS + output[None, :])
        total = tl.dot(a, b, total)
    total += tl.load(bias + output)[None, :]
    total = tl.where(total < 0, total * tl.load(slopes + output)[None, :], total) * gain
    there = ((row < height) & (column < width))[:, None] & (output < outputs)[None, :]
    if BASED:
        where = base + image * base_image + place[:, None] * base_pixel + output[None, :]
        total += tl.load(where, mask=there, other=0.0).to(tl.float32) * base_gain
    if UNDER:
        where = under + image * under_image + place[:, None] * under_pixel + output[None, :]
        total += tl.load(where, mask=there, other=0.0).to(tl.float32) * under_gain
    where = (
        dst
        + image * dst_image
        + (row * dst_row + column * dst_column)[:, None]
        + output[None, :] * dst_channel
    )
    tl.store(where, total.to(dst.dtype.element_ty), mask=there)


def launch(layer: Layer, work: Work) -> None:
    """Start a layer on torch's current stream: on Hopper in `halo`'s kernel where that suits it.

    A picture to shuffle results on is for Hopper's kernel alone.
    """
    src, dst = work.src, work.dst
    if layer.packed is not None and layer.packed.shape.planes == (dst.dtype == torch.float32):
        return halo.launch(layer.packed, work)
    images, height, width, channels = src.shape
    nothing = Residual(src, 0.0)
    first, second = work.base or nothing, work.under or nothing

    def grid(cut: Mapping[str, int]) -> tuple[int, int]:
        return triton.cdiv(height, cut["TILE_ROWS"]) * triton.cdiv(width, cut["TILE_COLUMNS"]), images

    _convolve[grid](
        src, layer.weights, layer.bias, layer.slopes, first.features, second.features, dst,
        height, width, src.stride(0), src.stride(2), first.features.stride(0), first.features.stride(2),
        second.features.stride(0), second.features.stride(2), *dst.stride(), dst.shape[3],
        work.gain, first.gain, second.gain,
        TAPS=layer.taps, COLUMNS=layer.columns, TOP=layer.top, LEFT=layer.left,
        CHANNELS=channels, DEPTH=_depth(channels), OUTPUTS=layer.weights.shape[1],
        BASED=work.base is not None, UNDER=work.under is not None,
    )  # fmt: skip


def _depth(channels: int) -> int:
    """Channels of a product: as many as 64, which is 128 bytes, a line of the cache."""
    return next(depth for depth in (64, 32, LEAST) if channels % depth == 0)


def layer(
    weight: Tensor,
    bias: Tensor,
    slopes: Tensor,
    *,
    dtype: torch.dtype,
    device: torch.device,
    rows: tuple[int, int] = (0, 3),
    columns: tuple[int, int] = (0, 3),
    planes: bool = False,
    shuffle: int = 1,
) -> Layer:
    """A 3x3 convolution as the kernel wants it.

    Args:
        weight: `(outputs, channels, 3, 3)`.
        rows: First of those that are not all zero, and the one behind the last.
        columns: Likewise.
        planes: Whether the results are float32, and a pixel's need not lie together.
        shuffle: Side of the square of fine pixels that planes become on Hopper, over a picture.
    """
    weight = weight[:, :, slice(*rows), slice(*columns)]
    top, left = rows[0] - 1, columns[0] - 1
    pack = partial(halo.pack, dtype=dtype, device=device, top=top, left=left, planes=planes, shuffle=shuffle)
    outputs, channels = _filled(len(weight), power=True), _filled(weight.shape[1])
    whole = weight.new_zeros(outputs, channels, *weight.shape[2:])
    whole[: len(weight), : weight.shape[1]] = weight
    return Layer(
        whole.permute(2, 3, 1, 0).reshape(-1, outputs).to(device, dtype).contiguous(),
        _padded(bias, outputs).to(device),
        _padded(slopes, outputs).to(device),
        columns=columns[1] - columns[0],
        top=top,
        left=left,
        channels=channels,
        packed=pack(weight, bias, slopes) if device.type == "cuda" and halo.available() else None,
    )


def _filled(count: int, *, power: bool = False) -> int:
    """Triton's blocks have a power of two of outputs; channels come in several blocks."""
    return max(LEAST, 1 << (count - 1).bit_length()) if power else -(-count // LEAST) * LEAST


def _padded(values: Tensor, count: int) -> Tensor:
    return torch.cat((values.float(), values.new_zeros(count - len(values)).float())).contiguous()
