"""The input layer: float32 samples as two bfloat16 numbers each.

A pixel of up to four channels is 16 bytes: its coarse parts, then what they lack. Pictures of more channels,
which are rare and small, are left to torch.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels.amx.emit import WORDS, Code
from vsr.kernels.llvm import I64, LANES, POINTER, Library, number

_WORDS = 4
"""Of a pixel, 32 bits each: coarse 0 and 1, coarse 2 and 3, fine 0 and 1, fine 2 and 3."""


def split(image: Tensor, entry: Tensor) -> None:
    """Fill `entry`.

    Args:
        image: `(channels, H, W)`, float32, contiguous, 16 pixels wide at least.
        entry: `(H, W, C)`, bfloat16, zeros, pixels without a gap: coarse parts from channel 0, fine ones
            from C / 2 on.
    """
    channels, height, width = image.shape
    if channels > _WORDS or entry.shape[2] != 2 * _WORDS:
        _by_torch(image, entry)
        return
    line = entry.stride(0) * entry.itemsize
    _compiled(channels).function("split", 5)(image.data_ptr(), width, height, entry.data_ptr(), line)


def _by_torch(image: Tensor, entry: Tensor) -> None:
    pixels = entry.permute(2, 0, 1)
    coarse = image.to(torch.bfloat16)
    pixels[: len(image)] = coarse
    pixels[entry.shape[2] // 2 :][: len(image)] = image - coarse


@cache
def _compiled(channels: int) -> Library:
    module = ir.Module()
    _emit(module, channels)
    return Library(module)


def _emit(module: Any, channels: int) -> None:
    """Append `split(image, width, height, entry, bytes from row to row of it)` to a module."""
    code = Code(module, "split", (POINTER, I64, I64, POINTER, I64))
    image, width, height, entry, line = code.arguments
    row_bytes = code.ir.mul(width, number(4))
    plane = code.ir.mul(row_bytes, height)
    with code.repeat(0, height) as y, code.over_row(width) as x:
        source = code.at(image, code.ir.add(code.ir.mul(y.index, row_bytes), code.ir.mul(x, number(4))))
        parts = [_parts(code, code.at(source, code.ir.mul(plane, number(n)))) for n in range(channels)]
        coarse, fine = ([part[n] for part in parts] for n in range(2))
        words = [*_paired(code, coarse), *_paired(code, fine)]
        target = code.at(entry, code.ir.add(code.ir.mul(y.index, line), code.ir.mul(x, number(4 * _WORDS))))
        _store_pixels(code, words, target)
    code.ir.ret_void()


def _parts(code: Code, source: Any) -> tuple[Any, Any]:
    """16 samples as two bfloat16 each, in the lower halves of words."""
    value = code.ir.load(source, typ=ir.VectorType(ir.FloatType(), LANES), align=4)
    coarse, back = code.to_words(value)
    fine, _ = code.to_words(code.ir.fsub(value, back))
    return coarse, fine


def _paired(code: Code, channels: list[Any]) -> list[Any]:
    """Up to four channels in words of two."""
    full = channels + [ir.Constant(WORDS, [0] * LANES)] * (_WORDS - len(channels))
    return [code.ir.or_(full[n], code.upper(full[n + 1])) for n in (0, 2)]


def _store_pixels(code: Code, words: list[Any], target: Any) -> None:
    """Turn four vectors of 16 words into 16 pixels of four."""
    low, high = (_joined(code, words[n], words[n + 1]) for n in (0, 2))
    pixels = LANES // _WORDS
    for n in range(_WORDS):
        places = range(n * pixels, (n + 1) * pixels)
        order = [i for p in places for i in (p, p + LANES, p + 2 * LANES, p + 3 * LANES)]
        picked = code.ir.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))
        code.ir.store(picked, code.at(target, 4 * LANES * n), align=4)


def _joined(code: Code, one: Any, other: Any) -> Any:
    order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * LANES), list(range(2 * LANES)))
    return code.ir.shuffle_vector(one, other, order)
