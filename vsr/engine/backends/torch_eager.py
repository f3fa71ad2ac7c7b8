"""The backend `torch`: torch's own operators, in the memory format in which its convolutions are fastest."""

from __future__ import annotations

import copy
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from vsr.engine.backends.contract import BackendSpec, Run
from vsr.models.third_party import no_exit


def eager(network: nn.Module, *, device: torch.device, dtype: torch.dtype) -> Run:
    """Place a copy of the network on the device, channels_last: oneDNN and cuDNN are fastest with NHWC.

    Metal's convolutions take NCHW. Batches come from `frames_device` and results go back there.

    Args:
        network: In eval mode, float32; not changed.
        dtype: Of the weights and of the activations between them.
    """
    layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
    with no_exit(network):
        placed = copy.deepcopy(network).to(device=device, dtype=dtype)
        placed = placed.to(memory_format=layout)  # type: ignore[call-overload]

    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode(), _precise(device, dtype), no_exit(network):
            there = batch.to(device)  # from the host to an Apple GPU; elsewhere it is there already
            out: Tensor = placed(there.contiguous(memory_format=layout))
            return out.float().to(batch.device)

    return run


def _precise(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return a context in which float32 is exact: by default cuDNN multiplies in TF32, with 10 bits of
    mantissa."""
    return nullcontext() if device.type != "cuda" or dtype != torch.float32 else without_tf32()


@contextmanager
def without_tf32() -> Generator[None, None, None]:
    """Let CUDA compute convolutions and matrix products in full float32 inside the context, in the whole
    process, whatever the host program has set."""
    # Not cudnn.flags: it raises if a host program has used these newer settings, which also override it.
    cudnn: Any = torch.backends.cudnn  # the type stubs lack these settings
    kinds: tuple[Any, ...] = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


BACKEND = BackendSpec(
    name="torch",
    device="any",
    supports=lambda network, dtype: True,
    available=lambda: True,
    compiled=lambda network, dtype, device: eager(network, device=device, dtype=dtype),
    takes="all networks",
    needs="torch",
    in_trial=True,
)
