"""Claims: emitted code converts to the same bits as torch, for every form, size and memory that it takes."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from vsr.color import convert, fast_cpu
from vsr.color.chroma import chroma_size
from vsr.color.codes import LUMA_WEIGHTS
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Range

pytestmark = pytest.mark.skipif(not fast_cpu.available(), reason="needs llvmlite and a processor with FMA")

SHIFTS = [(0, 0), (1, 0), (1, 1), (0, 1)]
SIZES = [(1, 33), (2, 64), (3, 31), (7, 47), (18, 100)]
"""Whole blocks, parts of them, odd rows and columns, the narrowest, and a single row."""


def forms():
    for matrix, range_ in product(LUMA_WEIGHTS, (Range.LIMITED, Range.FULL)):
        yield matrix, range_, ChromaLocation.LEFT
    yield Matrix.BT709, Range.LIMITED, ChromaLocation.CENTER


def wished(matrix=Matrix.BT709, range_=Range.LIMITED, location=ChromaLocation.LEFT, depth=8, shift=(1, 1)):
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
def test_both_directions_are_torchs_bit_for_bit(depth, shift, monkeypatch):
    cases = [(wished(*form, depth, shift), size) for form, size in product(forms(), SIZES)]
    pictures = [
        torch.rand(3, *size, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1 for _, size in cases
    ]
    planes = [random_planes(*size, layout) for (_, layout), size in cases]
    assert all(fast_cpu.can_convert(p[0], *wish) for p, (wish, _) in zip(planes, cases, strict=True))
    ours = [convert.to_rgb(p, *wish) for p, (wish, _) in zip(planes, cases, strict=True)]
    codes = [convert.to_planes(image, *wish) for image, (wish, _) in zip(pictures, cases, strict=True)]
    by_torch(monkeypatch)
    for (wish, size), p, image, rgb, back in zip(cases, planes, pictures, ours, codes, strict=True):
        assert torch.equal(convert.to_rgb(p, *wish), rgb), (wish, size)
        for ours_, theirs in zip(back, convert.to_planes(image, *wish), strict=True):
            assert torch.equal(ours_, theirs), (wish, size)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_round_trip_returns_every_code(shift):
    for (matrix, range_, location), depth in product(forms(), (8, 12, 16)):
        wish = wished(matrix, range_, location, depth, shift)
        for size in SIZES:
            planes = random_planes(*size, wish[1])
            returned = convert.to_planes(convert.to_rgb(planes, *wish), *wish)
            assert all(map(torch.equal, planes, returned)), (wish, size)


def test_rows_with_padding_and_channels_apart_are_read_where_they_lie():
    wish = wished()
    planes = random_planes(20, 64, wish[1])
    padded = tuple(torch.nn.functional.pad(plane, (0, 13))[:, : plane.shape[1]] for plane in planes)
    image = convert.to_rgb(planes, *wish)
    assert torch.equal(convert.to_rgb(padded, *wish), image)
    apart = torch.zeros(3, 25, 80)
    apart[:, 2:22, 5:69] = image
    assert all(map(torch.equal, convert.to_planes(apart[:, 2:22, 5:69], *wish), planes))


def test_chroma_whose_samples_lie_apart_is_read_right():
    """Views of a semi-planar picture; a copy that was let go too early was another picture's by then."""
    wish = wished()
    for _ in range(10):
        luma = torch.randint(0, 256, (270, 480), dtype=torch.uint8)
        mixed = torch.randint(0, 256, (135, 240, 2), dtype=torch.uint8)
        cb, cr = mixed[..., 0], mixed[..., 1]
        image = convert.to_rgb((luma, cb.contiguous(), cr.contiguous()), *wish)
        assert torch.equal(convert.to_rgb((luma, cb, cr), *wish), image)


def test_nothing_is_written_beside_the_planes():
    wish = wished()
    image = torch.rand(3, 21, 67)
    memory = [
        torch.full((side + 2, width), 99, dtype=torch.uint8) for side, width in ((21, 67), (11, 34), (11, 34))
    ]
    fast_cpu.to_planes(image, tuple(m[1:-1] for m in memory), *wish)
    for kept, plane in zip(memory, convert.to_planes(image, *wish), strict=True):
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
def test_other_pictures_are_left_to_torch(shift, location, width):
    wish = wished(location=location, shift=shift)
    planes = random_planes(8, width, wish[1])
    assert not fast_cpu.can_convert(planes[0], *wish)
    returned = convert.to_planes(convert.to_rgb(planes, *wish), *wish)
    assert all(map(torch.equal, planes, returned))


def test_what_is_not_a_number_becomes_a_code_and_nothing_else_changes():
    wish = wished(shift=(0, 0))
    image = torch.full((3, 4, 40), 0.5)
    image[:, 2, 7] = torch.nan
    luma, *_ = convert.to_planes(image, *wish)
    assert (luma == luma[0, 0]).sum() == luma.numel() - 1


def test_code_is_emitted_once_for_a_form():
    wish = wished(Matrix.FCC)
    planes = random_planes(20, 64, wish[1])
    fast_cpu._compiled.cache_clear()
    for _ in range(3):
        convert.to_planes(convert.to_rgb(planes, *wish), *wish)
    assert fast_cpu._compiled.cache_info().misses == 2
