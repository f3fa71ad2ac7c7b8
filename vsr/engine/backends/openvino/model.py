"""Models of OpenVINO, built layer by layer from a `ConvGraph`.

This is a hundred times as fast as tracing by OpenVINO, and does not need its converter, whose package can
send statistics to its makers.

Note [Last step]: a convolution in bf16 rounds its results to 8 bits, whose steps are visible in a smooth sky.
If an activation follows the last convolution, OpenVINO fuses the two and writes the sums as float32
(2026.4.1, measured: 0.03 % of the results were bf16 numbers; without the activation, all). A PReLU with slope
1 changes nothing, and passes NaN on, unlike a clamp.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from vsr.kernels.conv_graph import Conv, ConvGraph


@cache
def runtime() -> Any:
    """Import the package `openvino` without `openvino_telemetry`, which is installed with it.

    That package writes an identifier into the user's home and reports each import to its makers over the
    network (2026.4.1). OpenVINO works without it, so its import is made to fail.
    """
    absent = "openvino_telemetry" not in sys.modules
    if absent:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        if absent:
            del sys.modules["openvino_telemetry"]


def operations() -> Any:
    """Return OpenVINO's set of operations."""
    return runtime().opset13


def model(graph: ConvGraph, shape: Sequence[int], spans: Sequence[float] = ()) -> Any:
    """Build a model from a graph, without the addition of the image to its result.

    Args:
        shape: `(N, C, H, W)` of the input.
        spans: For 8-bit integers, the largest magnitude in the input of each convolution; empty for none. The
            first and the last convolution never use integers.
    """
    ops = operations()
    nodes = [ops.parameter(list(shape), np.float32)]
    for n, conv in enumerate(graph.convs):
        inner = 0 < n < len(graph.convs) - 1
        nodes.append(
            _computed(conv, nodes, spans[n] if spans and inner else None, fine=n == len(graph.convs) - 1)
        )
    return runtime().Model([nodes[-1]], [nodes[0]])


def _computed(conv: Conv, nodes: Sequence[Any], span: float | None, *, fine: bool) -> Any:
    """Return the result of a convolution; with `fine`, which the last one has, see Note [Last step]."""
    ops = operations()
    inputs = [nodes[value] for value in conv.inputs]
    node = ops.concat(inputs, 1) if len(inputs) > 1 else inputs[0]
    if conv.upsample > 1:
        node = _enlarged(node, conv.upsample)
    node = _conv(node, conv, span)
    if conv.slopes is not None:
        node = _activated(node, conv.slopes)
    for residual in conv.residuals:
        if residual.gain != 1:
            node = ops.multiply(node, ops.constant(np.float32(residual.gain)))
        node = ops.add(nodes[residual.value], node)
    if fine:
        return ops.prelu(node, _scalar(1.0))
    return ops.depth_to_space(node, "depth_first", conv.shuffle) if conv.shuffle > 1 else node


def _activated(node: Any, slopes: Tensor) -> Any:
    """Apply a PReLU; equal slopes become one number, because OpenVINO fuses that more often."""
    ops = operations()
    values = _values(slopes)
    if (values == 0).all():
        return ops.relu(node)
    return ops.prelu(node, _scalar(values[0]) if (values == values[0]).all() else ops.constant(values))


def _enlarged(node: Any, factor: int) -> Any:
    """Enlarge by the nearest neighbour."""
    ops = operations()
    return ops.interpolate(
        node,
        ops.constant(np.array([side * factor for side in node.shape[2:]], np.int64)),
        "nearest",
        "sizes",
        axes=ops.constant(np.array([2, 3], np.int64)),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _conv(node: Any, conv: Conv, span: float | None) -> Any:
    """Apply a 3x3 convolution and its bias; with a span, in 8-bit integers."""
    ops = operations()
    weight = ops.constant(_values(conv.weight))
    if span is not None:
        node, weight = _quantised(node, span), _quantised_weight(weight, conv.weight)
    node = ops.convolution(node, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(node, ops.constant(_values(conv.bias).reshape(1, -1, 1, 1)))


def _scalar(value: float) -> Any:
    return operations().constant(np.array([value], np.float32))


def _quantised(node: Any, span: float) -> Any:
    """Round activations to 256 values, which makes OpenVINO compute the next convolution in integers."""
    ops = operations()
    low, high = (ops.constant(np.float32(value)) for value in (-span * 128 / 127, span))
    return ops.fake_quantize(node, low, high, low, high, 256)


def _quantised_weight(node: Any, weight: Tensor) -> Any:
    """Round weights to 255 values per output channel."""
    ops = operations()
    span = _values(weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12))
    low, high = ops.constant(-span), ops.constant(span)
    return ops.fake_quantize(node, low, high, low, high, 255)


def _values(parameter: Tensor) -> Any:
    return parameter.detach().float().numpy()
