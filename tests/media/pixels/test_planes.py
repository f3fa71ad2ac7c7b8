"""Samples are converted between FFmpeg's frames and torch's tensors without a change."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.media.fake_gpu import semi_planar
from tests.media_maker import picture
from vsr.color.spec import ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.errors import InputError
from vsr.frame import Stamp, YuvFrame
from vsr.media.pixels.layouts import layout_of, planar_format, repacking_note
from vsr.media.pixels.planes import repacked, to_av_frame, to_planes

_PLANAR = """
gray gray9le gray10le gray12le gray14le gray16le ya8 ya16le
yuv410p yuv411p yuv420p yuv422p yuv440p yuv444p yuv420p9le yuv420p10le yuv422p10le yuv440p10le yuv444p10le
yuv420p12le yuv422p12le yuv440p12le yuv444p12le yuv420p14le yuv444p14le yuv420p16le yuv422p16le yuv444p16le
yuva420p yuva422p yuva444p yuva420p10le yuva422p12le yuva444p16le
gbrp gbrp9le gbrp10le gbrp12le gbrp14le gbrp16le gbrap gbrap10le gbrap12le gbrap14le gbrap16le
"""
PLANAR = _PLANAR.split()
REPACKED = {
    "yuv420p": "nv12 nv21",
    "yuv422p": "nv16 yuyv422 uyvy422 yvyu422",
    "yuv444p": "nv24 nv42 vuyx vyu444",
    "yuva444p": "ayuv vuya uyva",
    "yuv420p10le": "p010le p010be yuv420p10be",
    "yuv420p12le": "p012le",
    "yuv420p16le": "p016le p016be yuv420p16be",
    "yuv422p10le": "p210le nv20le nv20be y210le",
    "yuv422p12le": "y212le p212le",
    "yuv422p16le": "y216le p216le yuv422p16be",
    "yuv444p10le": "p410le v30xle xv30le",
    "yuv444p12le": "xv36le xv36be",
    "yuv444p16le": "p416le xv48le",
    "yuva444p16le": "ayuv64le ayuv64be",
    "gbrp": "rgb24 bgr24 rgb0 0bgr",
    "gbrap": "rgba bgra argb abgr",
    "gbrp10le": "x2rgb10le x2bgr10le gbrp10be",
    "gbrp16le": "rgb48le rgb48be bgr48le",
    "gbrap16le": "rgba64le bgra64le rgba64be",
    "gray16le": "gray16be",
    "ya16le": "ya16be",
}
"""Maps a planar format to formats with the same samples."""
PAIRS = [(planar, other) for planar, others in REPACKED.items() for other in others.split()]


def random_frame(pixel_format: str, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pixel_format)
    generator = np.random.default_rng(width * height)
    planes, alpha = to_planes(frame)
    for plane in (*planes, *([alpha] if alpha is not None else [])):
        values = generator.integers(0, 1 << layout_of(pixel_format).bit_depth, tuple(plane.shape))
        plane.copy_(torch.from_numpy(values.astype(np.uint8 if plane.dtype == torch.uint8 else np.uint16)))
    return frame


def samples(frame: av.VideoFrame) -> list[Tensor]:
    planes, alpha = to_planes(frame)
    return [plane.clone() for plane in (*planes, *([alpha] if alpha is not None else []))]


def yuv_frame(frame: av.VideoFrame, color: ColorSpec) -> YuvFrame:
    planes, alpha = to_planes(frame)
    stamp = Stamp(index=3, pts=1234, duration=40, time_base=Fraction(1, 15360))
    return YuvFrame(planes=planes, alpha=alpha, layout=layout_of(frame.format.name), color=color, stamp=stamp)


@pytest.mark.parametrize("name", PLANAR)
def test_a_planar_format_is_its_own_layout(name: str) -> None:
    assert planar_format(layout_of(name)) == name
    assert repacking_note(name) is None


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("size", [(50, 34), (7, 5), (1, 1)])
def test_planes_survive_conversion_to_a_frame_and_back(name: str, size: tuple[int, int]) -> None:
    frame = random_frame(name, *size)
    again = to_av_frame(yuv_frame(frame, ColorSpec()), name)
    assert all(torch.equal(a, b) for a, b in zip(samples(frame), samples(again), strict=True))


@pytest.mark.parametrize(("planar", "other"), PAIRS)
def test_repacking_loses_nothing(planar: str, other: str) -> None:
    # Even sizes: swscale drops an odd last chroma sample when it writes (not reads) p010 and p016.
    frame = random_frame(planar, 130, 34)
    packed = frame.reformat(format=other, threads=1)
    assert packed.format.name == other
    assert planar_format(layout_of(other)) == planar
    assert all(torch.equal(a, b) for a, b in zip(samples(frame), samples(packed), strict=True))


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (130, 7), (1, 1)])
def test_gpu_layouts_have_the_samples_of_planar_ones_also_at_odd_sizes(
    name: str, size: tuple[int, int]
) -> None:
    frame = random_frame(name, *size)
    packed = semi_planar(frame)
    assert packed.format.name in ("nv12", "p010le")
    assert all(torch.equal(a, b) for a, b in zip(samples(frame), samples(packed), strict=True))


@pytest.mark.parametrize("matrix", range(19))
def test_repacking_needs_no_matrix_and_keeps_its_tag(matrix: int) -> None:
    frame = random_frame("yuv420p10le", 64, 48)
    packed = semi_planar(frame)
    packed.colorspace = matrix  # swscale itself refuses eleven of them
    planar = repacked(packed, layout_of("p010le"))
    assert (packed.colorspace, planar.colorspace) == (matrix, matrix)
    assert all(torch.equal(a, b) for a, b in zip(samples(frame), samples(planar), strict=True))


def test_repacking_is_the_same_every_time() -> None:
    # With several threads swscale overwrites the start of some rows, in about one frame in 60.
    packed = random_frame("yuv422p16le", 50, 34).reformat(format="p216le", threads=1)
    first = samples(packed)
    for _ in range(200):
        assert all(torch.equal(a, b) for a, b in zip(first, samples(packed), strict=True))


def test_planes_are_views_of_the_decoders_memory() -> None:
    frame = picture(5, width=64, height=48, pix_fmt="yuv420p10le")
    planes, _ = to_planes(frame)
    assert [plane.data_ptr() for plane in planes] == [plane.buffer_ptr for plane in frame.planes]
    assert planes[0].dtype == torch.uint16
    assert [tuple(plane.shape) for plane in planes] == [(48, 64), (24, 32), (24, 32)]


def test_planes_outlive_their_frame() -> None:
    planes, _ = to_planes(picture(5))
    before = planes[0].clone()
    others = [picture(i) for i in range(20)]  # would reuse the memory if it were freed
    assert others
    assert torch.equal(planes[0], before)


def test_rgb_planes_come_as_red_green_blue() -> None:
    red = av.VideoFrame.from_ndarray(np.full((8, 8, 3), (200, 100, 50), np.uint8), format="rgb24")
    planes, _ = to_planes(red)
    assert [int(plane[0, 0]) for plane in planes] == [200, 100, 50]


def test_a_palette_keeps_colours_and_transparency() -> None:
    frame = av.VideoFrame(8, 8, "pal8")
    frame.planes[0].update(bytes([1]) * frame.planes[0].buffer_size)
    frame.planes[1].update(bytes(4) + bytes([50, 100, 200, 128]) + bytes(4 * 254))  # B, G, R, A
    planes, alpha = to_planes(frame)
    assert [int(plane[3, 3]) for plane in planes] == [200, 100, 50]
    assert alpha is not None
    assert int(alpha[3, 3]) == 128


def test_one_bit_frames_become_black_and_white() -> None:
    frame = av.VideoFrame(16, 2, "monob")
    frame.planes[0].update(bytes([0b10100000]) * frame.planes[0].buffer_size)
    planes, _ = to_planes(frame)
    assert planes[0][0, :4].tolist() == [255, 0, 255, 0]


def test_bottom_up_frames_are_returned_upright() -> None:
    graph = av.filter.Graph()
    source = graph.add("buffer", "video_size=64x48:pix_fmt=gray:time_base=1/25")
    graph.link_nodes(source, graph.add("vflip"), graph.add("buffersink")).configure()
    frame = picture(9, pix_fmt="gray")
    upright, _ = to_planes(frame)
    expected = upright[0].flip(0).clone()
    source.push(frame)
    flipped = graph.vpull()
    assert flipped.planes[0].line_size < 0
    assert torch.equal(to_planes(flipped)[0][0], expected)


@pytest.mark.parametrize("name", ["gbrpf32le", "grayf32le", "rgbaf16le", "bayer_rggb8", "xyz12le"])
def test_formats_that_cannot_be_kept_exactly_have_a_note(name: str) -> None:
    assert repacking_note(name)
    assert to_planes(av.VideoFrame(16, 16, name))[0][0].shape == (16, 16)


def test_float_samples_become_16_bit_integers() -> None:
    half = np.full((8, 8, 3), 0.5, np.float32)
    frame = av.VideoFrame.from_ndarray(half, format="gbrpf32le")
    planes, _ = to_planes(frame)
    assert abs(int(planes[0][0, 0]) - 32768) <= 1


@pytest.mark.parametrize("name", ["cuda", "vaapi", "yaf32le", "nonsense"])
def test_formats_without_samples_in_memory_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        layout_of(name)


def test_a_layout_that_ffmpeg_lacks_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no planar format"):
        planar_format(PixelLayout(family="yuv", bit_depth=12, chroma_shift=(2, 0)))


def test_encoders_get_timestamps_and_tags() -> None:
    color = ColorSpec(
        matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
    )
    out = to_av_frame(yuv_frame(picture(1, pix_fmt="yuv420p10le"), color), "yuv420p10le")
    assert (out.pts, out.time_base, out.duration) == (1234, Fraction(1, 15360), 40)
    assert (out.colorspace, out.color_trc, out.color_primaries, out.color_range) == (9, 16, 9, 1)


def test_encoders_can_have_a_semi_planar_format_of_the_same_layout() -> None:
    frame = picture(77, pix_fmt="yuv420p10le")
    out = to_av_frame(yuv_frame(frame, ColorSpec()), "p010le")
    assert out.format.name == "p010le"
    assert out.pts == 1234
    assert all(torch.equal(a, b) for a, b in zip(samples(frame), samples(out), strict=True))


def test_a_format_of_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="yuv420p10le"):
        to_av_frame(yuv_frame(picture(1), ColorSpec()), "yuv420p10le")
