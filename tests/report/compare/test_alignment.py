"""Frames of the same moment are found by timestamps, and by content where these contradict it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import vsr
from tests.media_maker import make_clip
from vsr.report.compare.alignment import align, moments
from vsr.report.compare.inputs import open_inputs

RATE = 25


def write_scenes(
    path: Path,
    numbers: list[int],
    *,
    seed: int = 1,
    pts: list[int] | None = None,
    size: tuple[int, int] = (48, 64),
) -> Path:
    """Write frames of a world of random blocks that moves by two pixels a frame; `numbers` are its frames."""
    height, width = size
    world = np.random.default_rng(seed).integers(30, 220, (12, 60)).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, number in enumerate(numbers):
            part = world[:48, 2 * number : 2 * number + 64].astype(np.uint8)
            grey = part.repeat(height // 48, 0).repeat(width // 64, 1)
            frame = av.VideoFrame.from_ndarray(np.stack([grey] * 3, -1), format="rgb24")
            frame.pts, frame.time_base = (pts[i] if pts else 40 * i), Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def paired(*paths: Path, at: Fraction | None = None) -> list[tuple[int, ...]]:
    """Return the indices of the frames that are shown together."""
    inputs = open_inputs(paths)
    found = moments(inputs, align(inputs), at=at, duration=Fraction(10))
    firsts = [[frame.stamp.pts for frame in one.frames()] for one in inputs]
    return [
        tuple(pts.index(frame.stamp.pts) for pts, frame in zip(firsts, moment.frames, strict=True))
        for moment in found
    ]


def test_equal_timestamps_are_pairs_at_any_size(tmp_path: Path) -> None:
    numbers = list(range(20))
    a, b = (
        write_scenes(tmp_path / "a.mkv", numbers),
        write_scenes(tmp_path / "b.mkv", numbers, size=(96, 128)),
    )
    assert paired(a, b) == [(i, i) for i in numbers]
    assert paired(a, b, at=Fraction(12, RATE))[0] == (12, 12)


@pytest.mark.parametrize("begin", [1, 7, 19])
def test_a_result_of_start_lines_up_by_what_it_shows(tmp_path: Path, begin: int) -> None:
    whole = write_scenes(tmp_path / "whole.mkv", list(range(30)))
    part = write_scenes(tmp_path / "part.mkv", list(range(begin, begin + 10)))
    expected = [(begin + i, i) for i in range(10)]
    assert paired(whole, part) == expected
    assert paired(part, whole) == [pair[::-1] for pair in expected], "the order of the inputs does not matter"
    found = vsr.compare(whole, part, output=tmp_path / "a.png")
    assert f"part.mkv begins {begin / RATE:.3f} s into whole.mkv" in found.notes[0]


def test_a_clock_that_begins_elsewhere_is_no_other_content(tmp_path: Path) -> None:
    numbers = list(range(12))
    a = write_scenes(tmp_path / "a.mkv", numbers)
    late = write_scenes(tmp_path / "late.mkv", numbers, pts=[5000 + 40 * i for i in numbers])
    assert paired(a, late) == [(i, i) for i in numbers]
    assert not align(open_inputs([a, late])).notes


def test_an_image_finds_its_frame(tmp_path: Path) -> None:
    whole, shot = write_scenes(tmp_path / "whole.mkv", list(range(20))), tmp_path / "shot.png"
    vsr.compare(whole, whole, output=tmp_path / "b.png")
    with av.open(str(whole)) as container:
        frame = list(container.decode(video=0))[13]
        frame.to_image().save(shot)
    assert paired(whole, shot) == [(13, 0)]


def test_another_rate_shows_the_nearest_frame(tmp_path: Path) -> None:
    a = write_scenes(tmp_path / "a.mkv", list(range(20)))
    half = write_scenes(tmp_path / "half.mkv", list(range(0, 20, 2)), pts=[80 * i for i in range(10)])
    assert all(abs(i - 2 * j) <= 1 for i, j in paired(a, half))
    assert len(paired(a, half)) == 20


def test_variable_timestamps_are_followed(tmp_path: Path) -> None:
    pts = [0, 40, 130, 150, 300, 340, 420, 500, 505, 600]
    a = write_scenes(tmp_path / "a.mkv", list(range(10)), pts=pts)
    b = write_scenes(tmp_path / "b.mkv", list(range(10)), pts=[p + 1 for p in pts], size=(96, 128))
    assert paired(a, b) == [(i, i) for i in range(10)]


def test_different_content_is_refused(tmp_path: Path) -> None:
    a, b = (write_scenes(tmp_path / f"{seed}.mkv", list(range(12)), seed=seed) for seed in (1, 2))
    for name in ("page.html", "a.png", "a.webp"):
        with pytest.raises(vsr.InputError, match=r"shows other content than 1\.mkv"):
            vsr.compare(a, b, output=tmp_path / name)
        assert not (tmp_path / name).exists()


def test_two_parts_without_a_common_moment_are_refused(tmp_path: Path) -> None:
    whole = write_scenes(tmp_path / "whole.mkv", list(range(30)))
    early = write_scenes(tmp_path / "early.mkv", list(range(8)))
    late = write_scenes(tmp_path / "late.mkv", list(range(20, 30)))
    with pytest.raises(vsr.InputError, match="no moment is in all videos"):
        vsr.compare(whole, early, late, output=tmp_path / "page.html")


def test_shapes_that_differ_are_refused_and_turned_videos_are_turned(tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mp4", frames=2)
    with pytest.raises(vsr.InputError, match="their shapes differ"):
        vsr.compare(wide, make_clip(tmp_path / "square.mp4", width=48, frames=2), output=tmp_path / "a.png")
    turned = make_clip(tmp_path / "turned.mp4", rotation=90, frames=2)
    (one, _) = open_inputs([turned, turned])
    assert one.size == (64, 48)
    assert one.image(next(one.frames())).shape == (3, 64, 48)


@pytest.mark.parametrize("count", [1, 10])
def test_the_number_of_files_is_limited(tmp_path: Path, count: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    with pytest.raises(vsr.ConfigError, match="name 2 to 9"):
        vsr.compare(*[clip] * count, output=tmp_path / "page.html")
