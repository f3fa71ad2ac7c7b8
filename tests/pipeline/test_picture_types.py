"""Frames as planes: the results equal those of `vsr.upscale` to the bit."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

import vsr
from tests.engine.fakes import Nearest
from vsr.color.chroma import chroma_size
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.errors import InputError
from vsr.frame import RgbFrame, Stamp, YuvFrame
from vsr.media.pixels.planes import layout_of, to_av_frame

EXACT = {"device": "cpu", "backend": "torch", "precision": "fp32"}
"""By itself, a short trial decides what runs a network."""
COLOR = ColorSpec(
    matrix=Matrix.BT709,
    transfer=Transfer.BT709,
    primaries=Primaries.BT709,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.LEFT,
)
LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))


def noise(layout: PixelLayout, *, height: int = 47, width: int = 61, index: int = 0) -> YuvFrame:
    """Make a frame with every possible code value in every plane."""
    small = chroma_size(height, width, layout.chroma_shift)
    sizes = [(height, width)] if layout.family == "gray" else [(height, width), small, small]
    sizes += [(height, width)] if layout.alpha else []
    random = torch.Generator().manual_seed(index)
    kind = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    planes = [torch.randint(1 << layout.bit_depth, size, generator=random).to(kind) for size in sizes]
    alpha = planes.pop() if layout.alpha else None
    stamp = Stamp(index=index, pts=10 * index, duration=10, time_base=Fraction(1, 250))
    return YuvFrame(planes=tuple(planes), alpha=alpha, layout=layout, color=COLOR, stamp=stamp)


def noise_clip(path: Path, pixel_format: str, frames: int = 2) -> Path:
    """Write a lossless file of these frames."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 61, 47, pixel_format
        for index in range(frames):
            box.mux(stream.encode(to_av_frame(noise(layout_of(pixel_format), index=index), pixel_format)))
        box.mux(stream.encode(None))
    return path


def samples(frame: YuvFrame) -> list[Tensor]:
    return [*frame.planes, *([] if frame.alpha is None else [frame.alpha])]


@pytest.mark.parametrize(
    ("pixel_format", "tags"),
    [
        ("yuv420p", {}),
        (
            "yuv420p",
            {"matrix": Matrix.BT470BG, "range": Range.FULL, "chroma_location": ChromaLocation.CENTER},
        ),
        ("yuv420p", {"matrix": Matrix.FCC, "chroma_location": ChromaLocation.BOTTOM}),
        ("yuv420p10le", {"matrix": Matrix.BT2020_NCL, "chroma_location": ChromaLocation.TOPLEFT}),
        ("yuv420p10le", {"matrix": Matrix.SMPTE170M, "chroma_location": ChromaLocation.TOP}),
        ("yuv422p", {"matrix": Matrix.SMPTE240M}),
        ("yuv422p10le", {"range": Range.FULL, "chroma_location": ChromaLocation.CENTER}),
        ("yuv444p", {"matrix": Matrix.SMPTE170M, "range": Range.FULL}),
        ("yuv444p10le", {"matrix": Matrix.BT2020_NCL}),
        ("yuv420p16le", {}),
        ("yuva420p", {}),
        ("gray10le", {}),
        ("gbrp10le", {"matrix": Matrix.RGB, "range": Range.FULL}),
    ],
)
@pytest.mark.parametrize("wishes", [{"model": "lanczos", "scale": 1.5}, {"model": "fast-x2"}], ids=str)
def test_planes_give_the_output_of_upscale_to_the_bit(
    tmp_path: Path, pixel_format: str, tags: dict[str, object], wishes: dict[str, object]
) -> None:
    color = replace(COLOR, **tags)
    source = noise_clip(tmp_path / "in.mkv", pixel_format)
    vsr.upscale(source, tmp_path / "out.mkv", encoder="ffv1", color=color, **EXACT, **wishes)
    with vsr.open_video(source, color=color) as video, vsr.open_video(tmp_path / "out.mkv") as written:
        made = vsr.Upscaler(**EXACT, **wishes).frames(video)
        for one, other in zip(made, written, strict=True):
            assert (one.layout, one.color) == (layout_of(pixel_format), color)
            assert one.layout == other.layout
            assert one.stamp.seconds == other.stamp.seconds
            for a, b in zip(samples(one), samples(other), strict=True):
                assert torch.equal(a, b)


def test_results_are_the_callers_own_memory_and_the_source_does_not_change() -> None:
    frame = noise(LAYOUT)
    before = [plane.clone() for plane in frame.planes]
    (made,) = vsr.Upscaler(Nearest(), device="cpu").frames([frame])
    for plane in made.planes:
        plane.zero_()  # fails for a tensor of inference mode
    for plane, copy in zip(frame.planes, before, strict=True):
        assert torch.equal(plane, copy)


def test_a_layout_with_alpha_gets_opaque_alpha_if_the_frame_has_none() -> None:
    frame = replace(noise(LAYOUT), layout=replace(LAYOUT, alpha=True))
    (made,) = vsr.Upscaler(Nearest(), device="cpu").frames([frame])
    assert made.alpha is not None
    assert (made.alpha == 255).all()


def test_planes_with_padded_rows_are_read_correctly() -> None:
    """Hosts and decoders pad rows in memory."""
    frame = noise(LAYOUT, width=60)
    padded = [torch.nn.functional.pad(plane, (0, 7))[:, : plane.shape[1]] for plane in frame.planes]
    assert not padded[0].is_contiguous()
    apart = replace(frame, planes=tuple(padded))
    one, other = vsr.Upscaler(Nearest(), device="cpu").frames([frame, apart])
    for a, b in zip(one.planes, other.planes, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"color": ColorSpec()}, "frame 3: range is unspecified.*guess_for"),
        ({"color": replace(COLOR, matrix=Matrix.YCGCO)}, "frame 3: Y'CbCr with matrix YCGCO"),
        (
            {"layout": replace(LAYOUT, bit_depth=10)},
            r"\(47, 61\) of uint8, .*Give \(H, W\) of uint16 for 10 bits",
        ),
        ({"layout": replace(LAYOUT, chroma_shift=(0, 0))}, "frame 3: planes of"),
        ({"planes": ()}, "frame 3 has the planes none"),
        ({"planes": (torch.zeros(1, 4, 4, dtype=torch.uint8),)}, r"\(1, 4, 4\) of uint8"),
    ],
)
def test_frames_that_cannot_be_converted_are_rejected_in_one_line(
    change: dict[str, object], words: str
) -> None:
    frame = replace(noise(LAYOUT, index=3), **change)
    with pytest.raises(InputError, match=words) as raised:
        list(vsr.Upscaler(Nearest(), device="cpu").frames([frame]))
    assert "\n" not in str(raised.value)


def test_alpha_of_another_dtype_is_rejected() -> None:
    stamp = Stamp(index=5, pts=0, duration=1, time_base=Fraction(1))
    frame = RgbFrame(image=torch.rand(3, 4, 4), alpha=torch.ones(1, 4, 4, dtype=torch.float64), stamp=stamp)
    with pytest.raises(InputError, match=r"of float64\. Give"):
        list(vsr.Upscaler(Nearest(), device="cpu").frames([frame]))


@pytest.mark.needs_cuda
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_on_a_gpu_planes_return_to_their_original_device(where: str) -> None:
    """Long work is queued, so that a missing synchronisation would be visible."""
    given = [noise(LAYOUT, height=256, width=256, index=index) for index in range(12)]
    there = [replace(f, planes=tuple(plane.to(where) for plane in f.planes)) for f in given]
    told = vsr.Upscaler(Nearest(), device="cpu").frames(given)
    made = vsr.Upscaler(Nearest(), device="cuda", precision="fp32").frames(there)
    for one, other in zip(made, told, strict=True):
        assert one.stamp == other.stamp
        for a, b in zip(one.planes, other.planes, strict=True):
            assert a.device.type == where
            assert (a.cpu().int() - b.int()).abs().max() <= 1  # the GPU adds fp32 in another order
