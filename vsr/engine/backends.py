"""Ways to run a generator behind one interface: a function from a batch to a batch.

`eager` is torch as it is, in the memory layout that its convolutions are fastest in. A further backend is a
further function with this signature.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vsr.models.thirdparty import no_exit

Run = Callable[[Tensor], Tensor]
"""`(N, 3, H, W)` float32 on the device to `(N, 3, H * scale, W * scale)` float32, under inference_mode."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a picture whose results, off its inner edges, are the whole's, bit for bit.

    Kernels that compute some pixels together round each by all that any of them depends on.
    """

    grid: int = 1
    """LR pixels, at multiples of which it begins."""
    reach: int = 1
    """By how many pixels a layer brings the influence of an edge nearer."""
    more: int = 0
    """Pixels beside those."""


def eager(network: nn.Module, *, device: torch.device, dtype: torch.dtype) -> Run:
    """A copy of the network on the device, channels_last: oneDNN and cuDNN are fastest with NHWC.

    Args:
        network: In eval mode, float32; not changed.
        dtype: Of the weights and of the activations between them.
    """
    with no_exit(network):
        placed = copy.deepcopy(network).to(device=device, dtype=dtype)
        placed = placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode(), _precise(device, dtype), no_exit(network):
            out: Tensor = placed(batch.contiguous(memory_format=torch.channels_last))
            return out.float()

    return run


def _precise(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """fp32 means fp32: by default cuDNN multiplies in TF32, with 10 bits of mantissa."""
    return nullcontext() if device.type != "cuda" or dtype != torch.float32 else without_tf32()


@contextmanager
def without_tf32() -> Generator[None, None, None]:
    """Let CUDA's convolutions and products of matrices in float32 be that meanwhile, in the whole process,
    whatever a host program has chosen."""
    # Not cudnn.flags: it raises where a host program has used this newer way, and is overruled by it.
    cudnn: Any = torch.backends.cudnn  # its stubs do not know this
    kinds: tuple[Any, ...] = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
