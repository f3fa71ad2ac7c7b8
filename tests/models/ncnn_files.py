"""Writes small generators in the format of ncnn (.param and .bin), in the two styles of converters: one
operation per layer, or fused by ncnn's optimizer."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np
from torch import Tensor

FP16 = 0x01306B47


class NcnnNet:
    """A graph under construction: a line for each layer, and its numbers."""

    def __init__(self, *, merged: bool, half: bool) -> None:
        self.merged = merged
        self._half = half
        self._lines: list[tuple[str, list[str], str, str]] = []
        self._data: list[bytes] = []

    def add(self, kind: str, inputs: list[str], settings: str = "") -> str:
        """Append a layer and return the name of its result."""
        self._lines.append((kind, inputs, f"b{len(self._lines)}", settings))
        return self._lines[-1][2]

    def conv(self, x: str, weight: Tensor, bias: Tensor, slope: float | None = None) -> str:
        merged = f" 9=2 -23310=1,{slope:e}" if slope is not None and self.merged else ""
        sides = "" if self.merged else " 11=3 2=1 12=1 3=1 13=1 14=1 15=1 16=1"
        x = self.add("Convolution", [x], f"0={len(weight)} 1=3{sides} 4=1 5=1 6={weight.numel()}{merged}")
        numbers = weight.numpy()
        if self._half:
            data = numbers.astype("<f2").tobytes()
            self._data.append(struct.pack("<I", FP16) + data + b"\0" * (-len(data) % 4))
        else:
            self._data.append(struct.pack("<I", 0) + numbers.astype("<f4").tobytes())
        self._data.append(bias.numpy().astype("<f4").tobytes())
        return x if slope is None or self.merged else self.add("ReLU", [x], f"0={slope:e}")

    def prelu(self, x: str, slopes: Tensor) -> str:
        self._data.append(slopes.numpy().astype(np.float32).tobytes())
        return self.add("PReLU", [x], f"0={len(slopes)}")

    def residual(self, x: str, skip: str) -> str:
        """`0.2 * x + skip`."""
        if self.merged:
            return self.add("Eltwise", [x, skip], "0=1 -23301=2,2.0e-01,1.0e+00")
        return self.add("BinaryOp", [self.add("BinaryOp", [x], "0=2 1=1 2=2.0e-01"), skip], "0=0")

    def write(self, stem: Path) -> tuple[Path, Path]:
        """Write both files, with a Split layer before results that are read more than once, as in ncnn."""
        readers = Counter(name for _, inputs, _, _ in self._lines for name in inputs)
        used: Counter[str] = Counter()
        rows = []
        for kind, inputs, output, settings in self._lines:
            names = [f"{name}_{used[name]}" if readers[name] > 1 else name for name in inputs]
            for at, name in enumerate(inputs):
                names[at] = f"{name}_{used[name]}" if readers[name] > 1 else name
                used[name] += 1
            rows.append(f"{kind} {output} {len(names)} 1 {' '.join([*names, output])} {settings}")
            if readers[output] > 1:
                parts = " ".join(f"{output}_{i}" for i in range(readers[output]))
                rows.append(f"Split s{output} 1 {readers[output]} {output} {parts}")
        text = "\n".join(["7767517", f"{len(rows)} {2 * len(rows)}", *rows, ""])
        paths = stem.with_suffix(".param"), stem.with_suffix(".bin")
        paths[0].write_text(text)
        paths[1].write_bytes(b"".join(self._data))
        return paths


def compact(state: dict[str, Tensor], scale: int, *, merged: bool, half: bool, slope: float = 0.0) -> NcnnNet:
    """Build a Compact network; without PReLU its activations are leaky ReLUs with `slope`."""
    net = NcnnNet(merged=merged, half=half)
    data = net.add("Input", [])
    last = max(int(key.split(".")[1]) for key in state)
    x = data
    for number in range(0, last + 1, 2):
        prelu = state.get(f"body.{number + 1}.weight")
        plain = None if prelu is not None or number == last else slope
        x = net.conv(x, state[f"body.{number}.weight"], state[f"body.{number}.bias"], plain)
        if prelu is not None:
            x = net.prelu(x, prelu)
    x = net.add("PixelShuffle", [x], f"0={scale}")
    below = net.add("Interp", [data], f"0=1 1={scale}.0e+00 2={scale}.0e+00")
    net.add("BinaryOp", [x, below], "0=0")
    return net


def rrdb(
    state: dict[str, Tensor], unshuffle: int, *, merged: bool, half: bool, slope: float = 0.2
) -> NcnnNet:
    """Build an RRDB network that enlarges by the nearest neighbour."""
    net = NcnnNet(merged=merged, half=half)

    def conv(x: str, name: str, slope: float | None = None) -> str:
        return net.conv(x, state[f"{name}.weight"], state[f"{name}.bias"], slope)

    def dense(x: str, name: str) -> str:
        seen = [x]
        for number in range(1, 5):
            joined = net.add("Concat", list(seen), "0=0") if number > 1 else x
            seen.append(conv(joined, f"{name}.conv{number}", slope))
        return net.residual(conv(net.add("Concat", seen), f"{name}.conv5"), x)

    x = net.add("Input", [])
    if unshuffle > 1:
        x = net.add("Reorg", [x], f"0={unshuffle}")
    first = x = conv(x, "conv_first")
    for block in range(len({key.split(".")[1] for key in state if key.startswith("body.")})):
        before = x
        for number in (1, 2, 3):
            x = dense(x, f"body.{block}.rdb{number}")
        x = net.residual(x, before)
    x = net.add("BinaryOp", [first, conv(x, "conv_body")])
    for number in range(1, 1 + sum(key.startswith("conv_up") for key in state) // 2):
        x = conv(net.add("Interp", [x], "0=1 1=2.0e+00 2=2.0e+00"), f"conv_up{number}", slope)
    conv(conv(x, "conv_hr", slope), "conv_last")
    return net
