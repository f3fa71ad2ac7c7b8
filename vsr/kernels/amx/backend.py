"""Whether kernels of our own can run a network here, and the network in them.

They want a processor with AMX in bfloat16 (Intel's Xeon since 2023) under Linux, and the package `llvmlite`.
Nothing of it is imported before it is wanted.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from threading import Lock

import torch
from torch import Tensor, nn

from vsr.engine import backends
from vsr.engine.backends import Run
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB

_KEPT = 4
"""Sizes of pictures whose buffers are kept: whole frames and tiles."""
_FEATURES = {"amx-tile", "amx-bf16", "avx512bf16", "avx512f"}
_ARCH_PRCTL = 158  # number of the call on x86-64
_ASK_FOR_FEATURE = 0x1023  # ARCH_REQ_XCOMP_PERM
_TILE_DATA = 18  # XFEATURE_XTILEDATA; Linux, Documentation/arch/x86/xstate.rst
_LARGEST_SCALE = 8
_TILE = 32
"""Channels of features in a tile."""


@cache
def available() -> bool:
    """Whether this process may use AMX, and `llvmlite` is installed to write code for it."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    if importlib.util.find_spec("llvmlite") is None:
        return False
    from llvmlite import binding  # not before it is wanted: 0.1 s

    found = {name for name, there in binding.get_host_cpu_features().items() if there}
    return found >= _FEATURES and _is_permitted()


def _is_permitted() -> bool:
    """Ask the kernel for the tiles' registers; it gives them to all threads of the process, or to none."""
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_FOR_FEATURE, _TILE_DATA) == 0


def can_run(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether `compiled` takes a network: in bfloat16, Compact ones, and RRDB whose channels fill tiles."""
    if isinstance(network, RRDB):
        fits = network.config.nf % _TILE == network.config.gc % _TILE == 0
        return fits and dtype == torch.bfloat16
    return isinstance(network, Compact) and dtype == torch.bfloat16 and network.scale <= _LARGEST_SCALE


def compiled(network: nn.Module, dtype: torch.dtype) -> Run:
    """The network in kernels of our own, on as many threads as torch has now.

    Features are bfloat16, sums float32; the input goes in with 16 bits of mantissa, and what is added in the
    last step is float32.

    Args:
        network: One that `can_run` takes, in eval mode, float32, on the host; not changed.
        dtype: Of the features.
    """
    assert isinstance(network, Compact | RRDB)
    assert dtype == torch.bfloat16
    from vsr.kernels.amx import compact, convolution, program, rrdb

    threads = torch.get_num_threads()  # now: while it runs, torch may be left fewer
    pool, alone = ThreadPoolExecutor(threads, "vsr-amx"), Lock()
    own = rrdb.network(network) if isinstance(network, RRDB) else compact.network(network)
    narrow = cache(lambda: backends.eager(network, device=torch.device("cpu"), dtype=torch.bfloat16))

    @lru_cache(maxsize=_KEPT)
    def sized(height: int, width: int) -> program.Program:
        return program.Program(own, height, width, threads)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        squares = network.squares(batch) if isinstance(network, RRDB) else batch
        height, width = squares.shape[-2:]
        if width < convolution.PIXELS:
            return narrow()(batch)
        sr = batch.new_empty(len(batch), 3, height * own.scale, width * own.scale)
        with alone:  # the buffers of a size are one program's
            for picture, result in zip(squares.contiguous(), sr, strict=True):
                sized(height, width)(picture, result, pool)
        return network.assemble(sr, batch) if isinstance(network, RRDB) else sr

    return run
