"""The graph in ncnn's .param files: parsing and evaluation.

It supports only the layers of RRDB and Compact generators. Nothing in a file is executed, and sizes are
checked before anything is computed. ncnn's docs/developer-guide defines the layers and their parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.errors import ModelError

MAGIC = "7767517"
"""First line of a .param file; binary files (.param.bin) and those of 2017 begin differently."""
MAX_LAYERS = 20_000
"""Most layers of a graph; an RRDB of 23 blocks has 1,370."""
_MAX_NUMBERS = 2**26
"""Most elements in all results of a graph together; that RRDB makes 2^22 from the test image."""
_SHAPE_HINTS = frozenset({-23330, 31})
"""Parameters with the sizes of results and a mask of optimisations, which do not change the computation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of the graph, which is a line of the file."""

    kind: str
    line: int
    """Line number in the file, from 1."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[int, tuple[float, ...]]
    """ncnn's numbered parameters; a single number is a tuple of length 1."""

    def number(self, key: int, default: float = 0) -> float:
        """Return a parameter that is a single number."""
        return self.settings.get(key, (default,))[0]

    def whole(self, key: int, default: int = 0) -> int:
        """Return a parameter that is a size or a count.

        Raises:
            ValueError: the parameter is negative, not whole, or has more than 31 bits.
        """
        value = self.number(key, default)
        if not 0 <= value < 2**31 or value != int(value):
            raise ValueError(f"{key}={value:g} is not a size")
        return int(value)


Weights = Mapping[int, Sequence[Tensor]]
"""Tensors of each layer by its line number: weight and bias of a convolution, slopes of a PReLU."""
_Operation = Callable[[Layer, Sequence[Tensor], Sequence[Tensor]], Tensor]


def parse(text: str, path: Path) -> tuple[Layer, ...]:
    """Read the graph of a .param file.

    Raises:
        ModelError: it is not such a file, it is truncated, or it has an unknown layer or parameter.
    """
    lines = text.splitlines()
    if len(lines) < 2 or lines[0].strip() != MAGIC:
        raise ModelError(f"{path}: is no ncnn graph (its first line is not {MAGIC}); give a .param file")
    graph = tuple(
        _layer(line, number, path) for number, line in enumerate(lines[2:], start=3) if line.strip()
    )
    counts = lines[1].split()
    if len(counts) != 2 or counts[0] != str(len(graph)) or len(graph) > MAX_LAYERS:
        raise ModelError(
            f"{path}: announces {lines[1].strip()[:40]!a} layers and blobs and has {len(graph)} layers "
            f"(at most {MAX_LAYERS:,}); download it again"
        )
    return graph


def _layer(text: str, line: int, path: Path) -> Layer:
    words = text.split()
    try:
        kind, inputs, outputs = words[0], int(words[2]), int(words[3])
        blobs, settings = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
        if min(inputs, outputs) < 0 or len(blobs) != inputs + outputs:
            raise ValueError("blobs are missing")
        layer = Layer(
            kind=kind,
            line=line,
            inputs=tuple(blobs[:inputs]),
            outputs=tuple(blobs[inputs:]),
            settings=dict(_setting(word) for word in settings),
        )
    except (ValueError, IndexError) as error:
        raise ModelError(f"{path}: line {line} is no layer ({str(error)[:80]}); download it again") from error
    _check_known(layer, path)
    return layer


def _setting(word: str) -> tuple[int, tuple[float, ...]]:
    """Parse a parameter: `6=1728` is a number, `-23310=1,0.2` an array with its length as first element."""
    key, _, value = word.partition("=")
    numbers = tuple(float(part) for part in value.split(","))
    if int(key) > -23300:
        return int(key), numbers
    if len(numbers) != 1 + numbers[0]:
        raise ValueError(f"{word!a} is an array of another length")
    return int(key), numbers[1:]


def _check_known(layer: Layer, path: Path) -> None:
    where = f"{path}: line {layer.line}"
    if layer.kind not in _KINDS:
        raise ModelError(
            f"{where}: unknown layer {layer.kind[:40]!a}; RRDB and Compact networks are supported, "
            f"with the layers {', '.join(_KINDS)}"
        )
    kind = _KINDS[layer.kind]
    if layer.kind == "Interp" and layer.number(1) < 1:
        raise ModelError(
            f"{where}: the graph reduces the result; convert the files without that, and use `scale`"
        )
    if layer.kind == "Convolution" and layer.number(8):
        raise ModelError(f"{where}: int8 weights; convert the fp16 or fp32 pair of this network")
    for key, value in layer.settings.items():
        if key not in kind.used | _SHAPE_HINTS and value != (kind.fixed.get(key),):
            shown = ",".join(f"{number:g}" for number in value)
            raise ModelError(f"{where}: {layer.kind} with {key}={shown}; it is an unknown variant")


def evaluate(graph: Sequence[Layer], weights: Weights, x: Tensor, path: Path) -> Tensor:
    """Evaluate a graph on a small image, to check a conversion.

    Args:
        graph: From `parse`.
        weights: In fp32.
        x: `(1, 3, H, W)`, the input of the graph.
        path: Path of the graph, for messages.

    Raises:
        ModelError: sizes do not match or are too large, or the graph has not exactly one output.
    """
    shapes_only = {line: [tensor.to("meta") for tensor in tensors] for line, tensors in weights.items()}
    _run(graph, shapes_only, x.to("meta"), path)
    return _run(graph, weights, x, path)


def _run(graph: Sequence[Layer], weights: Weights, x: Tensor, path: Path) -> Tensor:
    blobs: dict[str, Tensor] = {}
    numbers = 0
    for layer in graph:
        try:
            inputs = [blobs.pop(name) for name in layer.inputs]  # ncnn's Split makes a blob for each reader
            result = (
                x if layer.kind == "Input" else _KINDS[layer.kind].run(layer, inputs, weights[layer.line])
            )
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0][:100]
            raise ModelError(f"{path}: line {layer.line}: {layer.kind} does not fit ({reason})") from error
        numbers += result.numel()
        if numbers > _MAX_NUMBERS:
            raise ModelError(f"{path}: line {layer.line}: results are too large for a generator")
        blobs |= dict.fromkeys(layer.outputs, result)
    if len(blobs) != 1:
        raise ModelError(f"{path}: gives {len(blobs)} results ({', '.join(blobs)[:80]}), not one image")
    return next(iter(blobs.values()))


def _convolution(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    size, pad = layer.whole(1), layer.whole(4)
    if any(layer.number(key, value) != value for key, value in ((11, size), (14, pad), (15, pad), (16, pad))):
        raise ValueError("kernel or padding differs between sides")
    (x,) = inputs
    weight, bias = weights[0], weights[1] if len(weights) > 1 else None
    return _activation(layer, F.conv2d(x, weight, bias, padding=pad))


def _activation(layer: Layer, x: Tensor) -> Tensor:
    """Apply the activation that ncnn's optimizer fused into a convolution."""
    kind = layer.whole(9)
    if kind > 2:
        raise ValueError(f"activation {kind}; 0 (none), 1 (ReLU), 2 (leaky ReLU) are supported")
    slopes = {0: 1.0, 1: 0.0, 2: layer.number(-23310)}
    return F.leaky_relu(x, slopes[kind]) if kind else x


def _relu(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    (x,) = inputs
    return F.leaky_relu(x, layer.number(0))


def _prelu(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    (x,) = inputs
    return F.prelu(x, weights[0])


def _same(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    (x,) = inputs
    return x


def _concat(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(inputs), 1)


def _binary(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Add or multiply two results of one size, or a result and a number."""
    a = inputs[0]
    b = torch.full_like(a, layer.number(2)) if layer.number(1) else inputs[1]
    kind = layer.whole(0)
    if a.shape != b.shape or kind not in (0, 2) or len(inputs) + bool(layer.number(1)) != 2:
        shapes = f"{tuple(a.shape)}, {tuple(b.shape)}"
        raise ValueError(f"operation {kind} of {shapes}; 0 (add), 2 (multiply) are supported")
    return a * b if kind else a + b


def _eltwise(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Compute a weighted sum, which is how ncnn's optimizer writes a residual."""
    a, b = inputs
    p, q = layer.settings.get(-23301) or (1.0, 1.0)
    if layer.whole(0) != 1 or a.shape != b.shape:
        raise ValueError(f"operation {layer.whole(0)} of {tuple(a.shape)} and {tuple(b.shape)}")
    return a * p + b * q


def _interp(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    (x,) = inputs
    down, right = layer.whole(1), layer.whole(2)
    if layer.whole(0) != 1 or down != right:
        raise ValueError(f"kind {layer.whole(0)}, {down} by {right} times; only kind 1 (nearest), square")
    return x.repeat_interleave(down, -2).repeat_interleave(right, -1)


def _pixel_shuffle(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    (x,) = inputs
    return F.pixel_shuffle(x, layer.whole(0, 1))


def _reorg(layer: Layer, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    (x,) = inputs
    return F.pixel_unshuffle(x, layer.whole(0, 1))


@dataclass(frozen=True, slots=True)
class _Kind:
    """A supported kind of layer."""

    run: _Operation
    used: frozenset[int] = frozenset()
    """Parameters that `run` reads."""
    fixed: Mapping[int, float] = field(default_factory=dict)
    """Other parameters that are allowed with one value."""


_KINDS: Mapping[str, _Kind] = {
    "Input": _Kind(_same, frozenset({0, 1, 2})),
    "Split": _Kind(_same),
    "Noop": _Kind(_same),
    "Convolution": _Kind(
        _convolution,
        frozenset({0, 1, 4, 5, 6, 9, 11, 14, 15, 16, -23310}),
        {2: 1, 12: 1, 3: 1, 13: 1, 7: 1, 8: 0, 18: 0, 19: 0},
    ),
    "PReLU": _Kind(_prelu, frozenset({0})),
    "ReLU": _Kind(_relu, frozenset({0})),
    "Concat": _Kind(_concat, fixed={0: 0}),
    "BinaryOp": _Kind(_binary, frozenset({0, 1, 2})),
    "Eltwise": _Kind(_eltwise, frozenset({0, -23301})),
    "Interp": _Kind(_interp, frozenset({0, 1, 2}), {3: 0, 4: 0, 5: 0, 6: 0}),
    "PixelShuffle": _Kind(_pixel_shuffle, frozenset({0}), {1: 0}),
    "Reorg": _Kind(_reorg, frozenset({0}), {1: 0}),
}
