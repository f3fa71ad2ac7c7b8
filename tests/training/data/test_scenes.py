"""Scenes of a video: cuts, empty frames, usable frames, and sampling of long videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.media_maker import make_clip
from tests.training.films import pan, plain, write_film
from vsr.media.decode.facts.probe import probe
from vsr.training.data.scenes import WINDOW, SceneIndex, index_video


def look(path: Path, **knobs: int) -> SceneIndex:
    return index_video(probe(path), **knobs)


def test_scenes_begin_at_the_cuts(tmp_path: Path) -> None:
    film = pan(1, 20) + pan(2, 15) + pan(3, 9)
    index = look(write_film(tmp_path / "a.mp4", film))
    assert np.flatnonzero(index.begins).tolist() == [0, 20, 35]
    assert index.usable.all()
    assert index.motion[index.begins].tolist() == [0, 0, 0]
    assert index.motion[~index.begins].min() > 0.25


def test_a_fast_pan_is_not_a_cut(tmp_path: Path) -> None:
    index = look(write_film(tmp_path / "a.mp4", pan(1, 20, step=12)))
    assert np.flatnonzero(index.begins).tolist() == [0]


def test_frames_that_are_black_or_of_one_colour_are_not_usable(tmp_path: Path) -> None:
    index = look(write_film(tmp_path / "a.mp4", pan(1, 6) + plain(0, 5) + plain(128, 4) + pan(2, 6)))
    assert np.flatnonzero(~index.usable).tolist() == list(range(6, 15))


def test_more_detail_gives_a_higher_value(tmp_path: Path) -> None:
    soft = [np.repeat(np.repeat(picture[::8, ::8], 8, 0), 8, 1) for picture in pan(1, 5)]
    sharp = look(write_film(tmp_path / "a.mp4", pan(1, 5)))
    blurred = look(write_film(tmp_path / "b.mp4", [np.mean(soft, axis=0).astype(np.uint8)] * 5))
    assert sharp.detail.min() > blurred.detail.max()
    assert blurred.motion.max() < 0.25


def test_interlaced_frames_are_not_usable(tmp_path: Path) -> None:
    index = look(make_clip(tmp_path / "a.mkv", codec="mpeg2video", interlaced="top", frames=5))
    assert index.interlaced == 5
    assert not index.usable.any()


def test_every_frame_has_the_position_of_the_keyframe_before_it(tmp_path: Path) -> None:
    index = look(write_film(tmp_path / "a.mp4", pan(1, 30), gop=10, options={"sc_threshold": "0"}))
    assert index.seekable
    assert index.keys.tolist() == [0] * 10 + [10] * 10 + [20] * 10


def test_a_bare_stream_is_numbered_and_decoded_from_its_beginning(tmp_path: Path) -> None:
    index = look(write_film(tmp_path / "a.h264", pan(1, 24), gop=6))
    assert not index.seekable
    assert index.stamps.tolist() == list(range(24))
    assert set(index.keys.tolist()) == {0}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_excerpts_from_the_whole_of_a_long_video_are_analysed(tmp_path: Path, name: str) -> None:
    film = pan(1, 12 * WINDOW, height=32, width=32, step=1)
    path = write_film(tmp_path / name, film, gop=24, options={"preset": "ultrafast"})
    index = look(path, max_frames=4 * WINDOW)
    assert len(index) == 4 * WINDOW
    assert np.flatnonzero(index.begins).tolist() == [0, WINDOW, 2 * WINDOW, 3 * WINDOW]
    step = np.median(np.diff(index.stamps))
    assert (index.stamps[-1] - index.stamps[0]) / step > 8 * WINDOW
    within = np.diff(index.stamps)[~index.begins[1:]]
    assert abs(within - step).max() <= 1  # Matroska counts milliseconds


def test_only_the_beginning_of_a_long_bare_stream_is_analysed(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.h264", frames=200, width=32, height=32)
    assert len(look(path, max_frames=2 * WINDOW)) <= 200
    assert len(look(path, max_frames=50)) == 50
