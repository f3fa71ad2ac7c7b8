"""Runs networks with `vsr.kernels`, the kernels that this package implements itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from vsr.engine.backends import cuda_graphs, torch_eager
from vsr.engine.backends.contract import BackendSpec, Run, Window

try:
    from vsr import kernels
except ImportError:  # without the folder, torch computes everything
    kernels = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from vsr.kernels import Target
    from vsr.kernels.conv_graph import ConvGraph


class Graphed(Protocol):
    """A network that describes itself as a `ConvGraph`, as those of 3x3 convolutions do."""

    def as_graph(self) -> ConvGraph:
        """Return the computation between `prepare` and `finish`."""

    def prepare(self, x: Tensor) -> Tensor:
        """Return the input of the graph for a batch `(N, 3, H, W)`."""

    def finish(self, sr: Tensor, x: Tensor) -> Tensor:
        """Return the result of the network, from the output of the graph and the batch."""


def graph_of(network: nn.Module) -> ConvGraph | None:
    """Return the network as a graph; None if it has no graph or `vsr.kernels` is missing."""
    as_graph = getattr(network, "as_graph", None)
    return as_graph() if as_graph is not None and has_kernels() else None


def has_kernels() -> bool:
    """Return whether the package `vsr.kernels` can be imported."""
    return kernels is not None


def kernels_available(target: Target) -> bool:
    """Return whether `vsr.kernels` is present, and this machine has what the kernels of a target need."""
    return kernels is not None and kernels.available(target)


def kernels_support(network: nn.Module, target: Target, dtype: torch.dtype) -> bool:
    """Return whether the kernels of a target can compute a network with features of a dtype."""
    graph = graph_of(network)
    return graph is not None and kernels.supports(graph, target, dtype)


def kernels_are_fastest(network: nn.Module, target: Target, dtype: torch.dtype) -> bool:
    """Return whether a target's kernels are available and were measured to be the fastest for a network."""
    graph = graph_of(network)
    return graph is not None and kernels.is_measured_fastest(graph, target, dtype)


def kernel_window(target: Target) -> Window:
    """Return which windows of an image give the same bits as the whole image."""
    return Window(*kernels.window(target)) if kernels is not None else Window()


def in_kernels(network: nn.Module, target: Target, dtype: torch.dtype, device: torch.device) -> Run:
    """Compile the network for the kernels of a target, with as many threads as torch has now.

    Torch computes the batches whose shape the kernels do not support.
    """
    graphed = cast(Graphed, network)
    threads = torch.get_num_threads()  # read now, because torch may have fewer threads during a run
    run_graph = kernels.compile(graphed.as_graph(), target, dtype, device, threads)
    in_torch = cache(lambda: torch_eager.eager(network, device=device, dtype=dtype))

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        found = run_graph(graphed.prepare(batch))
        return in_torch()(batch) if found is None else graphed.finish(found, batch)

    return run


def own(
    target: Target,
    *,
    takes: str,
    needs: str,
    device: Literal["cpu", "cuda"] = "cpu",
    best_dtypes: tuple[torch.dtype, ...] = (),
    in_trial: bool = False,
) -> BackendSpec:
    """Return a backend that runs networks with a target of `vsr.kernels`."""

    def compiled(network: nn.Module, dtype: torch.dtype, place: torch.device) -> Run:
        run = in_kernels(network, target, dtype, place)
        return cuda_graphs.replayed(run) if device == "cuda" else run

    return BackendSpec(
        name=target,
        device=device,
        supports=lambda network, dtype: kernels_support(network, target, dtype),
        available=lambda: kernels_available(target),
        compiled=compiled,
        takes=takes,
        needs=needs,
        best_dtypes=best_dtypes,
        is_measured_fastest=lambda network, dtype: kernels_are_fastest(network, target, dtype),
        in_trial=in_trial,
        window=lambda: kernel_window(target),
    )
