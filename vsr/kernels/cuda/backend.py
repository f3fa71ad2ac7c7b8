"""Whether kernels of our own in Triton can run a network here, and the network in them."""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache

import torch
from torch import Tensor, nn

from vsr.engine import backends
from vsr.engine.backends import Run
from vsr.kernels.cuda import halo
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB

_KEPT = 2
"""Shapes of batches whose buffers are kept: whole ones, and a clip's last."""
_UNIT = 16
"""Channels must be a multiple of it where several layers share a buffer."""
_MOST = 2**31
"""Elements that a kernel can count in a buffer."""


@cache
def available() -> bool:
    """Whether there is a CUDA device of compute capability 8.0 or later, and Triton to write code for it."""
    if importlib.util.find_spec("triton") is None or not torch.cuda.is_available():
        return False
    return torch.cuda.get_device_capability()[0] >= 8


def can_run(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether `compiled` takes a network: in 16 bits, Compact ones, and RRDB whose channels fill blocks."""
    if dtype not in (torch.bfloat16, torch.float16):
        return False
    if isinstance(network, RRDB):
        return network.config.nf % _UNIT == network.config.gc % _UNIT == 0
    return isinstance(network, Compact)


def is_fastest(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether no other way was faster where it was measured (docs/benchmarks.md), and this is such a card:
    Hopper, and layers that suit its own kernel."""
    if not (can_run(network, dtype) and available() and halo.available()):
        return False
    if isinstance(network, RRDB):
        return network.config.nf % halo.CHUNK == network.config.gc % halo.CHUNK == 0
    return isinstance(network, Compact) and network.config.nf % halo.CHUNK == 0


def compiled(network: nn.Module, dtype: torch.dtype, device: torch.device) -> Run:
    """The network in kernels of our own; a result may be written over by the next batch.

    Features are 16 bits, sums float32; the input goes in as two numbers of 16 bits a sample, and the last
    convolution gives float32. How the work is cut is tried out where a kind of layer is first met.

    Args:
        network: One that `can_run` takes, in eval mode, float32, on the host; not changed.
        dtype: Of the features.
        device: Of the batches that the result is called with.
    """
    assert isinstance(network, Compact | RRDB)
    from vsr.kernels.cuda import compact, program, rrdb

    if isinstance(network, RRDB):
        build = rrdb.build(network, device=device, dtype=dtype)
    else:
        build = compact.build(network, device=device, dtype=dtype)
    large = cache(lambda: backends.eager(network, device=device, dtype=dtype))

    @lru_cache(maxsize=_KEPT)
    def sized(shape: program.Shape) -> program.Program | None:
        return build(shape) if program.elements(build, shape) < _MOST else None

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        squares = network.squares(batch) if isinstance(network, RRDB) else batch
        images, _, height, width = squares.shape
        try:
            own = sized(program.Shape(images, height, width, device, dtype))
        except (
            RuntimeError,
            MemoryError,
        ):  # too little memory: what other shapes hold may be what is missing
            sized.cache_clear()
            raise
        if own is None:
            return large()(batch)
        found = own(squares)
        return network.assemble(found, batch) if own.picture is None else found

    return run
