"""torch as a backend, and the way from networks to `vsr.kernels`.

`eager` is torch as it is, in the memory layout that its convolutions are fastest in. A further backend is a
further function with this signature.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from vsr.models.third_party import no_exit

try:
    from vsr import kernels
except ImportError:  # the folder may be missing: torch takes over
    kernels = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from vsr.kernels import Target
    from vsr.kernels.conv_graph import ConvGraph

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


class Graphed(Protocol):
    """A network that can say what it computes as a `ConvGraph`; those of `vsr.models.archs` of 3x3
    convolutions."""

    def as_graph(self) -> ConvGraph:
        """What it computes between `prepare` and `finish`."""

    def prepare(self, x: Tensor) -> Tensor:
        """What the graph takes of a batch `(N, 3, H, W)`."""

    def finish(self, sr: Tensor, x: Tensor) -> Tensor:
        """The network's result from the graph's, and from the batch."""


def graph_of(network: nn.Module) -> ConvGraph | None:
    """The network as a graph; None for one of another kind, or where there are no kernels to take a graph."""
    as_graph = getattr(network, "as_graph", None)
    return as_graph() if as_graph is not None and has_kernels() else None


def has_kernels() -> bool:
    """Whether the folder of kernels is here, and with it the graphs that describe networks."""
    return kernels is not None


def kernels_available(target: Target) -> bool:
    """Whether our own kernels of a target are here, with all that they need."""
    return kernels is not None and kernels.available(target)


def kernels_support(network: nn.Module, target: Target, dtype: torch.dtype) -> bool:
    """Whether our own kernels of a target compute such a network with features of a dtype."""
    graph = graph_of(network)
    return graph is not None and kernels.supports(graph, target, dtype)


def kernels_are_fastest(network: nn.Module, target: Target, dtype: torch.dtype) -> bool:
    """Whether our own kernels of a target are available, and were measured to be the fastest for such a
    network."""
    graph = graph_of(network)
    return graph is not None and kernels.is_measured_fastest(graph, target, dtype)


def kernel_window(target: Target) -> Window:
    """Which windows of an image give the bits that the whole gives."""
    return Window(*kernels.window(target)) if kernels is not None else Window()


def in_kernels(network: nn.Module, target: Target, dtype: torch.dtype, device: torch.device) -> Run:
    """The network in kernels of our own, on as many threads as torch has now; torch runs what they do not
    take."""
    graphed = cast(Graphed, network)
    threads = torch.get_num_threads()  # now: while it runs, torch may be left fewer
    run_graph = kernels.compile(graphed.as_graph(), target, dtype, device, threads)
    in_torch = cache(lambda: eager(network, device=device, dtype=dtype))

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        found = run_graph(graphed.prepare(batch))
        return in_torch()(batch) if found is None else graphed.finish(found, batch)

    return run
