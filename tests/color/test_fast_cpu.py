"""Emitted code converts to the same bits as torch, for every format, size and memory layout it supports."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from vsr.color import convert, fast_cpu
from vsr.color.chroma import chroma_size
from vsr.color.codes import LUMA_WEIGHTS
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Range

pytestmark = pytest.mark.skipif(not fast_cpu.available(), reason="needs llvmlite and a CPU with FMA")

SHIFTS = [(0, 0), (1, 0), (1, 1), (0, 1)]
SIZES = [(1, 33), (2, 64), (3, 31), (7, 47), (18, 100)]
"""Sizes with whole and partial blocks, odd rows and columns, the narrowest width, and a single row."""


def color_tags():
    for matrix, range_ in product(LUMA_WEIGHTS, (Range.LIMITED, Range.FULL)):
        yield matrix, range_, ChromaLocation.LEFT
    yield Matrix.BT709, Range.LIMITED, ChromaLocation.CENTER


def color_and_layout(
    matrix=Matrix.BT709, range_=Range.LIMITED, location=ChromaLocation.LEFT, depth=8, shift=(1, 1)
):
    color = ColorSpec(matrix=matrix, range=range_, chroma_location=location)
    return color, PixelLayout(family="yuv", bit_depth=depth, chroma_shift=shift)


def random_planes(height, width, layout):
    small = chroma_size(height, width, layout.chroma_shift)
    dtype = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    generator = torch.Generator().manual_seed(height * width)
    codes = 1 << layout.bit_depth
    return tuple(
        torch.randint(0, codes, size, generator=generator).to(dtype)
        for size in ((height, width), small, small)
    )


def by_torch(monkeypatch):
    monkeypatch.setattr(fast_cpu, "can_convert", lambda *_: False)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_both_directions_equal_torch_to_the_bit(depth, shift, monkeypatch):
    cases = [(color_and_layout(*form, depth, shift), size) for form, size in product(color_tags(), SIZES)]
    images = [
        torch.rand(3, *size, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1 for _, size in cases
    ]
    planes = [random_planes(*size, layout) for (_, layout), size in cases]
    assert all(fast_cpu.can_convert(p[0], *fmt) for p, (fmt, _) in zip(planes, cases, strict=True))
    ours = [convert.to_rgb(p, *fmt) for p, (fmt, _) in zip(planes, cases, strict=True)]
    codes = [convert.to_planes(image, *fmt) for image, (fmt, _) in zip(images, cases, strict=True)]
    by_torch(monkeypatch)
    for (fmt, size), p, image, rgb, back in zip(cases, planes, images, ours, codes, strict=True):
        assert torch.equal(convert.to_rgb(p, *fmt), rgb), (fmt, size)
        for ours_, theirs in zip(back, convert.to_planes(image, *fmt), strict=True):
            assert torch.equal(ours_, theirs), (fmt, size)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_round_trip_returns_every_code(shift):
    for (matrix, range_, location), depth in product(color_tags(), (8, 12, 16)):
        fmt = color_and_layout(matrix, range_, location, depth, shift)
        for size in SIZES:
            planes = random_planes(*size, fmt[1])
            returned = convert.to_planes(convert.to_rgb(planes, *fmt), *fmt)
            assert all(map(torch.equal, planes, returned)), (fmt, size)


def test_padded_rows_and_strided_channels_are_read_correctly():
    fmt = color_and_layout()
    planes = random_planes(20, 64, fmt[1])
    padded = tuple(torch.nn.functional.pad(plane, (0, 13))[:, : plane.shape[1]] for plane in planes)
    image = convert.to_rgb(planes, *fmt)
    assert torch.equal(convert.to_rgb(padded, *fmt), image)
    apart = torch.zeros(3, 25, 80)
    apart[:, 2:22, 5:69] = image
    assert all(map(torch.equal, convert.to_planes(apart[:, 2:22, 5:69], *fmt), planes))


def test_chroma_with_strided_samples_is_read_correctly():
    """Views of a semi-planar image are copied; a copy that is freed too early would be overwritten."""
    fmt = color_and_layout()
    for _ in range(10):
        luma = torch.randint(0, 256, (270, 480), dtype=torch.uint8)
        mixed = torch.randint(0, 256, (135, 240, 2), dtype=torch.uint8)
        cb, cr = mixed[..., 0], mixed[..., 1]
        image = convert.to_rgb((luma, cb.contiguous(), cr.contiguous()), *fmt)
        assert torch.equal(convert.to_rgb((luma, cb, cr), *fmt), image)


def test_nothing_is_written_outside_the_planes():
    fmt = color_and_layout()
    image = torch.rand(3, 21, 67)
    memory = [
        torch.full((side + 2, width), 99, dtype=torch.uint8) for side, width in ((21, 67), (11, 34), (11, 34))
    ]
    fast_cpu.to_planes(image, tuple(m[1:-1] for m in memory), *fmt)
    for kept, plane in zip(memory, convert.to_planes(image, *fmt), strict=True):
        assert (kept[0] == 99).all()
        assert (kept[-1] == 99).all()
        assert torch.equal(kept[1:-1], plane)


@pytest.mark.parametrize(
    ("shift", "location", "width"),
    [
        ((1, 1), ChromaLocation.TOPLEFT, 64),  # rows of chroma on rows of luma
        ((2, 0), ChromaLocation.LEFT, 64),
        ((1, 1), ChromaLocation.LEFT, 30),  # narrower than a block
    ],
)
def test_unsupported_formats_are_converted_by_torch(shift, location, width):
    fmt = color_and_layout(location=location, shift=shift)
    planes = random_planes(8, width, fmt[1])
    assert not fast_cpu.can_convert(planes[0], *fmt)
    returned = convert.to_planes(convert.to_rgb(planes, *fmt), *fmt)
    assert all(map(torch.equal, planes, returned))


def test_nan_becomes_some_code_and_changes_no_other_sample():
    fmt = color_and_layout(shift=(0, 0))
    image = torch.full((3, 4, 40), 0.5)
    image[:, 2, 7] = torch.nan
    luma, *_ = convert.to_planes(image, *fmt)
    assert (luma == luma[0, 0]).sum() == luma.numel() - 1


def test_code_is_emitted_once_for_each_format():
    fmt = color_and_layout(Matrix.FCC)
    planes = random_planes(20, 64, fmt[1])
    fast_cpu._compiled.cache_clear()
    for _ in range(3):
        convert.to_planes(convert.to_rgb(planes, *fmt), *fmt)
    assert fast_cpu._compiled.cache_info().misses == 2
