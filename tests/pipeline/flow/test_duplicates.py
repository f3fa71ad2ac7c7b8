"""Duplicate frames are computed once, without any difference in the result."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vsr.color.spec import ColorSpec, Matrix, PixelLayout, Range
from vsr.frame import Stamp, YuvFrame
from vsr.media.decode.source import open_video
from vsr.pipeline.flow.duplicates import REPEATED, Repeats, same
from vsr.pipeline.flow.marks import Idle, Mark
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))
COLOR = ColorSpec(matrix=Matrix.BT709, range=Range.LIMITED)
SETTINGS = UpscaleSettings(
    model="compact-x2",
    device="cpu",
    backend="torch",
    encoder=EncoderSettings(encoder="ffv1"),
    segment_seconds=Fraction(1, 5),
)


def frame(index: int, value: int, **changes: object) -> YuvFrame:
    planes = tuple(torch.full(shape, value, dtype=torch.uint8) for shape in ((8, 8), (4, 4), (4, 4)))
    stamp = Stamp(index=index, pts=index * index, duration=0, time_base=Fraction(1, 25))
    made = {"planes": planes, "layout": LAYOUT, "color": COLOR, "stamp": stamp} | changes
    return YuvFrame(**made)  # type: ignore[arg-type]


def passed(values: list[int], length: int | None = None) -> tuple[list[YuvFrame], list[YuvFrame], Meter]:
    meter = Meter()
    repeats = Repeats(meter, length=length)
    computed: list[YuvFrame] = []

    def compute(frames: Iterator[YuvFrame | Mark]) -> Iterator[YuvFrame | Mark]:
        for one in frames:
            if isinstance(one, YuvFrame):
                computed.append(one)
            yield one
            yield Idle()

    frames = (frame(i, value) for i, value in enumerate(values))
    return list(repeats.restored(compute(repeats.marked(frames)))), computed, meter


@pytest.mark.parametrize(
    "values", [[], [1], [1, 1], [1, 2, 3], [1, 1, 1, 2, 2, 3], [1, 2, 1, 2], [5] * 10 + [6] + [5] * 3]
)
def test_every_frame_comes_back_in_order_with_its_own_stamp(values: list[int]) -> None:
    out, computed, meter = passed(values)
    assert [int(f.planes[0][0, 0]) for f in out] == values
    assert [f.stamp.index for f in out] == list(range(len(values)))
    assert [f.stamp.pts for f in out] == [i * i for i in range(len(values))]
    changes = sum(a != b for a, b in zip(values, [None, *values], strict=False))
    assert len(computed) == changes
    assert meter.counts.get(REPEATED, 0) == len(values) - changes


def test_a_segment_begins_with_a_computed_frame() -> None:
    _, computed, _ = passed([1] * 10, length=4)
    assert [f.stamp.index for f in computed] == [0, 4, 8]


def test_each_frame_of_a_static_film_comes_out_before_the_next_is_requested() -> None:
    asked: list[int] = []

    def live() -> Iterator[YuvFrame]:
        for index in range(200):
            asked.append(index)
            yield frame(index, 1)

    repeats = Repeats(Meter())
    for number, made in enumerate(repeats.restored(repeats.marked(live()))):
        assert made.stamp.index == number
        assert asked[-1] == number


def test_a_difference_in_any_sample_is_detected() -> None:
    one = frame(0, 7)
    assert same(one, frame(1, 7))
    for plane in range(3):
        for place in ((0, 0), (-1, -1)):
            other = frame(1, 7)
            other.planes[plane][place] += 1
            assert not same(one, other)


def test_layout_and_colour_are_also_compared() -> None:
    one, alpha = frame(0, 7), torch.full((8, 8), 7, dtype=torch.uint8)
    assert not same(one, frame(1, 7, color=ColorSpec(matrix=Matrix.SMPTE170M, range=Range.LIMITED)))
    assert not same(one, frame(1, 7, alpha=alpha))
    assert same(frame(0, 7, alpha=alpha), frame(1, 7, alpha=alpha.clone()))
    assert not same(frame(0, 7, alpha=alpha), frame(1, 7, alpha=alpha + 1))


def held(path: Path) -> Path:
    """Write a lossless clip of 20 frames at irregular times, of which 5 differ from the frame before."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 48, 32, "yuv420p", Fraction(1, 1000)
        for i in range(20):
            if i % 4 == 0:
                picture = rng.integers(0, 255, (32, 48, 3), np.uint8)
            image = av.VideoFrame.from_ndarray(picture, "rgb24")
            image.pts, image.time_base = i * 40 + i % 3, Fraction(1, 1000)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def contents(path: Path) -> list[tuple[int, bytes]]:
    with open_video(path) as video:
        return [(f.stamp.pts, b"".join(p.numpy().tobytes() for p in f.planes)) for f in video.frames()]


@pytest.mark.parametrize("resume", [False, True])
def test_the_file_is_the_same_to_the_bit_and_duplicates_are_counted(resume: bool, tmp_path: Path) -> None:
    clip = held(tmp_path / "in.mkv")
    reports = [
        upscale(clip, tmp_path / f"{reuse}.mkv", SETTINGS, reuse=reuse, resume=resume)
        for reuse in (True, False)
    ]
    assert contents(tmp_path / "True.mkv") == contents(tmp_path / "False.mkv")
    assert [report.frames_out for report in reports] == [20, 20]
    assert reports[0].engine["repeated"] == (15 if not resume else 12)  # a segment has 5 frames
    assert reports[1].engine["repeated"] == 0
