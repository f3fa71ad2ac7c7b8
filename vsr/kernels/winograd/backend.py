"""Whether Winograd's way can run a network here, and the network in it.

It wants the package `llvmlite` and a processor that multiplies and adds in one instruction.
Nothing of it is imported before it is wanted.
"""

from __future__ import annotations

import importlib.util
import platform
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from threading import Lock

import torch
from torch import Tensor, nn

from vsr.engine.backends import Run, Window
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB

WINDOW = Window(grid=4, reach=2, more=4)
"""Squares of 4x4 are computed at once. On a pixel beside a square its nearest row or column depends, and on
one in it all of it, if only by rounding: so influence gets four pixels further with every second layer. At
the right and at the bottom a window may end within a square, up to three pixels of which begin that."""
_KEPT = 4
"""Sizes of pictures whose buffers are kept: whole frames and tiles."""
UNIT = 16
"""Channels of features come in so many."""


def is_fastest() -> bool:
    """Whether it is to be had on a kind of processor on which it was measured against others.

    Elsewhere, on ARM's, a trial decides: the code was tested there in emulation, which says nothing of speed.
    """
    return platform.machine() in ("x86_64", "AMD64") and available()


@cache
def available() -> bool:
    """Whether `llvmlite` is installed to write code, and the processor has what the code is to use."""
    if importlib.util.find_spec("llvmlite") is None:
        return False
    if platform.machine() in ("aarch64", "arm64"):
        return True
    from llvmlite import binding  # not before it is wanted: 0.1 s

    return bool(binding.get_host_cpu_features().get("fma"))


def can_run(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether `compiled` takes a network: in float32, Compact ones, and RRDB of multiples of 16 channels."""
    if dtype != torch.float32:
        return False
    if isinstance(network, RRDB):
        return network.config.nf % UNIT == network.config.gc % UNIT == 0
    return isinstance(network, Compact)


def compiled(network: nn.Module, dtype: torch.dtype) -> Run:
    """The network by Winograd's way, on as many threads as torch has now.

    Args:
        network: One that `can_run` takes, in eval mode, float32, on the host; not changed.
        dtype: float32.
    """
    assert isinstance(network, Compact | RRDB)
    assert dtype == torch.float32
    from vsr.kernels.winograd import compact, program, rrdb

    threads = torch.get_num_threads()  # now: while it runs, torch may be left fewer
    pool, alone = ThreadPoolExecutor(threads, "vsr-winograd"), Lock()
    own = rrdb.network(network) if isinstance(network, RRDB) else compact.network(network)

    @lru_cache(maxsize=_KEPT)
    def sized(height: int, width: int) -> program.Program:
        return program.Program(own, height, width, threads)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        squares = network.squares(batch) if isinstance(network, RRDB) else batch
        height, width = squares.shape[-2:]
        sr = batch.new_empty(len(batch), 3, height * own.scale, width * own.scale)
        with alone:  # the buffers of a size are one program's
            for picture, result in zip(squares.contiguous(), sr, strict=True):
                sized(height, width)(picture, result, pool)
        return network.assemble(sr, batch) if isinstance(network, RRDB) else sr

    return run
