"""The backend `openvino`: networks of 3x3 convolutions run by OpenVINO on the CPU.

That is a third to a half less time than torch takes, which writes every result to memory and reads it again
(docs/benchmarks.md). OpenVINO is the extra `openvino`; nothing of it is imported before it is wanted. A
network is compiled for each shape, in a tenth of a second, a large RRDB in one; the last few are kept.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache, lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from vsr.engine.backends import calibration, openvino_model, own_kernels
from vsr.engine.backends.contract import BackendSpec, Run

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph

_KEPT = 4
"""Compiled shapes: whole frames, the last batch of a film, tiles."""
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}

Infer = Callable[[Tensor], Tensor]


def available() -> bool:
    """Whether OpenVINO is installed, and there are graphs to give to it."""
    return importlib.util.find_spec("openvino") is not None and own_kernels.has_kernels()


def can_run(network: nn.Module, dtype: torch.dtype, *, int8: bool = False) -> bool:
    """Whether `compiled` takes a network: one of 3x3 convolutions, in float32 or bfloat16; with 8-bit
    integers only one whose convolutions each read the one before, on top of the image (Compact)."""
    graph = own_kernels.graph_of(network)
    if graph is None or dtype not in _HINTS or not _splits(graph):
        return False
    return not int8 or (graph.adds_image and all(conv.inputs == (n,) for n, conv in enumerate(graph.convs)))


def _splits(graph: ConvGraph) -> bool:
    """Whether what is left to torch, the image under a shuffled result, is all that the last step does
    besides."""
    last = graph.convs[-1]
    return graph.scale == last.shuffle if graph.adds_image else last.shuffle == 1


def compiled(network: nn.Module, *, dtype: torch.dtype, int8: bool = False) -> Run:
    """The network as OpenVINO computes it, on as many threads as torch has now; OpenVINO must be installed.

    What happens to a batch before its first and after its last convolution is torch's, in float32.

    Args:
        network: One that `can_run` takes, in eval mode, float32, on the host; not changed.
        dtype: In which its convolutions compute.
        int8: All but the first and the last compute with 8-bit integers: weights by channel, activations by
            layer, both symmetric, spans from `calibration`.
    """
    graphed = cast(own_kernels.Graphed, network)
    graph = graphed.as_graph()
    spans = calibration.ranges(graph) if int8 else []
    infer, alone = _compiled_on_demand(partial(openvino_model.model, graph, spans=spans), dtype), Lock()

    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            image = graphed.prepare(batch).contiguous()
            with alone:  # a result lies in memory that the next call overwrites
                result = infer(image)
                sr = _shuffled_on(image, result, graph.scale) if graph.adds_image else result.clone()
            return graphed.finish(sr, batch)

    return run


def _compiled_on_demand(graph: Callable[[tuple[int, ...]], Any], dtype: torch.dtype) -> Infer:
    """One compiled graph for each shape that comes, the last few of them."""
    threads = torch.get_num_threads()  # now: while it runs, torch may be left fewer

    @lru_cache(maxsize=_KEPT)
    def sized(shape: tuple[int, ...]) -> Infer:
        return _compile(graph(shape), dtype, threads)

    return lambda images: sized(tuple(images.shape))(images)


@cache
def _core() -> Any:
    """One for the process. Its CPU plugin gives the thread a stack for signals (sigaltstack) in memory of its
    own: once a second one had been dropped, the next Ctrl-C was a segmentation fault (OpenVINO 2026.4.1)."""
    return openvino_model.runtime().Core()


def _compile(graph: Any, dtype: torch.dtype, threads: int) -> Infer:
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _HINTS[dtype],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    request: Any = _core().compile_model(graph, "CPU", settings).create_infer_request()

    def infer(images: Tensor) -> Tensor:
        result = request.infer({0: images.numpy()}, share_inputs=True, share_outputs=True)[0]
        return torch.from_numpy(result)  # the request's own memory: read before the next call writes it again

    return infer


def _shuffled_on(image: Tensor, details: Tensor, scale: int) -> Tensor:
    """Return details, shuffled to fine pixels, on top of the image enlarged by the nearest neighbour.

    Args:
        image: `(N, 3, H, W)`.
        details: `(N, 3 * scale^2, H, W)`.

    Returns:
        `(N, 3, H * scale, W * scale)`. Both steps in one take half the time of each at the fine size, on a
        CPU.
    """
    n, channels, height, width = image.shape
    fine = details.unflatten(1, (channels, scale, scale)) + image[:, :, None, None]
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(n, channels, height * scale, width * scale)


BACKEND = BackendSpec(
    name="openvino",
    device="cpu",
    supports=lambda network, dtype: can_run(network, dtype),
    available=lambda: available(),
    compiled=lambda network, dtype, device: compiled(network, dtype=dtype),
    takes="networks of 3x3 convolutions in fp32 or bf16",
    needs="OpenVINO",
    extra="openvino",
    in_trial=True,
    supports_int8=lambda network, dtype: can_run(network, dtype, int8=True),
    compiled_int8=lambda network, dtype: compiled(network, dtype=dtype, int8=True),
)
