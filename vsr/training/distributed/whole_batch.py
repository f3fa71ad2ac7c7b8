"""Layers that treat the shares of several processes as one batch: batch norm and dropout.

`torch.nn.SyncBatchNorm` exists for GPUs only, and torch has no such dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsr.training.distributed.group import Group


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm with the mean and variance of the whole batch."""

    group: Group

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """Normalise `(N, C, H, W)`; in eval mode, with the running averages."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        mean = self.group.mean(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = self.group.mean(centred.square().mean((0, 2, 3)))
        self._note(mean.detach(), variance.detach(), self.group.size * x.numel() // x.shape[1])
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _note(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running averages; the variance is that of a population, estimated from `count` values."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)


class _Dropout(nn.Dropout):
    """Dropout with this process's rows of a mask for the whole batch."""

    group: Group

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """Drop elements of `(N, ...)`, which is a share of the batch."""
        if not self.training or not 0 < self.p < 1:
            return super().forward(input)
        count = len(input) * self.group.size
        mask = torch.empty(count, *input.shape[1:], dtype=input.dtype, device=input.device)
        mask.bernoulli_(1 - self.p).div_(1 - self.p)
        return input * mask[self.group.share(count)]


_KINDS: dict[type[nn.Module], type[nn.Module]] = {nn.BatchNorm2d: _BatchNorm, nn.Dropout: _Dropout}


def see_whole_batch_(network: nn.Module, group: Group) -> None:
    """Let the layers of a network treat the shares of all processes as one batch.

    Names, parameters and buffers stay the same. The network can no longer be copied with `copy.deepcopy`.
    """
    if group.size == 1:
        return
    for module in network.modules():
        if type(module) in _KINDS:
            module.__class__ = _KINDS[type(module)]
            module.group = group  # type: ignore[assignment]  # a module takes any attribute
