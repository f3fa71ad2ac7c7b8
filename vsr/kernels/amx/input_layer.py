"""The input layer: each float32 sample of the image becomes two bfloat16 numbers.

A pixel of up to four channels takes 16 bytes: its samples rounded to bfloat16 (the coarse parts), then the
rounding errors (the fine parts). Images of more channels are rare and small; torch converts them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels.amx.emit import WORDS, Code
from vsr.kernels.llvm import I64, LANES, POINTER, Library, int64

_WORDS = 4
"""32-bit words of a pixel: coarse 0 and 1, coarse 2 and 3, fine 0 and 1, fine 2 and 3."""


def split(image: Tensor, pixels: Tensor) -> None:
    """Fill `pixels` with the two parts of each sample.

    Args:
        image: `(channels, H, W)`, float32, contiguous, at least 16 pixels wide.
        pixels: `(H, W, C)`, bfloat16, initially zero, no gap between the pixels of a row: the coarse parts
            begin at channel 0, the fine parts at C / 2.
    """
    channels, height, width = image.shape
    if channels > _WORDS or pixels.shape[2] != 2 * _WORDS:
        _by_torch(image, pixels)
        return
    line = pixels.stride(0) * pixels.itemsize
    _compiled(channels).function("split", 5)(image.data_ptr(), width, height, pixels.data_ptr(), line)


def _by_torch(image: Tensor, pixels: Tensor) -> None:
    planes = pixels.permute(2, 0, 1)
    coarse = image.to(torch.bfloat16)
    planes[: len(image)] = coarse
    planes[pixels.shape[2] // 2 :][: len(image)] = image - coarse


@cache
def _compiled(channels: int) -> Library:
    module = ir.Module()
    _emit(module, channels)
    return Library(module)


def _emit(module: Any, channels: int) -> None:
    """Append `split(image, width, height, pixels, bytes of a row of pixels)` to a module."""
    code = Code(module, "split", (POINTER, I64, I64, POINTER, I64))
    image, width, height, pixels, line = code.arguments
    row_bytes = code.ir.mul(width, int64(4))
    plane = code.ir.mul(row_bytes, height)
    with code.repeat(0, height) as y, code.over_row(width) as x:
        source = code.offset(image, code.ir.add(code.ir.mul(y.index, row_bytes), code.ir.mul(x, int64(4))))
        samples = [
            _split_samples(code, code.offset(source, code.ir.mul(plane, int64(n)))) for n in range(channels)
        ]
        coarse, fine = ([sample[n] for sample in samples] for n in range(2))
        words = [*_paired(code, coarse), *_paired(code, fine)]
        byte = code.ir.add(code.ir.mul(y.index, line), code.ir.mul(x, int64(4 * _WORDS)))
        _store_pixels(code, words, code.offset(pixels, byte))
    code.ir.ret_void()


def _split_samples(code: Code, source: Any) -> tuple[Any, Any]:
    """Return the coarse and the fine parts of 16 samples, in the lower halves of words."""
    value = code.ir.load(source, typ=ir.VectorType(ir.FloatType(), LANES), align=4)
    coarse, back = code.to_words(value)
    fine, _ = code.to_words(code.ir.fsub(value, back))
    return coarse, fine


def _paired(code: Code, channels: list[Any]) -> list[Any]:
    """Put the numbers of up to four channels into words, two in each."""
    full = channels + [ir.Constant(WORDS, [0] * LANES)] * (_WORDS - len(channels))
    return [code.ir.or_(full[n], code.upper(full[n + 1])) for n in (0, 2)]


def _store_pixels(code: Code, words: list[Any], target: Any) -> None:
    """Transpose four vectors of 16 words to 16 pixels of four words, and store them."""
    low, high = (_concatenated(code, words[n], words[n + 1]) for n in (0, 2))
    pixels = LANES // _WORDS
    for n in range(_WORDS):
        places = range(n * pixels, (n + 1) * pixels)
        order = [i for p in places for i in (p, p + LANES, p + 2 * LANES, p + 3 * LANES)]
        picked = code.ir.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))
        code.ir.store(picked, code.offset(target, 4 * LANES * n), align=4)


def _concatenated(code: Code, one: Any, other: Any) -> Any:
    order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * LANES), list(range(2 * LANES)))
    return code.ir.shuffle_vector(one, other, order)
