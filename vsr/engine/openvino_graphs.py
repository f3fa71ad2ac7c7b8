"""Compact and RRDB networks as graphs of OpenVINO, built layer by layer.

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
from typing import Any

import numpy as np
from torch import Tensor, nn

from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RESIDUAL, RRDB, SLOPE


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


def compact(network: Compact, shape: Sequence[int], spans: Sequence[float] = ()) -> Any:
    """`network.body`, convolutions with the PReLU or ReLU after each.

    Args:
        network: In eval mode, float32, on the host.
        shape: Of the input.
        spans: Largest magnitude that reaches each convolution, for 8-bit integers; empty for none.
    """
    ops = operations()

    entry = ops.parameter(list(shape), np.float32)
    node, inner, ends = entry, iter(spans[1:-1]), (network.body[0], network.body[-1])
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            node = _conv(node, layer, None if not spans or layer in ends else next(inner))
        elif isinstance(layer, nn.PReLU):
            node = ops.prelu(node, ops.constant(_values(layer.weight)))
        else:
            assert isinstance(layer, nn.ReLU)
            node = ops.relu(node)
    return runtime().Model([_fine(node)], [entry])


def rrdb(network: RRDB, shape: Sequence[int]) -> Any:
    """All of an RRDB behind the squares that become channels; arguments as of `compact`."""
    ops = operations()

    entry = ops.parameter(list(shape), np.float32)
    first = node = _conv(entry, network.conv_first)
    for block in network.body:
        inside = node
        for dense in block.children():
            inside = _dense(inside, dense)
        node = _plus(node, inside)
    node = ops.add(first, _conv(node, network.conv_body))
    for conv, factor in network.enlargements():
        node = _leaky(_enlarged(node, conv, factor, shuffled=network.config.upsampler == "pixelshuffle"))
    return runtime().Model([_fine(_conv(_leaky(_conv(node, network.conv_hr)), network.conv_last))], [entry])


def _dense(entry: Any, dense: nn.Module) -> Any:
    ops = operations()

    *inner, last = dense.children()
    seen = [entry]
    for conv in inner:
        seen.append(_leaky(_conv(ops.concat(seen, 1) if len(seen) > 1 else entry, conv)))
    return _plus(entry, _conv(ops.concat(seen, 1), last))


def _plus(node: Any, residual: Any) -> Any:
    ops = operations()

    return ops.add(node, ops.multiply(residual, ops.constant(np.float32(RESIDUAL))))


def _leaky(node: Any) -> Any:
    ops = operations()

    return ops.prelu(node, _slope(SLOPE))


def _enlarged(node: Any, conv: nn.Module, factor: int, *, shuffled: bool) -> Any:
    ops = operations()

    if shuffled:
        return ops.depth_to_space(_conv(node, conv), "depth_first", factor)
    axes = ops.constant(np.array([2, 3], np.int64))
    larger = ops.interpolate(
        node,
        ops.constant(np.array([side * factor for side in node.shape[2:]], np.int64)),
        "nearest",
        "sizes",
        axes=axes,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return _conv(larger, conv)


def _conv(node: Any, conv: nn.Module, span: float | None = None) -> Any:
    """A 3x3 convolution with its bias; with a span, of 8-bit integers."""
    ops = operations()

    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    weight = ops.constant(_values(conv.weight))
    if span is not None:
        node, weight = _in_steps(node, span), _weight_in_steps(weight, conv.weight)
    node = ops.convolution(node, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(node, ops.constant(_values(conv.bias).reshape(1, -1, 1, 1)))


def _fine(node: Any) -> Any:
    """The result as float32, see Note [Last step]."""
    ops = operations()

    return ops.prelu(node, _slope(1.0))


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
