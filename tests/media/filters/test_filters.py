"""Filters return one frame for each frame, with its own time and in its own pixel format."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.media_maker import make_clip, number_in, pts_of
from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import ConfigError
from vsr.frame import Stamp, YuvFrame
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.filters.filters import FILTERS, FiltersAfter, available, filtered_info, parse

ARGUMENTS = {"crop": "iw-8:ih-8:4:4", "fillborders": "left=2", "deband": "range=8"}
TIMES = [0, 40, 41, 100, 160, 161, 300, 340, 400, 401, 480, 520]


@pytest.mark.parametrize("name", available())
def test_every_filter_returns_each_frame_once_with_its_time(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "in.mkv", pts=TIMES, time_base=Fraction(1, 1000), bframes=2)
    words = [f"{name}={ARGUMENTS[name]}" if name in ARGUMENTS else name]
    frames = list(open_video(clip, filters=words))
    assert [frame.stamp.seconds for frame in frames] == pts_of(clip)
    assert [number_in(frame.planes[0]) for frame in frames] == list(range(12))


def test_available_filters_are_a_subset_of_the_allowed_ones() -> None:
    assert set(available()) <= set(FILTERS)
    assert {"crop", "unsharp", "deband", "cas"} <= set(available())


def test_a_crop_filter_changes_the_reported_size(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", pix_fmt="yuv420p10le", codec="libx265")
    with open_video(clip, filters=["crop=48:32:8:16", "unsharp"]) as video:
        assert (video.info.width, video.info.height, video.info.pixel_format) == (48, 32, "yuv420p10le")
        for whole, frame in zip(open_video(clip, filters=["unsharp"]), video, strict=True):
            assert frame.planes[0].shape == (32, 48)
            assert frame.planes[1].shape == (16, 24)
            inner = np.s_[4:-4, 4:-4]  # unsharp looks two pixels beyond the border
            np.testing.assert_array_equal(frame.planes[0][inner], whole.planes[0][16:48, 8:56][inner])


@pytest.mark.parametrize(
    ("words", "where", "line"),
    [
        (["movie=/etc/passwd"], "filters_before", "filter 'movie' is not allowed; use atadenoise, "),
        (["fps=50"], "filters_before", "'fps' is not allowed"),
        (["crop"], "filters_after", "'crop' is allowed in `filters_before` only"),
        (["atadenoise"], "filters_after", "in `filters_before` only"),
        (["crop=8:8[a];movie=x"], "filters_before", "'crop' refuses '8:8"),
        (["crop=900:900"], "filters_before", "'crop' refuses '900:900' for 64x48"),
        (["unsharp=nonsense=3"], "filters_before", "'unsharp' refuses 'nonsense=3'"),
        (["removegrain"], "filters_before", r"'removegrain' cannot keep 10 bits \(becomes 8\)"),
    ],
)
def test_unsuitable_filters_are_refused_before_the_work(
    tmp_path: Path, words: list[str], where: str, line: str
) -> None:
    clip = make_clip(tmp_path / "in.mkv", pix_fmt="yuv420p10le", codec="libx265", frames=2)
    with pytest.raises(ConfigError, match=line):
        filtered_info(probe(clip), parse(words, where=where), where=where)


def frame_of(layout: PixelLayout, *, height: int = 48, width: int = 64) -> YuvFrame:
    random = torch.Generator().manual_seed(1)
    dtype = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    down, across = (layout.chroma_shift[1], layout.chroma_shift[0]) if layout.family == "yuv" else (0, 0)
    sizes = [(height, width)] + [(height >> down, width >> across)] * (0 if layout.family == "gray" else 2)
    planes = [torch.randint(0, 1 << layout.bit_depth, size, generator=random).to(dtype) for size in sizes]
    alpha = planes[0].clone() if layout.alpha else None
    stamp = Stamp(index=3, pts=9, duration=1, time_base=Fraction(1, 25))
    return YuvFrame(planes=tuple(planes), alpha=alpha, layout=layout, color=ColorSpec(), stamp=stamp)


@pytest.mark.parametrize(
    "layout",
    [
        PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1)),
        PixelLayout(family="yuv", bit_depth=10, chroma_shift=(1, 1)),
        PixelLayout(family="yuv", bit_depth=16, chroma_shift=(0, 0)),
        PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1), alpha=True),
        PixelLayout(family="rgb", bit_depth=10),
        PixelLayout(family="gray", bit_depth=8),
    ],
    ids=str,
)
def test_a_neutral_filter_after_the_generator_changes_no_sample(layout: PixelLayout) -> None:
    """This holds whatever pixel format FFmpeg converts to for the filter."""
    before = frame_of(layout)
    after = FiltersAfter(parse(["gblur=sigma=0"], where="filters_after"), layout, height=48, width=64)(before)
    assert (after.layout, after.stamp, after.color) == (before.layout, before.stamp, before.color)
    for one, other in zip(after.planes, before.planes, strict=True):
        assert torch.equal(one, other)
    if layout.alpha:
        assert torch.equal(after.alpha, before.alpha)


def test_without_filters_frames_are_unchanged() -> None:
    layout = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))
    frame = frame_of(layout)
    assert FiltersAfter([], layout, height=48, width=64)(frame) is frame


def test_a_filter_after_the_generator_equals_ffmpegs() -> None:
    layout = PixelLayout(family="gray", bit_depth=8)
    frame = frame_of(layout)
    made = FiltersAfter(parse(["gblur=sigma=3"], where="filters_after"), layout, height=48, width=64)(frame)
    assert made.planes[0].float().std() < frame.planes[0].float().std() / 2
    assert abs(float(made.planes[0].float().mean() - frame.planes[0].float().mean())) < 3
