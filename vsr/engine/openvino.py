"""A Compact network run by OpenVINO on the processor: each PReLU is fused into the convolution before it.

That is a third to a half less time than torch takes, which writes every result to memory and reads it again
(docs/benchmarks.md). OpenVINO is the extra `openvino`; nothing of it is imported before it is wanted. A
network is compiled for each shape, in a tenth of a second; the last few are kept. Its converter, whose
package can send statistics to the maker, is not used: the graph is built here.
"""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vsr.engine import calibration
from vsr.engine.backends import Run
from vsr.models.archs.compact import Compact

_KEPT = 4
"""Compiled shapes: whole frames, the last batch of a film, tiles."""
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}

Infer = Callable[[Tensor], Tensor]


def available() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def can_run(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether `compiled` takes a network: Compact ones with PReLU or ReLU, in float32 or bfloat16."""
    return isinstance(network, Compact) and network.config.activation != "leakyrelu" and dtype in _HINTS


def compiled(network: Compact, *, dtype: torch.dtype, int8: bool = False) -> Run:
    """The network as OpenVINO computes it, on as many threads as torch has; OpenVINO must be installed.

    The network's own input is added by torch, in float32: 8 bits of bf16 would show as steps in a smooth sky.

    Args:
        network: In eval mode, float32, on the host; not changed.
        dtype: In which its convolutions compute.
        int8: All but the first and the last compute with 8-bit integers: weights by channel, activations by
            layer, both symmetric, spans from `calibration`.
    """
    spans = calibration.ranges(network.body) if int8 else []
    shapes: OrderedDict[tuple[int, ...], Infer] = OrderedDict()

    def body(images: Tensor) -> Tensor:
        key = tuple(images.shape)
        if key not in shapes:
            while len(shapes) >= _KEPT:
                shapes.popitem(last=False)
            shapes[key] = _compile(_graph(network.body, key, spans), dtype)
        shapes.move_to_end(key)
        return shapes[key](images)

    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return network.assemble(body(batch.contiguous()), batch)

    return run


@cache
def _core() -> Any:
    """One for the process. Its CPU plugin gives the thread a stack for signals (sigaltstack) in memory of its
    own: once a second one had been dropped, the next Ctrl-C was a segmentation fault (OpenVINO 2026.4.1)."""
    import openvino

    return openvino.Core()


def _compile(graph: Any, dtype: torch.dtype) -> Infer:
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": _HINTS[dtype],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    request: Any = _core().compile_model(graph, "CPU", settings).create_infer_request()

    def infer(images: Tensor) -> Tensor:
        result = request.infer({0: images.numpy()}, share_inputs=True, share_outputs=True)[0]
        return torch.from_numpy(result)  # the request's own memory: read before the next call writes it again

    return infer


def _graph(body: nn.Sequential, shape: tuple[int, ...], spans: Sequence[float]) -> Any:
    """Built layer by layer: a hundred times as quick as letting OpenVINO trace the network.

    Args:
        body: Convolutions with biases, PReLUs and ReLUs.
        shape: Of the input.
        spans: Largest magnitude that reaches each convolution, for 8-bit integers; empty for none.
    """
    import openvino
    from openvino import opset13 as ops

    entry = ops.parameter(list(shape), np.float32)
    node = entry
    inner = iter(spans[1:-1])
    ends = (body[0], body[-1])
    for layer in body:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            weight = ops.constant(_values(layer.weight))
            if spans and layer not in ends:
                node, weight = _in_steps(node, next(inner)), _weight_in_steps(weight, layer.weight)
            node = ops.convolution(node, weight, [1, 1], [1, 1], [1, 1], [1, 1])
            node = ops.add(node, ops.constant(_values(layer.bias).reshape(1, -1, 1, 1)))
        elif isinstance(layer, nn.PReLU):
            node = ops.prelu(node, ops.constant(_values(layer.weight)))
        else:
            assert isinstance(layer, nn.ReLU)
            node = ops.relu(node)
    return openvino.Model([node], [entry])


def _in_steps(node: Any, span: float) -> Any:
    """Activations as one of 256 values: what makes OpenVINO compute the next convolution with integers."""
    from openvino import opset13 as ops

    low, high = (ops.constant(np.float32(value)) for value in (-span * 128 / 127, span))
    return ops.fake_quantize(node, low, high, low, high, 256)


def _weight_in_steps(node: Any, weight: Tensor) -> Any:
    """Weights as one of 255 values, by output channel."""
    from openvino import opset13 as ops

    span = _values(weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12))
    low, high = ops.constant(-span), ops.constant(span)
    return ops.fake_quantize(node, low, high, low, high, 255)


def _values(parameter: Tensor) -> Any:
    return parameter.detach().float().numpy()
