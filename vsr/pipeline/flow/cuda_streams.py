"""The pipeline's only CUDA streams: one for uploads, one for the generator, one for downloads.

On the CPU all of it is nothing: tensors are where they are needed. No stage ever waits for the whole device;
the host waits only for the event of the picture that it is about to encode.

Note [Why record_stream]: the caching allocator gives memory back to the stream that it was taken on as
soon as Python drops the tensor. A tensor that another stream still reads must be recorded there, or it is
overwritten.

Note [The same streams each time]: the allocator keeps what was freed for the stream that it was taken on.
With streams of its own, every run, and every call for a few pictures, would take its memory anew, beside that
of those before.

Note [No ring of our own]: pinned memory comes from torch's caching host allocator, which hands a block out
again only when the copies recorded on it are done. The bounded queues make it a ring.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Ready(Protocol):
    """A promise that downloaded tensors are filled."""

    def wait(self) -> None: ...


class DeviceStreams:
    """Moves tensors to and from a device, and says on which stream to compute."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._up, self._compute, self._down = _streams_of(device)  # See [The same streams each time]
            # The generator was placed on this thread's own stream; nothing else orders the two.
            self._compute.wait_stream(torch.cuda.current_stream(device))

    def upload(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Start copies to the device, through pinned memory; what computes next will wait for them."""
        if not self._cuda:
            return tensors
        with torch.cuda.stream(self._up):
            moved = tuple(_pinned_copy(t).to(self.device, non_blocking=True) for t in tensors)
        self._compute.wait_stream(self._up)
        for tensor in moved:
            tensor.record_stream(self._compute)  # See [Why record_stream]
        return moved

    def adopt(self, tensor: Tensor) -> Tensor:
        """A caller's tensor on the device: what computes next waits for what the caller has queued."""
        if self._cuda:
            self._compute.wait_stream(torch.cuda.current_stream(self.device))
            tensor.record_stream(self._compute)  # See [Why record_stream]
        return tensor

    def release(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Ready]:
        """Results for a caller on the device: what the caller queues next waits for them."""
        if self._cuda:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self._compute)
            for tensor in tensors:
                tensor.record_stream(current)  # See [Why record_stream]
        return tensors, _Done()

    def computing(self) -> AbstractContextManager[object]:
        """Context in which work goes to the compute stream; never `yield` inside."""
        return torch.cuda.stream(self._compute) if self._cuda else nullcontext()

    def download(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Ready]:
        """Start copies to pinned memory; read them only after `Ready.wait()`."""
        if not self._cuda:
            return tensors, _Done()
        self._down.wait_stream(self._compute)
        with torch.cuda.stream(self._down):
            moved = tuple(torch.empty_like(t, device="cpu", pin_memory=True) for t in tensors)
            for source, target in zip(tensors, moved, strict=True):
                target.copy_(source, non_blocking=True)
                source.record_stream(self._down)  # See [Why record_stream]
            event = torch.cuda.Event(blocking=True)  # the host sleeps: its cores are the encoder's
            event.record(self._down)
        return moved, _Copied(event)


@cache
def _streams_of(device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream, torch.cuda.Stream]:
    return torch.cuda.Stream(device), torch.cuda.Stream(device), torch.cuda.Stream(device)


def _pinned_copy(tensor: Tensor) -> Tensor:
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    if tensor.dtype not in _CODES:
        return pinned.copy_(tensor)  # a caller's floats, of which numpy does not know all
    np.copyto(pinned.numpy(), tensor.numpy())  # See [Who computes] in vsr.pipeline.flow.graph
    return pinned


_CODES = (torch.uint8, torch.uint16)


class _Done:
    def wait(self) -> None:
        """Nothing to wait for."""


class _Copied:
    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def wait(self) -> None:
        self._event.synchronize()  # waits: the copy must finish before encode reads it
