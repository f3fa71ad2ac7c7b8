"""Models of OpenVINO, built layer by layer from a `ConvGraph`.

That is a hundred times as quick as letting it trace them, and needs nothing of its converter, whose package
can send statistics to the maker.

Note [Last step]: a convolution in bf16 rounds what it gives to 8 bits, of which a smooth sky shows the steps.
With an activation after the last one, OpenVINO fuses the two and writes the sums as float32 (2026.4.1,
measured: of its results 0.03 % were numbers of bf16, without it all). A PReLU of slope 1 changes nothing, and
lets NaN through, unlike a clamp.
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
    """The package `openvino`, imported without `openvino_telemetry`, which comes with it: that one writes an
    identifier into the user's home and reports each import to its maker, over the network (2026.4.1).
    OpenVINO has a stand-in for where it is absent, and so it is made to be."""
    absent = "openvino_telemetry" not in sys.modules
    if absent:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        if absent:
            del sys.modules["openvino_telemetry"]


def operations() -> Any:
    """What graphs are made of."""
    return runtime().opset13


def model(graph: ConvGraph, shape: Sequence[int], spans: Sequence[float] = ()) -> Any:
    """A graph as a model of OpenVINO, without the image that may be added to its result.

    Args:
        graph: Of any convolutions.
        shape: `(N, C, H, W)` of the input.
        spans: Largest magnitude that reaches each convolution, for 8-bit integers; empty for none. The first
            and
            the last convolution never compute with integers.
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
    """All that a convolution does, with the last one's result as float32; see Note [Last step]."""
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
        return ops.prelu(node, _slope(1.0))
    return ops.depth_to_space(node, "depth_first", conv.shuffle) if conv.shuffle > 1 else node


def _activated(node: Any, slopes: Tensor) -> Any:
    """PReLU; one of equal slopes is written as one number, which OpenVINO fuses more often."""
    ops = operations()
    values = _values(slopes)
    if (values == 0).all():
        return ops.relu(node)
    return ops.prelu(node, _slope(values[0]) if (values == values[0]).all() else ops.constant(values))


def _enlarged(node: Any, factor: int) -> Any:
    """The nearest neighbour."""
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
    """A 3x3 convolution with its bias; with a span, of 8-bit integers."""
    ops = operations()
    weight = ops.constant(_values(conv.weight))
    if span is not None:
        node, weight = _in_steps(node, span), _weight_in_steps(weight, conv.weight)
    node = ops.convolution(node, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(node, ops.constant(_values(conv.bias).reshape(1, -1, 1, 1)))


def _slope(value: float) -> Any:
    ops = operations()

    return ops.constant(np.array([value], np.float32))


def _in_steps(node: Any, span: float) -> Any:
    """Activations as one of 256 values: what makes OpenVINO compute the next convolution with integers."""
    ops = operations()

    low, high = (ops.constant(np.float32(value)) for value in (-span * 128 / 127, span))
    return ops.fake_quantize(node, low, high, low, high, 256)


def _weight_in_steps(node: Any, weight: Tensor) -> Any:
    """Weights as one of 255 values, by output channel."""
    ops = operations()

    span = _values(weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12))
    low, high = ops.constant(-span), ops.constant(span)
    return ops.fake_quantize(node, low, high, low, high, 255)


def _values(parameter: Tensor) -> Any:
    return parameter.detach().float().numpy()
