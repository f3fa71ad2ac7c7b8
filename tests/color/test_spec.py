"""Unspecified tags are guessed as players do, with a sentence about the rule; other tags are kept."""

from __future__ import annotations

import pytest

from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer

YUV = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))
YUV10 = PixelLayout(family="yuv", bit_depth=10, chroma_shift=(1, 1))
RGB = PixelLayout(family="rgb", bit_depth=8)
GRAY = PixelLayout(family="gray", bit_depth=8)


def guess(spec=None, *, size=(1920, 1080), layout=YUV, codec="h264"):
    width, height = size
    return (spec or ColorSpec()).guess_for(width=width, height=height, layout=layout, codec=codec)[0]


SIZES = {
    "1080p": ((1920, 1080), Matrix.BT709, Primaries.BT709),
    "1080p cropped to cinema": ((1920, 800), Matrix.BT709, Primaries.BT709),
    "720p cropped to cinema": ((1280, 536), Matrix.BT709, Primaries.BT709),
    "4K is not BT.2020 by itself": ((3840, 2160), Matrix.BT709, Primaries.BT709),
    "telephone, portrait": ((720, 1280), Matrix.BT709, Primaries.BT709),
    "telephone, small portrait": ((576, 1024), Matrix.BT709, Primaries.BT709),
    "PAL DVD": ((720, 576), Matrix.BT470BG, Primaries.BT470BG),
    "PAL, square pixels": ((1024, 576), Matrix.BT470BG, Primaries.BT470BG),
    "PAL VCD": ((352, 288), Matrix.BT470BG, Primaries.BT470BG),
    "NTSC DVD": ((720, 480), Matrix.SMPTE170M, Primaries.SMPTE170M),
    "NTSC D1": ((720, 486), Matrix.SMPTE170M, Primaries.SMPTE170M),
    "DVD cropped to cinema": ((720, 304), Matrix.SMPTE170M, Primaries.BT709),
    "web video": ((640, 360), Matrix.SMPTE170M, Primaries.BT709),
}


@pytest.mark.parametrize("name", SIZES)
def test_tags_of_untagged_video_follow_its_size(name):
    size, matrix, primaries = SIZES[name]
    spec = guess(size=size)
    assert (spec.matrix, spec.primaries) == (matrix, primaries)
    assert (spec.range, spec.chroma_location) == (Range.LIMITED, ChromaLocation.LEFT)


def test_without_a_width_the_height_alone_decides():
    assert ColorSpec().guess_for(height=536, layout=YUV)[0].matrix is Matrix.SMPTE170M
    assert ColorSpec().guess_for(height=577, layout=YUV)[0].matrix is Matrix.BT709


@pytest.mark.parametrize("layout", [YUV, YUV10, RGB, GRAY])
@pytest.mark.parametrize("codec", ["", "h264", "mjpeg", "ffv1"])
def test_nothing_stays_unspecified_and_each_guess_has_a_sentence(layout, codec):
    spec, sentences = ColorSpec().guess_for(height=480, layout=layout, codec=codec)
    tags = ("matrix", "transfer", "primaries", "range", "chroma_location")
    for name in tags:
        value = getattr(spec, name).name
        assert value != "UNSPECIFIED"
        assert any(line.startswith(f"{name} is not tagged; assumed to be {value} (") for line in sentences)
    assert len(sentences) == len(tags)


def test_specified_tags_are_kept_without_a_sentence():
    spec = ColorSpec(
        matrix=Matrix.SMPTE240M,
        transfer=Transfer.GAMMA22,
        primaries=Primaries.FILM,
        range=Range.FULL,
        chroma_location=ChromaLocation.TOP,
    )
    assert spec.guess_for(height=1080, width=1920, layout=YUV) == (spec, [])


@pytest.mark.parametrize(
    "tagged",
    [
        ColorSpec(transfer=Transfer.PQ),
        ColorSpec(transfer=Transfer.HLG),
        ColorSpec(primaries=Primaries.BT2020),
        ColorSpec(matrix=Matrix.BT2020_NCL),
    ],
)
def test_one_tag_of_bt2020_implies_the_others(tagged):
    spec = guess(tagged, layout=YUV10)
    assert (spec.matrix, spec.primaries) == (Matrix.BT2020_NCL, Primaries.BT2020)
    known = tagged.transfer is not Transfer.UNSPECIFIED
    assert spec.transfer is (tagged.transfer if known else Transfer.BT2020_10)


def test_jpeg_is_full_range_601_and_centred_whatever_its_size():
    spec = guess(codec="mjpeg")
    assert (spec.matrix, spec.range) == (Matrix.BT470BG, Range.FULL)
    assert spec.chroma_location is ChromaLocation.CENTER
    assert spec.primaries is Primaries.BT709


def test_avif_is_601_and_centred_whatever_its_size():
    spec = guess(codec="avif", size=(4000, 3000))
    assert (spec.matrix, spec.chroma_location) == (Matrix.BT470BG, ChromaLocation.CENTER)


@pytest.mark.parametrize("layout", [RGB, GRAY])
def test_rgb_and_grey_are_full_range(layout):
    assert guess(layout=layout).range is Range.FULL


def test_rgb_is_srgb():
    spec = guess(layout=RGB)
    assert (spec.matrix, spec.primaries, spec.transfer) == (Matrix.RGB, Primaries.BT709, Transfer.SRGB)


def test_primaries_follow_a_tagged_matrix_unless_the_size_contradicts_it():
    assert guess(ColorSpec(matrix=Matrix.BT470BG), size=(720, 304)).primaries is Primaries.BT470BG
    assert guess(ColorSpec(matrix=Matrix.BT470BG)).primaries is Primaries.BT709
    assert guess(ColorSpec(matrix=Matrix.BT709), size=(720, 576)).primaries is Primaries.BT709
    assert guess(ColorSpec(matrix=Matrix.SMPTE240M)).transfer is Transfer.SMPTE240M


def test_a_tag_of_rgb_on_ycbcr_samples_is_replaced_with_a_sentence():
    tagged = ColorSpec(matrix=Matrix.RGB, range=Range.FULL)
    spec, sentences = tagged.guess_for(height=1080, width=1920, layout=YUV)
    assert spec.matrix is Matrix.BT709
    assert spec.range is Range.FULL
    assert any(
        line.startswith("matrix is tagged RGB, which is impossible; assumed to be BT709")
        for line in sentences
    )
    assert guess(tagged, layout=RGB).matrix is Matrix.RGB


def test_tags_are_made_from_numbers_and_reserved_numbers_are_unspecified():
    tags = ColorSpec.from_numbers(matrix=9, transfer=16, primaries=9, range=1, chroma_location=3)
    assert tags == ColorSpec(
        matrix=Matrix.BT2020_NCL,
        transfer=Transfer.PQ,
        primaries=Primaries.BT2020,
        range=Range.LIMITED,
        chroma_location=ChromaLocation.TOPLEFT,
    )
    reserved = ColorSpec.from_numbers(matrix=3, transfer=0, primaries=99, range=-1, chroma_location=7)
    assert reserved == ColorSpec.from_numbers() == ColorSpec()
