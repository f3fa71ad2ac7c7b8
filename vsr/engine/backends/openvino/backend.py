"""The backend `openvino`: networks of 3x3 convolutions run by OpenVINO on the CPU.

It takes a third to a half less time than torch, which writes every result to memory and reads it again
(docs/benchmarks.md). OpenVINO is the extra `openvino` and is imported only when it is used. A network is
compiled for each shape, which takes 0.1 s, or 1 s for a large RRDB; the last few are kept.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache, lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from vsr.engine.backends import own_kernels
from vsr.engine.backends.contract import BackendSpec, Run
from vsr.engine.backends.openvino import calibration
from vsr.engine.backends.openvino import model as openvino_model

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import ConvGraph

_KEPT = 4
"""Batch shapes whose compiled networks are kept: whole frames, the last batch of a video, tiles."""
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}

Infer = Callable[[Tensor], Tensor]


def available() -> bool:
    """Return whether OpenVINO is installed, and `vsr.kernels`, which describes networks as graphs, is
    present.
    """
    return importlib.util.find_spec("openvino") is not None and own_kernels.has_kernels()


def can_run(network: nn.Module, dtype: torch.dtype, *, int8: bool = False) -> bool:
    """Return whether `compiled` takes a network of 3x3 convolutions in float32 or bfloat16.

    With 8-bit integers each convolution must read the one before, and the image must be added (Compact).
    """
    graph = own_kernels.graph_of(network)
    if graph is None or dtype not in _HINTS or not _splits(graph):
        return False
    return not int8 or (graph.adds_image and all(conv.inputs == (n,) for n, conv in enumerate(graph.convs)))


def _splits(graph: ConvGraph) -> bool:
    """Return whether the last convolution can be separated from the steps that torch computes after it: the
    pixel shuffle with the addition of the image, or nothing.
    """
    last = graph.convs[-1]
    return graph.scale == last.shuffle if graph.adds_image else last.shuffle == 1


def compiled(network: nn.Module, *, dtype: torch.dtype, int8: bool = False) -> Run:
    """Compile a network with OpenVINO, on as many threads as torch has now; OpenVINO must be installed.

    torch computes what comes before the first and after the last convolution, in float32.

    Args:
        network: One that `can_run` accepts, in eval mode, float32, on the host; not changed.
        dtype: Of the convolutions.
        int8: Whether all convolutions except the first and the last use 8-bit integers: weights with a range
            per channel, activations with a range per layer from `calibration`, both symmetric.
    """
    graphed = cast(own_kernels.Graphed, network)
    graph = graphed.as_graph()
    spans = calibration.ranges(graph) if int8 else []
    infer, lock = _compiled_on_demand(partial(openvino_model.model, graph, spans=spans), dtype), Lock()

    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            image = graphed.prepare(batch).contiguous()
            with lock:  # the next call overwrites the result of `infer`
                result = infer(image)
                sr = _shuffled_on(image, result, graph.scale) if graph.adds_image else result.clone()
            return graphed.finish(sr, batch)

    return run


def _compiled_on_demand(graph: Callable[[tuple[int, ...]], Any], dtype: torch.dtype) -> Infer:
    """Return a function that compiles the graph for each new batch shape and keeps the last few."""
    threads = torch.get_num_threads()  # read now, because torch may have fewer threads during a run

    @lru_cache(maxsize=_KEPT)
    def sized(shape: tuple[int, ...]) -> Infer:
        return _compile(graph(shape), dtype, threads)

    return lambda images: sized(tuple(images.shape))(images)


@cache
def _core() -> Any:
    """Return OpenVINO's core, one for the process.

    Its CPU plugin sets the thread's signal stack (sigaltstack) to its own memory. After a second core had
    been freed, the next Ctrl-C was a segmentation fault (OpenVINO 2026.4.1).
    """
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
        return torch.from_numpy(result)  # memory of the request, which the next call overwrites

    return infer


def _shuffled_on(image: Tensor, details: Tensor, scale: int) -> Tensor:
    """Return the sum of details after a pixel shuffle and the image enlarged by the nearest neighbour.

    Args:
        image: `(N, 3, H, W)`.
        details: `(N, 3 * scale^2, H, W)`.

    Returns:
        `(N, 3, H * scale, W * scale)`. Adding before the shuffle takes half the time of adding at SR size, on
        a CPU.
    """
    n, channels, height, width = image.shape
    sr = details.unflatten(1, (channels, scale, scale)) + image[:, :, None, None]
    return sr.permute(0, 1, 4, 2, 5, 3).reshape(n, channels, height * scale, width * scale)


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
