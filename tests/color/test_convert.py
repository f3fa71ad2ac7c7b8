"""Conversion gives the codes of H.273 and FFmpeg's images, and a round trip returns every code."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tests.color.swscale import NAMES, RANGES, SITE_OF, swscale
from vsr.color import convert
from vsr.color.chroma import SITES, chroma_size
from vsr.color.codes import LUMA_WEIGHTS
from vsr.color.convert import alpha_to_float, alpha_to_plane, to_planes, to_rgb
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Range
from vsr.errors import InputError

SUBSAMPLINGS = {"4:4:4": (0, 0), "4:2:2": (1, 0), "4:2:0": (1, 1), "4:1:1": (2, 0), "4:4:0": (0, 1)}
RGB_FULL = ColorSpec(matrix=Matrix.RGB, range=Range.FULL)


def spec(matrix=Matrix.BT709, range_=Range.LIMITED, location=ChromaLocation.LEFT):
    return ColorSpec(matrix=matrix, range=range_, chroma_location=location)


def layout_of(depth=8, shift=(0, 0), family="yuv"):
    return PixelLayout(family=family, bit_depth=depth, chroma_shift=shift)


def random_planes(height, width, layout):
    """Return planes of random codes, including codes outside the nominal range and impossible colours."""
    sizes = [(height, width)] + [chroma_size(height, width, layout.chroma_shift)] * 2
    dtype = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    generator = torch.Generator().manual_seed(height * width + layout.bit_depth)
    count = 1 if layout.family == "gray" else 3
    limit = 1 << layout.bit_depth
    return tuple(torch.randint(0, limit, size, generator=generator).to(dtype) for size in sizes[:count])


def largest_difference(ours, theirs, *, margin=0):
    inner = slice(margin, -margin or None)
    return [(a.int() - b.int())[inner, inner].abs().max().item() for a, b in zip(ours, theirs, strict=True)]


# Computed by hand with H.273 section 8.3. Red in BT.709, limited, 8 bits: Y = 16 + 219 * 0.2126 = 62.6,
# Cb = 128 + 224 * (0 - 0.2126) / 1.8556 = 102.3, Cr = 128 + 224 * 0.5 = 240. Full range: Cr = 128 + 127.5 is
# one code too much and clipped.
BY_HAND = [
    (Matrix.BT709, Range.LIMITED, 8, (1, 1, 1), (235, 128, 128)),
    (Matrix.BT709, Range.LIMITED, 8, (0, 0, 0), (16, 128, 128)),
    (Matrix.BT709, Range.LIMITED, 8, (1, 0, 0), (63, 102, 240)),
    (Matrix.BT709, Range.LIMITED, 8, (0, 1, 0), (173, 42, 26)),
    (Matrix.BT709, Range.LIMITED, 8, (0, 0, 1), (32, 240, 118)),
    (Matrix.SMPTE170M, Range.LIMITED, 8, (1, 0, 0), (81, 90, 240)),
    (Matrix.BT470BG, Range.LIMITED, 8, (0, 1, 0), (145, 54, 34)),
    (Matrix.SMPTE170M, Range.LIMITED, 8, (0, 0, 1), (41, 240, 110)),
    (Matrix.SMPTE170M, Range.FULL, 8, (1, 0, 0), (76, 85, 255)),
    (Matrix.SMPTE170M, Range.FULL, 8, (1, 1, 1), (255, 128, 128)),
    (Matrix.BT2020_NCL, Range.LIMITED, 10, (1, 1, 1), (940, 512, 512)),
    (Matrix.BT2020_NCL, Range.LIMITED, 10, (1, 0, 0), (294, 387, 960)),
    (Matrix.BT2020_NCL, Range.LIMITED, 10, (0, 0, 0), (64, 512, 512)),
    (Matrix.BT709, Range.FULL, 10, (1, 1, 1), (1023, 512, 512)),
    (Matrix.BT709, Range.LIMITED, 16, (1, 1, 1), (60160, 32768, 32768)),
]


@pytest.mark.parametrize(("matrix", "range_", "depth", "rgb", "codes"), BY_HAND)
def test_colours_have_the_codes_of_h273(matrix, range_, depth, rgb, codes):
    image = torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1).expand(3, 4, 4)
    planes = to_planes(image, spec(matrix, range_), layout_of(depth))
    assert tuple(int(plane[0, 0]) for plane in planes) == codes


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_round_trip_returns_every_code(subsampling):
    shift = SUBSAMPLINGS[subsampling]
    for matrix, range_, depth in product(LUMA_WEIGHTS, RANGES, range(8, 17)):
        layout, color = layout_of(depth, shift), spec(matrix, range_)
        planes = random_planes(20, 28, layout)
        returned = to_planes(to_rgb(planes, color, layout), color, layout)
        assert largest_difference(planes, returned) == [0, 0, 0], (matrix, range_, depth)


@pytest.mark.parametrize("location", SITES)
@pytest.mark.parametrize("shift", [(1, 1), (1, 0), (0, 1), (2, 0), (2, 2)])
def test_round_trip_returns_every_code_for_any_siting_and_size(location, shift):
    layout, color = layout_of(10, shift), spec(location=location)
    for height, width in product((1, 2, 3, 4, 5, 7, 10), (1, 2, 3, 5, 8, 11)):
        planes = random_planes(height, width, layout)
        returned = to_planes(to_rgb(planes, color, layout), color, layout)
        assert largest_difference(planes, returned) == [0, 0, 0], (height, width)


@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("family", ["rgb", "gray"])
def test_round_trip_returns_every_code_of_rgb_and_grey(family, range_):
    for depth in range(8, 17):
        layout = layout_of(depth, family=family)
        planes = random_planes(9, 13, layout)
        color = spec(Matrix.RGB, range_)
        returned = to_planes(to_rgb(planes, color, layout), color, layout)
        assert largest_difference(planes, returned) == [0] * len(planes)


@pytest.mark.parametrize("location", SITES)
@pytest.mark.parametrize("shift", [(1, 1), (2, 2), (1, 0)])
def test_bands_give_the_same_codes_as_the_whole_image(location, shift, monkeypatch):
    layout, color = layout_of(12, shift), spec(location=location)
    image = torch.rand(3, 75, 30, generator=torch.Generator().manual_seed(3))
    planes = to_planes(image, color, layout)
    whole = to_rgb(planes, color, layout)
    monkeypatch.setattr(convert, "band_rows", lambda plane: 8)
    assert largest_difference(to_planes(image, color, layout), planes) == [0, 0, 0]
    assert torch.equal(to_rgb(planes, color, layout), whole)


# swscale uses 255 << (n - 8), not 2^n - 1, as white of n-bit R'G'B', except from full-range Y'CbCr.
# Rounding may differ by a code; at 16 bits its coefficients of 14 bits cause errors of a few codes. For
# Y'CbCr of BT.601 it has a table of weights with three decimals, 0.081 for 0.0813: 3.5e-4 of the range.
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_444_equals_ffmpegs_conversion(matrix, range_, depth):
    tolerance = 1 if depth < 16 else 4
    is_601 = matrix in (Matrix.BT470BG, Matrix.SMPTE170M)
    tolerance_601 = 1 + int(3.5e-4 * (1 << depth)) if is_601 else tolerance
    white = (255 << (depth - 8)) / ((1 << depth) - 1)
    suffix = "" if depth == 8 else f"{depth}le"
    color, yuv, rgb = spec(matrix, range_), layout_of(depth), layout_of(depth, family="rgb")
    red, green, blue = random_planes(32, 48, rgb)
    image = to_rgb((red, green, blue), RGB_FULL, rgb)

    planes = swscale(
        (green, blue, red),
        f"gbrp{suffix}",
        f"yuv444p{suffix}",
        in_range="full",
        out_range=RANGES[range_],
        out_color_matrix=NAMES[matrix],
    )
    assert max(largest_difference(to_planes(image / white, color, yuv), planes)) <= tolerance_601

    planes = to_planes(image, color, yuv)  # colours inside the gamut of R'G'B', because swscale clips others
    green, blue, red = swscale(
        planes,
        f"yuv444p{suffix}",
        f"gbrp{suffix}",
        in_range=RANGES[range_],
        out_range="full",
        in_color_matrix=NAMES[matrix],
    )
    ours = to_rgb(planes, color, yuv) * (white if range_ is Range.LIMITED else 1)
    assert max(largest_difference(to_planes(ours, RGB_FULL, rgb), (red, green, blue))) <= tolerance


def smooth_image(height=64, width=96):
    """Return R'G'B' with less than two periods in each direction, for which all filters give the same."""
    y = torch.arange(height).view(-1, 1) / height
    x = torch.arange(width).view(1, -1) / width
    waves = (torch.sin(6 * x + 3 * y), torch.cos(5 * y - 4 * x), torch.sin(7 * x * y + 1))
    return 0.5 + 0.45 * torch.stack(waves)


def chroma_from_ffmpeg(image, depth, location):
    """Return Cb and Cr of 4:2:0 that swscale makes for a siting."""
    rgb = layout_of(depth, family="rgb")
    red, green, blue = to_planes(image, RGB_FULL, rgb)
    suffix = "" if depth == 8 else f"{depth}le"
    horizontal, vertical = SITES[location]
    options = {"in_range": "full", "out_range": "limited", "out_color_matrix": "bt709"}
    options |= {"out_h_chr_pos": SITE_OF[horizontal], "out_v_chr_pos": SITE_OF[vertical]}
    return swscale((green, blue, red), f"gbrp{suffix}", f"yuv420p{suffix}", **options)[1:]


SITED = [location for location, sites in SITES.items() if "last" not in sites]


@pytest.mark.parametrize("location", SITED)
def test_420_equals_ffmpegs_chroma_for_the_same_siting_only(location):
    # Both filters are exact for such smooth images, except for rounding. Excluded at the borders:
    # two chroma samples, because swscale repeats luma and this package mirrors details.
    image = smooth_image()
    ours = to_planes(image, spec(location=location), layout_of(8, (1, 1)))[1:]
    for other in SITED:
        theirs = chroma_from_ffmpeg(image, 8, other)
        worst = max(largest_difference(ours, theirs, margin=2))
        assert worst <= 1 if other is location else worst >= 3, other


@pytest.mark.parametrize("location", SITED)
def test_420_becomes_the_rgb_that_ffmpeg_makes(location):
    # swscale's bicubic filter and this package's differ by a fraction of a chroma code, which R' and B' scale
    # by 1.6 and 1.9, and each rounds once more: 3 codes. A wrong siting differs by 5 or more.
    color, layout = spec(location=location), layout_of(8, (1, 1))
    planes = to_planes(smooth_image(), color, layout)
    ours = to_planes(to_rgb(planes, color, layout), RGB_FULL, layout_of(family="rgb"))
    for other in SITED:
        horizontal, vertical = SITES[other]
        options = {"in_range": "limited", "out_range": "full", "in_color_matrix": "bt709"}
        options |= {"in_h_chr_pos": SITE_OF[horizontal], "in_v_chr_pos": SITE_OF[vertical]}
        green, blue, red = swscale(planes, "yuv420p", "gbrp", **options)
        worst = max(largest_difference(ours, (red, green, blue), margin=4))
        assert worst <= 3 if other is location else worst >= 5, other


def test_headroom_and_footroom_are_kept():
    layout, color = layout_of(), spec()
    luma = torch.arange(256).to(torch.uint8).view(1, -1)
    grey = torch.full_like(luma, 128)
    image = to_rgb((luma, grey, grey), color, layout)
    assert image.min() < -0.07
    assert image.max() > 1.09
    assert torch.equal(to_planes(image, color, layout)[0], luma)


def test_values_beyond_the_largest_code_are_clipped_not_wrapped():
    image = torch.tensor([-9.0, 9.0]).view(1, 1, 2).expand(3, 1, 2)
    for depth, dtype in ((8, torch.uint8), (10, torch.uint16), (16, torch.uint16)):
        planes = to_planes(image, spec(), layout_of(depth))
        assert planes[0].dtype is dtype
        assert planes[0].tolist() == [[0, (1 << depth) - 1]]


def test_grey_becomes_three_equal_channels_and_rgb_becomes_the_luma_of_its_matrix():
    grey = layout_of(family="gray")
    image = to_rgb((torch.tensor([[0, 51, 255]], dtype=torch.uint8),), spec(range_=Range.FULL), grey)
    assert torch.allclose(image, torch.tensor([0, 0.2, 1]).expand(3, 1, 3), atol=1e-6)
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    for matrix, luma in ((Matrix.SMPTE170M, 76), (Matrix.BT709, 54), (Matrix.RGB, 54)):
        assert to_planes(red, spec(matrix, Range.FULL), grey)[0].item() == luma


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_planes_equal_those_of_float32_for_any_dtype_and_memory_format(dtype, memory_format):
    image = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    before = image.to(dtype).contiguous(memory_format=memory_format)[0]
    kept = before.clone()
    layout = layout_of(10, (1, 1))
    expected = to_planes(image[0].float(), spec(), layout)
    assert largest_difference(to_planes(before, spec(), layout), expected) == [0, 0, 0]
    assert torch.equal(before, kept)


@pytest.mark.parametrize("family", ["yuv", "rgb"])
def test_half_precision_results_equal_float32_rounded_once(family):
    layout = layout_of(10, family=family)
    planes = random_planes(16, 16, layout)
    exact = to_rgb(planes, spec(), layout)
    assert torch.equal(to_rgb(planes, spec(), layout, dtype=torch.bfloat16), exact.bfloat16())


@pytest.mark.parametrize("depth", [8, 10, 16])
def test_alpha_is_full_range_and_a_round_trip_returns_it(depth):
    layout = layout_of(depth)
    plane = random_planes(5, 7, layout)[0]
    alpha = alpha_to_float(plane, layout)
    assert alpha.shape == (1, 5, 7)
    assert torch.equal(alpha_to_plane(alpha, layout).int(), plane.int())
    assert alpha_to_plane(torch.ones(1, 1, 1), layout).int().item() == (1 << depth) - 1


@pytest.mark.parametrize("matrix", [Matrix.ICTCP, Matrix.BT2020_CL, Matrix.YCGCO, Matrix.CHROMA_DERIVED_NCL])
def test_an_unsupported_matrix_is_refused_by_name_in_one_line(matrix):
    layout = layout_of()
    with pytest.raises(InputError, match=rf"{matrix.name} cannot .* zscale") as caught:
        to_rgb(random_planes(4, 4, layout), spec(matrix), layout)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=matrix.name):
        to_planes(torch.rand(3, 4, 4), spec(matrix), layout)


@pytest.mark.parametrize("tag", ["matrix", "range", "chroma_location"])
def test_an_incomplete_colour_is_refused_instead_of_guessed(tag):
    tags = {"matrix": Matrix.BT709, "range": Range.LIMITED, "chroma_location": ChromaLocation.LEFT}
    del tags[tag]
    with pytest.raises(ValueError, match=f"{tag} is unspecified"):
        to_planes(torch.rand(3, 4, 4), ColorSpec(**tags), layout_of(8, (1, 1)))


def test_planes_that_do_not_fit_the_layout_are_refused():
    planes = random_planes(4, 4, layout_of())
    with pytest.raises(ValueError, match="do not fit"):
        to_rgb(planes, spec(), layout_of(8, (1, 1)))
    with pytest.raises(ValueError, match="must be"):
        to_planes(torch.rand(1, 4, 4), spec(), layout_of())
