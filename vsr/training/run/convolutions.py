"""Training with the Winograd convolutions of `vsr.kernels`.

Networks do not change. The context manager `fast_convolutions` replaces `torch.nn.functional.conv2d` for the
layers that the kernels support. Results and gradients differ from torch's only by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode


def fast_convolutions(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that computes convolutions with the Winograd
    kernels if they are faster on the device."""
    return _FastConvolutions() if device.type == "cpu" and _are_faster() else nullcontext()


def _are_faster() -> bool:
    try:
        from vsr.kernels.winograd import backend
    except ImportError:  # the package works without the folder `kernels`
        return False
    return backend.is_measured()


class _FastConvolutions(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        # torch.compile has its own convolutions and cannot trace these.
        if func is torch.conv2d and not kwargs and not torch.compiler.is_compiling() and _fits(*args):
            x, weight, bias, _, padding = args[:5]
            return Convolution.apply(x, weight, bias, padding[0])
        return func(*args, **(kwargs or {}))


def _fits(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, *rest: Any
) -> bool:
    """Return whether the kernels support a convolution with these arguments of `conv2d`."""
    from vsr.kernels.winograd.limits import UNIT
    from vsr.kernels.winograd.transform import OUT

    outputs, channels, *kernel = weight.shape
    return (
        (kernel, stride) == ([3, 3], (1, 1))
        and padding in ((0, 0), (1, 1))
        and rest == ((1, 1), 1)  # no dilation, no groups
        and outputs % UNIT == channels % UNIT == 0
        and x.dim() == 4
        and x.dtype == weight.dtype == torch.float32
        and all(side + 2 * padding[0] > 2 and (side + 2 * padding[0] - 2) % OUT == 0 for side in x.shape[2:])
    )


class Convolution(torch.autograd.Function):
    """`conv2d(x, weight, bias, padding=padding)` with its gradients, from `vsr.kernels.winograd.training`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        """Compute the convolution."""
        from vsr.kernels.winograd.training import batches

        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return batches.convolve(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the required gradients."""
        from vsr.kernels.winograd.training import batches

        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, _ = ctx.needs_input_grad
        turned = weight.flip(2, 3).transpose(0, 1)
        dx = batches.convolve(dy, turned, None, 2 - ctx.padding) if wants_x else None
        dw = batches.weight_gradient(x, dy, ctx.padding) if wants_weight else None
        return dx, dw, dy.sum((0, 2, 3)) if wants_bias else None, None
