"""Training data of every kind: what is accepted, how it is split, and what is rejected."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.training.films import pan, write_film
from tests.training.photographs import write_photographs
from vsr.errors import InputError
from vsr.training.data.datasets import Dataset, open_datasets
from vsr.training.data.drawing import Geometry, Mixture, Sample, cut_pan, draw_pan
from vsr.training.data.footage import Footage


def opened(*paths: Path, holdout: int = 3) -> tuple[Dataset, Dataset]:
    return open_datasets(paths, size=64, frames=3, speed=3, scale=2, holdout=holdout)


def draws(dataset: Dataset, count: int = 30) -> list[Sample]:
    rng = random.Random(5)
    return [dataset.draw(rng) for _ in range(count)]


def test_photographs_give_pans_with_known_shift(tmp_path: Path) -> None:
    write_photographs(tmp_path, 4)
    known, held_out = opened(tmp_path)
    for sample in draws(known) + draws(held_out):
        assert sample.hr.shape == (3, 3, 64, 64)
        assert sample.hr.dtype == torch.uint8
        assert sample.lr is None
        assert sample.shift is not None
        down, right = sample.shift
        before = sample.hr[:-1, :, max(0, down) : 64 + min(0, down), max(0, right) : 64 + min(0, right)]
        after = sample.hr[1:, :, max(0, -down) : 64 - max(0, down), max(0, -right) : 64 - max(0, right)]
        assert torch.equal(before, after)
    assert len({sample.shift for sample in draws(known)}) > 5


def test_pans_stay_inside_and_reach_every_border() -> None:
    image, rng = torch.arange(40 * 50).reshape(1, 40, 50), random.Random(0)
    seen = set()
    for _ in range(2000):
        path = draw_pan((8, 18), 5, 4, rng)
        clip = cut_pan(image, path, (32, 32), 5)
        assert clip.shape == (5, 1, 32, 32)
        seen |= {int(clip.min()), int(clip.max())}
    assert {0, 40 * 50 - 1} <= seen


def test_a_single_video_is_split_by_time(tmp_path: Path) -> None:
    known, held_out = opened(write_film(tmp_path / "a.mp4", pan(1, 30)))
    assert isinstance(known, Footage)
    assert isinstance(held_out, Footage)
    assert known.video is held_out.video
    assert max(known.runs.starts) + 3 < min(held_out.runs.starts)
    assert all(sample.shift is None and sample.lr is None for sample in draws(known, 3))


def test_several_videos_of_a_folder_are_split_by_file(tmp_path: Path) -> None:
    for number in range(5):
        write_film(tmp_path / f"v{number}.mkv", pan(number, 6))
    known, held_out = opened(tmp_path, holdout=5)
    assert isinstance(known, Mixture)
    assert isinstance(held_out, Footage)
    assert held_out.name.startswith("v2.mkv")
    assert [part.name[:6] for part in known.parts] == ["v0.mkv", "v1.mkv", "v3.mkv", "v4.mkv"]


def test_a_video_alone_in_its_folder_is_split_by_time(tmp_path: Path) -> None:
    write_film(tmp_path / "a.MP4", pan(1, 30))
    (tmp_path / "notes.txt").write_text("ignored")
    known, held_out = opened(tmp_path)
    assert "frames 0 to 16 of 30" in known.name
    assert "frames 20 to 29 of 30" in held_out.name


def test_several_sources_are_drawn_in_proportion_to_their_pixels(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photos", 9, side=128)
    film = write_film(tmp_path / "a.mp4", pan(1, 48))
    known, _ = opened(tmp_path / "photos", film)
    assert isinstance(known, Mixture)
    photos, footage = known.parts
    assert photos.pixels == 6 * 128 * 128
    # Of 48 frames, 16 are held out, after a gap of 3: 27 runs of 3 in 29
    # frames, which is 9 clips without overlap.
    assert footage.pixels == 9 * 144 * 176
    share = sum(sample.shift is not None for sample in draws(known, 200)) / 200
    expected = photos.pixels / known.pixels
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 200) ** 0.5  # four standard errors


def test_a_folder_can_contain_images_and_videos(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    write_film(tmp_path / "a.mp4", pan(1, 30))
    known, held_out = opened(tmp_path)
    for dataset in (known, held_out):
        assert {sample.shift is None for sample in draws(dataset)} == {True, False}


@pytest.mark.parametrize("count", [1, 2])
def test_videos_among_images_that_cannot_be_used_do_not_end_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    write_photographs(tmp_path, 3)
    for number in range(count):
        Image.new("RGB", (96, 96), "red").save(tmp_path / f"{number}.gif")
    (tmp_path / "x.mp4").mkdir()
    known, _ = opened(tmp_path)
    assert all(sample.shift is not None for sample in draws(known, 3))
    assert f"only its images are used, not its {count} videos" in caplog.text
    assert "x.mp4 (not a file)" in caplog.text


def test_a_video_of_one_frame_is_named_as_too_short(tmp_path: Path) -> None:
    Image.new("RGB", (96, 96), "red").save(tmp_path / "a.gif")
    with pytest.raises(InputError, match="1 frames are too few"):
        opened(tmp_path)


def test_the_same_random_numbers_give_the_same_clips_from_a_mixture(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    write_film(tmp_path / "a.mp4", pan(1, 30))
    first, again = (opened(tmp_path)[0] for _ in range(2))
    draws(again, 4)  # earlier draws make no difference
    for a, b in zip(draws(first), draws(again), strict=True):
        assert torch.equal(a.hr, b.hr)
        assert a.shift == b.shift


def test_a_folder_of_pairs_is_recognised(tmp_path: Path) -> None:
    for name in ("HR", "LR"):
        (tmp_path / name).mkdir()
    write_photographs(tmp_path / "HR", 3, side=128)
    for path in (tmp_path / "HR").iterdir():
        Image.open(path).resize((64, 64), Image.Resampling.BOX).save(tmp_path / "LR" / path.name)
    known, _ = opened(tmp_path)
    assert all(sample.lr is not None for sample in draws(known, 3))


def test_videos_of_a_folder_without_a_usable_clip_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_film(tmp_path / "a.mp4", pan(1, 2))
    write_film(tmp_path / "b.mp4", pan(1, 8))
    with pytest.raises(
        InputError, match=r"1 of 2 videos can be used, but at least two are required\. .*a\.mp4"
    ):
        opened(tmp_path)
    write_film(tmp_path / "c.mp4", pan(2, 8))
    known, held_out = opened(tmp_path, holdout=2)
    assert (known.name[:5], held_out.name[:5]) == ("b.mp4", "c.mp4")
    assert "skipped" in caplog.text


def test_hidden_and_damaged_files_of_a_folder_do_not_end_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_film(tmp_path / name, pan(1, 8))
        (tmp_path / f"._{name}").write_bytes(b"\0\5\x16\7" + bytes(60))
    for name in ("c.mp4", "d.mp4"):
        (tmp_path / name).write_bytes(b"\0" * 3000)
    known, held_out = opened(tmp_path, holdout=2)
    assert (known.name[:5], held_out.name[:5]) == ("a.mp4", "b.mp4")
    assert caplog.text.count("skipped") == 2
    assert "c.mp4" in caplog.text
    assert "d.mp4" in caplog.text


def test_alpha_of_a_video_is_ignored_in_training(tmp_path: Path) -> None:
    """WebM's alpha is decoded by libvpx, which does not mark keyframes."""
    write_film(tmp_path / "a.webm", pan(1, 24), codec="libvpx-vp9", pix_fmt="yuva420p")
    known, held_out = opened(tmp_path / "a.webm")
    assert len(draws(known, 3)) == len(draws(held_out, 3)) == 3


def test_unusable_training_data_is_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("neither an image nor a video")
    write_photographs(tmp_path, 1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.mp4").write_bytes(b"\0" * 3000)
    write_film(tmp_path / "bad" / "b.mp4", pan(1, 9))
    cases = {
        "empty": "contains neither images nor videos",
        "text.txt": "is text, not a video",
        "photo0.png": "is a single image",
        "nowhere": "no such file",
        "nowhere.png": "no such file",
        "bad": r"a\.mp4: is of no format",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words) as error:
            opened(tmp_path / name)
        assert "\n" not in str(error.value), name
    with pytest.raises(InputError, match="no training data was given"):
        opened()


@pytest.mark.parametrize(
    "wrong", [{"size": 63}, {"size": 0}, {"frames": 0}, {"speed": -1}, {"scale": 0, "size": 64}]
)
def test_an_invalid_geometry_is_rejected(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Geometry(**({"size": 64, "frames": 3, "speed": 3, "scale": 2} | wrong))
