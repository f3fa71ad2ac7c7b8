"""Conversion of networks in the format of ncnn (.param and .bin), which Vulkan tools use, to weights with
usual names.

It supports RRDB and Compact generators. The names follow from the order of the layers; a test on a random
image then checks that the network computes the same as the graph. `ncnn_graph.py` parses and evaluates
graphs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from vsr.errors import ModelError
from vsr.models.files import MAX_FILE_BYTES, WeightFile
from vsr.models.ncnn_graph import MAGIC, Layer, evaluate, parse
from vsr.models.recognise import Recognised, recognise
from vsr.reading import open_file, read_file

_MAX_TEXT_BYTES = 2**22
"""Largest .param file; that of an RRDB of 23 blocks has 142 kB."""
# Values of the four bytes before a convolution's weights: ncnn's src/modelbin.cpp.
_FP16 = 0x01306B47
_INT8 = 0x000D4B38
_FP32 = (0, 0x0002C056)
_TEST_SIZE = (8, 12)
"""Height and width of the image for the comparison: multiples of the factors of all pixel unshuffles."""
_TOLERANCE = 1e-4
"""Largest allowed difference, relative to the largest value: both compute in fp32 with sums in different
order. Another slope or residual factor makes a difference of 1e-2 or more."""


def is_ncnn(path: Path) -> bool:
    """Return whether a file is the .param file of an ncnn network, by its first bytes; False if it is
    unreadable.
    """
    try:
        with open_file(path) as file:
            return file.read(len(MAGIC)) == MAGIC.encode()
    except OSError:
        return False


def read_ncnn(param: Path, weights: Path) -> Recognised:
    """Read an RRDB or Compact network in the format of ncnn.

    Args:
        param: Path of the .param file, the graph as text.
        weights: Path of the .bin file, weights in fp16 or fp32.

    Returns:
        The network in fp32; its file's sha256 is that of `weights`.

    Raises:
        ModelError: the files are unreadable or damaged, or the network has int8 weights or another family.
    """
    graph = parse(_text(param), param)
    data = _read(weights, MAX_FILE_BYTES)
    tensors = _tensors(graph, data, weights)
    file = WeightFile(
        path=weights,
        sha256=hashlib.sha256(data).hexdigest(),
        state=_named(graph, tensors, param),
        wrapper=None,
        metadata={},
    )
    found = recognise(file)
    _check_same(found, graph, tensors, param)
    return found


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_file(path, most_bytes=limit)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error}); give the .param and .bin of one network"
        ) from error


def _text(path: Path) -> str:
    try:
        return _read(path, _MAX_TEXT_BYTES).decode("ascii")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: is not text; give the .param file, not a binary one") from error


def _tensors(graph: Sequence[Layer], data: bytes, path: Path) -> dict[int, list[Tensor]]:
    """Return the tensors of each layer by its line number; the file must contain nothing else."""
    reader = _Reader(data, path)
    try:
        tensors = {layer.line: list(_layer_tensors(layer, reader)) for layer in graph}
    except ValueError as error:
        raise ModelError(
            f"{path}: a layer of impossible size ({error}); download both files again"
        ) from error
    if reader.position != len(data):
        raise ModelError(
            f"{path}: has {len(data):,} bytes where the graph needs {reader.position:,}; "
            "give the two files of one network"
        )
    return tensors


def _layer_tensors(layer: Layer, reader: _Reader) -> Iterator[Tensor]:
    if layer.kind == "Convolution":
        count, outputs, side = layer.whole(6), layer.whole(0), layer.whole(1)
        channels = count // max(outputs * side**2, 1)
        if not channels or channels * outputs * side**2 != count:
            raise ValueError(f"line {layer.line}: {count} numbers for {outputs} outputs of {side}x{side}")
        yield reader.flagged(count).view(outputs, channels, side, side)
        if layer.whole(5):
            yield reader.plain(outputs)
    if layer.kind == "PReLU":
        yield reader.plain(layer.whole(0))


class _Reader:
    """Reads tensors from a .bin file one after the other."""

    def __init__(self, data: bytes, path: Path) -> None:
        self.position = 0
        self._data = data
        self._path = path

    def flagged(self, count: int) -> Tensor:
        """Read the weights of a convolution: four bytes with their format, then numbers; those in fp16 are
        padded to a multiple of four bytes."""
        flag = int.from_bytes(self._take(4), "little")
        if flag in _FP32:
            return self.plain(count)
        if flag == _FP16:
            return self._numbers(self._take(2 * count + 2 * (count % 2))[: 2 * count], "<f2")
        what = "in int8" if flag == _INT8 else f"in an unknown format (0x{flag:08X})"
        raise ModelError(f"{self._path}: weights {what}; convert the fp16 or fp32 pair of this network")

    def plain(self, count: int) -> Tensor:
        """Read numbers in fp32: biases, slopes."""
        return self._numbers(self._take(4 * count), "<f4")

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise ModelError(
                f"{self._path}: has {len(self._data):,} bytes, the graph needs {end:,}; it is truncated or "
                "belongs to another network"
            )
        taken, self.position = self._data[self.position : end], end
        return taken

    def _numbers(self, data: bytes, kind: str) -> Tensor:
        tensor = torch.from_numpy(np.frombuffer(data, dtype=kind).astype(np.float32))
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{self._path}: has NaN or infinity; use other weights")
        return tensor


def _named(graph: Sequence[Layer], tensors: dict[int, list[Tensor]], path: Path) -> dict[str, Tensor]:
    """Return the weights with BasicSR's names."""
    weighted = [layer for layer in graph if tensors[layer.line]]
    if any(layer.kind == "Concat" for layer in graph):
        stages = sum(layer.kind in ("Interp", "PixelShuffle") for layer in graph)
        names = _rrdb_names(len(weighted), stages)
    else:
        names = _compact_names(weighted)
    if len(names) != len(weighted):
        raise ModelError(f"{path}: {len(weighted)} layers with weights, which no RRDB or Compact network has")
    return {
        f"{name}.{part}": tensor
        for name, layer in zip(names, weighted, strict=True)
        for part, tensor in zip(("weight", "bias"), tensors[layer.line], strict=False)
    }


def _rrdb_names(layers: int, stages: int) -> list[str]:
    """Return the names of an RRDB: one convolution first, 15 in each block, one after the blocks, one for
    each enlargement, two at the end."""
    blocks = max(layers - stages - 4, 0) // 15
    dense = [f"body.{b}.rdb{r}.conv{c}" for b in range(blocks) for r in (1, 2, 3) for c in range(1, 6)]
    ups = [f"conv_up{number}" for number in range(1, stages + 1)]
    return ["conv_first", *dense, "conv_body", *ups, "conv_hr", "conv_last"]


def _compact_names(weighted: Sequence[Layer]) -> list[str]:
    """Return the names of a Compact: convolutions have even numbers, a PReLU the odd number after its
    convolution."""
    names: list[str] = []
    convolutions = 0
    for layer in weighted:
        convolutions += layer.kind == "Convolution"
        names.append(f"body.{2 * convolutions - (2 if layer.kind == 'Convolution' else 1)}")
    return names


def _check_same(
    found: Recognised, graph: Sequence[Layer], tensors: dict[int, list[Tensor]], path: Path
) -> None:
    """Check on a random image that the recognised network computes the same as the graph."""
    x = torch.rand(1, 3, *_TEST_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.device("meta"):
        network = found.family.build(found.config).eval()
    with torch.inference_mode():
        expected = evaluate(graph, tensors, x, path)
        result = functional_call(network, found.state, (x,), strict=True)
    if result.shape != expected.shape:
        shapes = f"{tuple(expected.shape[2:])}, not {tuple(result.shape[2:])}"
        raise ModelError(f"{path}: makes images of {shapes}; it is an unknown variant of {found.family.name}")
    difference = (result - expected).abs().max() / expected.abs().max().clamp_min(1e-6)
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"{path}: computes something else than {found.family.name} (differs by {float(difference):.2g} "
            f"of the largest value, more than {_TOLERANCE:g} is not rounding); it is an unknown variant"
        )
