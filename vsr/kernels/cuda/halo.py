"""The host side of `halo.cu`, a convolution for Hopper GPUs (compute capability 9.0).

A block copies each tile with its halo to shared memory once and reads it there for all nine taps.
"""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.kernels import nvrtc
from vsr.kernels.cuda.operands import Operands, Residual

logger = logging.getLogger(__name__)

_TARGET = "sm_90a"
_THREADS = 256
_GROUPS = 2
"""Warp groups of a block."""
_TILES = {False: (16, 16), True: (8, 32)}
"""Rows and columns of a tile, by whether taps are stacked; stacked taps lose some of the columns."""
_STACKABLE = (32, 3)
"""Outputs of a block and columns of taps that can be stacked: a product of 96 columns."""
_STACKED_FROM = 192
"""Least channels to stack taps: a stacked product reads less shared memory, but its epilogue takes longer
(docs/benchmarks.md)."""
CHUNK = 32
"""Channels that are copied to shared memory at once."""
_MEMORY = 232_448
"""Bytes of shared memory that a block can have on Hopper."""
_STAGES = (3, 2)
"""Chunks that fit into the shared memory of each warp group: the one that is read and those being copied."""
_WIDTHS = (64, 32)
"""Outputs that a block computes; other blocks compute the rest. With fewer outputs per block each pixel is
read by more blocks."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The properties of a layer that its kernel depends on."""

    outputs: int
    """Outputs of a block."""
    parts: int
    """Blocks that share the outputs of a pixel."""
    chunks: int
    """Chunks of 32 channels of the source."""
    rows: int
    """Rows of taps."""
    columns: int
    """Columns of taps."""
    stages: int
    """Chunks in the shared memory of a warp group."""
    planes: bool
    """Whether results are float32 with any strides; else they have 16 bits and contiguous channels."""
    half: bool
    """Whether features are float16; else they are bfloat16."""
    stacked: bool = False
    """Whether the taps of a row are one product."""
    shuffle: int = 1
    """Factor of the pixel shuffle after the layer, to which the enlarged LR image is added; 1 for none."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of the pixels of a tile."""
        rows, columns = _TILES[self.stacked]
        return rows, columns - (self.columns - 1) * self.stacked

    @property
    def width(self) -> int:
        """Columns of a matrix product."""
        return self.outputs * (self.columns if self.stacked else 1)

    @property
    def weights(self) -> int:
        """Bytes of the weights of a block."""
        turns = self.rows * (1 if self.stacked else self.columns)
        return turns * self.chunks * CHUNK * self.width * 2

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block."""
        pixels = (self.tile[0] + self.rows - 1) * (self.tile[1] + self.columns - 1)
        return self.weights + _GROUPS * self.stages * CHUNK * 2 * (-(-pixels // 8) * 8)


@dataclass(frozen=True, slots=True)
class Packed:
    """The parameters of a layer on the device, with weights in the order of shared memory."""

    shape: Shape
    weights: Tensor
    bias: Tensor
    slopes: Tensor
    """Bias and slopes are `(outputs,)` float32, padded with zeros."""
    top: int
    """Row of the first tap relative to the pixel."""
    left: int
    """Column of the first tap relative to the pixel."""


@cache
def available() -> bool:
    """Return whether the current device has compute capability 9.0, and the kernel compiles and loads."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        return False
    if not nvrtc.available():
        return False
    usual = shape_for(64, 64, rows=3, columns=3, planes=False, half=False)
    assert usual is not None
    try:
        _kernel(usual, torch.device("cuda", torch.cuda.current_device()))
    except RuntimeError as error:
        logger.warning("the kernel for Hopper GPUs is not used: %s", str(error).splitlines()[0])
        return False
    return True


def shape_for(
    outputs: int, channels: int, *, rows: int, columns: int, planes: bool, half: bool, shuffle: int = 1
) -> Shape | None:
    """Return the shape with the fewest blocks that fits into shared memory; None if the kernel does not
    support the layer."""
    if channels % CHUNK:
        return None
    whole = -(-outputs // 8) * 8
    widths = [n for n in _WIDTHS if outputs % n == 0]
    for width in [whole] * (whole <= max(_WIDTHS)) if planes else widths:
        for stages in _STAGES:
            shape = Shape(
                outputs=width,
                parts=-(-outputs // width),
                chunks=channels // CHUNK,
                rows=rows,
                columns=columns,
                stages=stages,
                planes=planes,
                half=half,
                stacked=not planes and (width, columns) == _STACKABLE and channels >= _STACKED_FROM,
                shuffle=shuffle,
            )
            if shape.shared <= _MEMORY:
                return shape
    return None


def pack(
    weight: Tensor,
    bias: Tensor,
    slopes: Tensor,
    *,
    dtype: torch.dtype,
    device: torch.device,
    top: int,
    left: int,
    planes: bool,
    shuffle: int = 1,
) -> Packed | None:
    """Arrange the parameters of a layer for the kernel and move them to the device.

    Args:
        weight: `(outputs, channels, rows, columns)`, float32, on the host.
        bias: `(outputs,)`.
        slopes: `(outputs,)`, the factors of negative sums.
        top: Row of the first tap relative to the pixel.
        left: Column of the first tap relative to the pixel.
        planes: Whether results are float32 with any strides.
        shuffle: Factor of the pixel shuffle after the layer; 1 for none.

    Returns:
        None if the kernel does not support the layer.
    """
    outputs, channels, rows, columns = weight.shape
    half = dtype == torch.float16
    shape = shape_for(
        outputs, channels, rows=rows, columns=columns, planes=planes, half=half, shuffle=shuffle
    )
    if shape is None:
        return None
    count = shape.outputs * shape.parts
    whole = weight.new_zeros(count, channels, rows, columns)
    whole[:outputs] = weight
    ordered = whole.view(shape.parts, shape.outputs, channels // 8, 8, rows, columns)[:, _order(shape)]
    products = ordered.permute(_STACKED if shape.stacked else _UNSTACKED)
    placed = _swizzled(products.reshape(shape.parts, -1, shape.chunks, CHUNK // 8, shape.width, 8))
    filled = [F.pad(values.float(), (0, count - outputs)).to(device) for values in (bias, slopes)]
    return Packed(
        shape, placed.to(device, dtype).contiguous(), bias=filled[0], slopes=filled[1], top=top, left=left
    )


_UNSTACKED = (0, 4, 5, 2, 1, 3)
_STACKED = (0, 4, 2, 5, 1, 3)
"""Permutations of (parts, outputs, groups of eight channels, channels, rows, columns) to the order of shared
memory."""


def _swizzled(weights: Tensor) -> Tensor:
    """Turn `(parts, products, chunks, eights, columns, 8)` into rows of 64 bytes, swizzled as wgmma reads
    them."""
    rows = weights.transpose(3, 4)
    row, place = torch.arange(rows.shape[3])[:, None], torch.arange(rows.shape[4])[None]
    order = (place ^ (row // 2 % 4))[..., None].expand_as(rows)
    return rows.gather(4, order)


def _order(shape: Shape) -> Tensor:
    """Return the output that each column of a product computes.

    A thread gets columns 8 j + 2 q and 8 j + 2 q + 1 for all j. Their outputs are adjacent, so that the
    thread writes whole vectors. Planes keep their order, because their samples are written one by one.
    """
    column = torch.arange(shape.outputs)
    if shape.planes:
        return column
    j, q, e = column // 8, column % 8 // 2, column % 2
    return q * (shape.outputs // 4) + 2 * j + e


class _Residual(ctypes.Structure):
    _fields_ = (
        ("features", ctypes.c_void_p),
        ("image", ctypes.c_longlong),
        ("pixel", ctypes.c_int),
        ("gain", ctypes.c_float),
    )


class _Job(ctypes.Structure):
    """`Job` of halo.cu."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("src", "weights", "bias", "slopes", "dst")),
        *(
            (f"{name}", ctypes.c_longlong)
            for name in ("src_image", "dst_image", "dst_row", "dst_column", "dst_channel")
        ),
        ("base", _Residual),
        ("outer", _Residual),
        ("lr", ctypes.c_void_p),
        *(
            (name, ctypes.c_int)
            for name in ("src_pixel", "images", "height", "width", "top", "left", "outputs")
        ),
        ("gain", ctypes.c_float),
    )


def job_of(packed: Packed, operands: Operands) -> ctypes.Structure:
    """Return the argument of the kernel."""
    src, dst = operands.src, operands.dst
    images, height, width, _ = src.shape
    return _Job(
        src=src.data_ptr(),
        weights=packed.weights.data_ptr(),
        bias=packed.bias.data_ptr(),
        slopes=packed.slopes.data_ptr(),
        dst=dst.data_ptr(),
        src_image=src.stride(0),
        dst_image=dst.stride(0),
        dst_row=dst.stride(1),
        dst_column=dst.stride(2),
        dst_channel=dst.stride(3),
        base=_residual(operands.base),
        outer=_residual(operands.outer),
        lr=None if operands.image is None else operands.image.data_ptr(),
        src_pixel=src.stride(2),
        images=images,
        height=height,
        width=width,
        top=packed.top,
        left=packed.left,
        outputs=dst.shape[3] * packed.shape.shuffle**2,
        gain=operands.gain,
    )


def _residual(given: Residual | None) -> _Residual:
    if given is None:
        return _Residual(None, 0, 0, 0.0)
    features = given.features
    return _Residual(features.data_ptr(), features.stride(0), features.stride(2), given.gain)


def launch(packed: Packed, operands: Operands) -> None:
    """Start a layer on torch's current stream."""
    images, height, width, _ = operands.src.shape
    rows, columns = packed.shape.tile
    tiles = images * -(-height // rows) * -(-width // columns)
    parts, device = packed.shape.parts, operands.src.device
    blocks = min(_multiprocessors(device) // parts, -(-tiles // _GROUPS)) * parts
    _kernel(packed.shape, device).launch(blocks, job_of(packed, operands))


@cache
def _multiprocessors(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


@cache
def _kernel(shape: Shape, device: torch.device) -> nvrtc.Kernel:
    with torch.cuda.device(device):
        return nvrtc.load(
            source(shape), defined(shape), target=_TARGET, threads=_THREADS, shared=shape.shared
        )


def defined(shape: Shape) -> list[tuple[str, int]]:
    """Return the macros that halo.cu needs, and their values."""
    return [
        ("OUTPUTS", shape.outputs),
        ("PARTS", shape.parts),
        ("CHUNKS", shape.chunks),
        ("STAGES", shape.stages),
        ("TAP_ROWS", shape.rows),
        ("TAP_COLUMNS", shape.columns),
        ("PLANES", int(shape.planes)),
        ("HALF", int(shape.half)),
        ("STACKED", int(shape.stacked)),
        ("SHUFFLE", shape.shuffle),
    ]


def source(shape: Shape) -> str:
    """Return the whole text of the kernel."""
    ptx, kernel = (_HERE.joinpath(name).read_text(encoding="utf-8") for name in ("ptx.cu", "halo.cu"))
    return ptx + _product(shape) + kernel


_HERE = Path(__file__).parent


def _product(shape: Shape) -> str:
    """Return the CUDA function `product`: 64 pixels of 16 channels times the weights of these channels."""
    count, kind = shape.width // 2, "f16" if shape.half else "bf16"
    sums = ", ".join(f"%{i}" for i in range(count))
    bound = ", ".join(f'"+f"(sums[{i}])' for i in range(count))
    return f"""
__device__ void product(float (&sums)[{count}], unsigned long long a, unsigned long long b, bool more) {{
    asm volatile("{{ .reg .pred p; setp.ne.b32 p, %{count + 2}, 0;"
        "wgmma.mma_async.sync.aligned.m64n{shape.width}k16.f32.{kind}.{kind}"
        " {{{sums}}}, %{count}, %{count + 1}, p, 1, 1, 0, 0; }}" : {bound} : "l"(a), "l"(b), "r"((int)more));
}}
"""
