"""The processes that train together, and what they exchange through `torch.distributed`.

Each process computes its share of a batch. Gradients, batch statistics and loss terms are means over the
processes, so a step is that of one process with the whole batch, up to the rounding of its sums.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from vsr.errors import VsrError


class LostProcessError(VsrError):
    """Another process of the run has ended, or cannot be reached any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """This process and the others of a run. With one process, all functions return what they are given.

    All processes have to call the same functions in the same order.
    """

    rank: int = 0
    """Number of this process. Process 0 leads: it alone validates, writes and prints."""
    size: int = 1
    """Number of processes."""
    local_size: int = 1
    """Number of them on this machine."""
    on_host: Any = None
    """Torch's process group for tensors in host memory (gloo); those of a GPU use the default one."""

    @property
    def leads(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return the part of `count` items, a multiple of `size`, that belongs to this process."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def makes(self, number: int) -> bool:
        """Return whether this process does the piece of work with this number."""
        return number % self.size == self.rank

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes; gradients pass through it."""
        if self.size == 1:
            return x
        mean: Tensor = _Mean.apply(x, self)
        return mean

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device by their means over the processes, in one exchange."""
        if self.size == 1:
            return
        joined = torch.cat([tensor.flatten() for tensor in tensors])
        self._sum_(joined)
        joined /= self.size
        parts = joined.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def mean_gradients_(self, parameters: Iterable[Tensor], loss: Tensor) -> Tensor:
        """Replace the gradients of parameters by their means, and return the mean of the loss."""
        loss = loss.detach().clone()
        self.mean_([loss, *(p.grad for p in parameters if p.grad is not None)])
        return loss

    def mean_terms(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each number; the names are the same in all processes."""
        if self.size == 1:
            return dict(terms)
        values = torch.tensor(list(terms.values()), dtype=torch.float64)
        self.mean_([values])
        return dict(zip(terms, values.tolist(), strict=True))

    def largest(self, *numbers: float) -> list[float]:
        """Return the largest of each number over the processes."""
        if self.size == 1:
            return list(numbers)
        found = torch.tensor(numbers, dtype=torch.float64)
        with _lost_if_it_fails():
            dist.all_reduce(found, dist.ReduceOp.MAX, group=self.on_host)
        return list(found.tolist())

    def from_leader(self, data: bytes) -> bytes:
        """Return the bytes that process 0 gave."""
        if self.size == 1:
            return data
        (length,) = self.largest(len(data) if self.leads else 0)
        sent = _padded(data if self.leads else b"", int(length))
        with _lost_if_it_fails():
            dist.broadcast(sent, src=0, group=self.on_host)
        return sent[: int(length)].numpy().tobytes()

    def from_all(self, data: bytes) -> list[bytes]:
        """Return the bytes that each process gave."""
        if self.size == 1:
            return [data]
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with _lost_if_it_fails():
            dist.all_gather(lengths, torch.tensor([len(data)]), group=self.on_host)
            longest = max(1, *(int(length) for length in lengths))
            found = [torch.empty(longest, dtype=torch.uint8) for _ in lengths]
            dist.all_gather(found, _padded(data, longest), group=self.on_host)
        return [one[: int(length)].numpy().tobytes() for one, length in zip(found, lengths, strict=True)]

    def _sum_(self, x: Tensor) -> None:
        with _lost_if_it_fails():
            dist.all_reduce(x, group=self.on_host if x.device.type == "cpu" else None)


class _Mean(torch.autograd.Function):
    """The mean over the processes, with its gradient: the mean of the gradients of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return _mean(x, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return _mean(dy, ctx.group), None


def _mean(x: Tensor, group: Group) -> Tensor:
    mean = x.detach().clone(memory_format=torch.contiguous_format)
    group.mean_([mean])
    return mean


def _padded(data: bytes, length: int) -> Tensor:
    return torch.frombuffer(bytearray(data.ljust(max(1, length), b"\0")), dtype=torch.uint8)


@contextmanager
def _lost_if_it_fails() -> Generator[None, None, None]:
    """Translate the errors of an exchange, which have long texts about sockets."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise LostProcessError(
            "another process of the run ended or cannot be reached. Start the same command again:"
            " it resumes from the last checkpoint"
        ) from error
