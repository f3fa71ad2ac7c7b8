"""The pipeline's only CUDA streams: one for uploads, one for the generator, one for downloads.

On the CPU these functions do nothing, because tensors are already in the right place. No stage synchronises
the whole device; the host waits only for the event of the frame that it encodes next.

Note [Why record_stream]: when Python drops a tensor, the caching allocator returns its memory at
once to the stream on which it was allocated. If another stream still reads the tensor, it must be
recorded there, or its memory is overwritten.

Note [The same streams each time]: the allocator keeps freed memory for the stream on which it
was allocated. With new streams, every run, and every call for a few frames, would allocate its
memory again beside that of earlier ones.

Note [No ring buffer here]: pinned memory comes from torch's caching host allocator, which
reuses a block only after the copies recorded on it have finished. The bounded queues limit the
number of blocks, as a ring buffer would.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Ready(Protocol):
    """A handle to wait for the end of a download."""

    def wait(self) -> None: ...


class DeviceStreams:
    """Copies tensors to and from a device, and selects the stream for computation."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._up, self._compute, self._down = _streams_of(device)  # See [The same streams each time]
            # The generator was copied to the device on this thread's stream,
            # so the compute stream must wait for it.
            self._compute.wait_stream(torch.cuda.current_stream(device))

    def upload(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Start copies to the device through pinned memory; later computations wait for them."""
        if not self._cuda:
            return tensors
        with torch.cuda.stream(self._up):
            moved = tuple(_pinned_copy(t).to(self.device, non_blocking=True) for t in tensors)
        self._compute.wait_stream(self._up)
        for tensor in moved:
            tensor.record_stream(self._compute)  # See [Why record_stream]
        return moved

    def adopt(self, tensor: Tensor) -> Tensor:
        """Take a caller's tensor on the device; later computations wait
        for the work that the caller has queued."""
        if self._cuda:
            self._compute.wait_stream(torch.cuda.current_stream(self.device))
            tensor.record_stream(self._compute)  # See [Why record_stream]
        return tensor

    def release(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Ready]:
        """Return results to a caller on the device; work that the caller queues later waits for them."""
        if self._cuda:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self._compute)
            for tensor in tensors:
                tensor.record_stream(current)  # See [Why record_stream]
        return tensors, _Done()

    def computing(self) -> AbstractContextManager[object]:
        """Return a context in which work goes to the compute stream; never `yield` inside it."""
        return torch.cuda.stream(self._compute) if self._cuda else nullcontext()

    def download(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Ready]:
        """Start copies to pinned memory, which may be read only after `Ready.wait()`."""
        if not self._cuda:
            return tensors, _Done()
        self._down.wait_stream(self._compute)
        with torch.cuda.stream(self._down):
            moved = tuple(torch.empty_like(t, device="cpu", pin_memory=True) for t in tensors)
            for source, target in zip(tensors, moved, strict=True):
                target.copy_(source, non_blocking=True)
                source.record_stream(self._down)  # See [Why record_stream]
            event = torch.cuda.Event(blocking=True)  # waiting sleeps, because the encoder needs the cores
            event.record(self._down)
        return moved, _Copied(event)


@cache
def _streams_of(device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream, torch.cuda.Stream]:
    return torch.cuda.Stream(device), torch.cuda.Stream(device), torch.cuda.Stream(device)


def _pinned_copy(tensor: Tensor) -> Tensor:
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    if tensor.dtype not in _CODES:
        return pinned.copy_(tensor)  # a caller's floats, some of which are unknown to numpy
    np.copyto(pinned.numpy(), tensor.numpy())  # See [Who computes] in vsr.pipeline.flow.graph
    return pinned


_CODES = (torch.uint8, torch.uint16)


class _Done:
    def wait(self) -> None:
        """Return at once."""


class _Copied:
    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def wait(self) -> None:
        self._event.synchronize()  # waits: the copy must finish before the encoder reads it
