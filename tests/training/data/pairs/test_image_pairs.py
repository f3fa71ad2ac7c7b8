"""Pairs of LR and HR: crops are aligned, and pairs that do not match are rejected."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.films import Pixels, pan, plain, write_film
from tests.training.photographs import photograph, write_photographs
from vsr.errors import InputError
from vsr.training.data.drawing import Geometry, Sample
from vsr.training.data.pairs.image_pairs import ImagePairs, find_pair, open_pairs
from vsr.training.data.video import FrameCache

SHAPE = Geometry(size=128, frames=3, speed=5, scale=2)


def enlarged(frame: Pixels, scale: int = 2) -> Pixels:
    """Repeat every pixel `scale` x `scale` times, so that any misalignment shows."""
    return frame.repeat(scale, 0).repeat(scale, 1)


def write_pairs(folder: Path, number: int, side: int = 96) -> tuple[Path, Path]:
    """Write the folders HR and LR, where HR repeats the pixels of LR."""
    hr, lr = folder / "HR", folder / "LR"
    hr.mkdir()
    lr.mkdir()
    for i in range(number):
        frame = photograph(i, side).permute(1, 2, 0).numpy()
        Image.fromarray(frame).save(lr / f"{i}.png")
        Image.fromarray(enlarged(frame)).save(hr / f"{i}.png")
    return hr, lr


def write_videos(folder: Path, large: list[Pixels], small: list[Pixels]) -> tuple[Path, Path]:
    """Write hr.mkv and lr.mkv, lossless videos in R'G'B'."""
    hr, lr = folder / "hr.mkv", folder / "lr.mkv"
    write_film(hr, large, codec="ffv1", pix_fmt="bgr0")
    write_film(lr, small, codec="ffv1", pix_fmt="bgr0")
    return hr, lr


def check(sample: Sample, height: int, width: int) -> None:
    assert sample.lr is not None
    assert sample.hr.shape == (3, 3, 2 * height, 2 * width)
    assert sample.lr.shape == (3, 3, height, width)
    assert torch.equal(sample.hr, sample.lr.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_crops_of_paired_images_are_aligned(tmp_path: Path) -> None:
    known, held_out = open_pairs(*write_pairs(tmp_path, 4), SHAPE, 4)
    rng, shifts = random.Random(0), set()
    for dataset in (known, held_out):
        for _ in range(20):
            sample = dataset.draw(rng)
            check(sample, 64, 64)
            shifts.add(sample.shift)
    assert max(abs(step) for shift in shifts if shift for step in shift) == 4  # 5 HR pixels are 2 of LR
    assert len(shifts) > 5


def test_paired_images_smaller_than_the_clip_size_give_smaller_clips(tmp_path: Path) -> None:
    known, _ = open_pairs(
        *write_pairs(tmp_path, 2, side=70), Geometry(size=480, frames=3, speed=0, scale=2), 2
    )
    check(known.draw(random.Random(0)), 70, 70)


def test_crops_of_paired_videos_are_aligned_and_of_the_same_frames(tmp_path: Path) -> None:
    film = pan(1, 20) + plain(0, 3) + pan(2, 20)
    known, held_out = open_pairs(*write_videos(tmp_path, [enlarged(p) for p in film], film), SHAPE, 4)
    rng = random.Random(0)
    for _ in range(20):
        check(known.draw(rng), 64, 64)
        check(held_out.draw(rng), 64, 64)


def test_the_same_random_numbers_give_the_same_pairs(tmp_path: Path) -> None:
    film = pan(1, 20)
    paths = write_videos(tmp_path, [enlarged(p) for p in film], film)
    first, _ = open_pairs(*paths, SHAPE, 4)
    again, _ = open_pairs(*paths, SHAPE, 4, cache=FrameCache(limit_bytes=0))
    for seed in range(5):
        a, b = first.draw(random.Random(seed)), again.draw(random.Random(seed))
        assert torch.equal(a.hr, b.hr)


def test_sizes_that_do_not_match_are_named_in_the_error(tmp_path: Path) -> None:
    hr, lr = write_pairs(tmp_path, 2)
    with pytest.raises(InputError, match=r"HR/0\.png has 192x192 and .*LR/0\.png 96x96 .* requires 288x288"):
        open_pairs(hr, lr, Geometry(size=96, frames=1, speed=0, scale=3), 2)
    film = pan(1, 6)
    videos = write_videos(tmp_path, [enlarged(p)[:-2] for p in film], film)
    with pytest.raises(InputError, match=r"hr\.mkv has 352x286 and .*lr\.mkv 176x144 .* requires 352x288"):
        open_pairs(*videos, SHAPE, 2)


def test_names_without_a_partner_are_rejected(tmp_path: Path) -> None:
    hr, lr = write_pairs(tmp_path, 3)
    (lr / "1.png").unlink()
    with pytest.raises(InputError, match=r"HR: 1 has no partner in .*LR \(1 names"):
        open_pairs(hr, lr, SHAPE, 2)
    with pytest.raises(InputError, match=r"HR: 1 has no partner in .*LR \(1 names"):
        open_pairs(lr, hr, SHAPE, 2)


def test_videos_of_different_length_are_rejected(tmp_path: Path) -> None:
    film = pan(1, 9)
    paths = write_videos(tmp_path, [enlarged(p) for p in film], film[:-1])
    with pytest.raises(InputError, match=r"have 9 and 8 frames"):
        open_pairs(*paths, SHAPE, 2)


def test_a_folder_and_a_video_are_not_a_pair(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must both be folders or both be videos"):
        open_pairs(tmp_path, write_film(tmp_path / "a.mp4", pan(1, 3)), SHAPE, 2)


def test_videos_without_a_common_scene_are_rejected(tmp_path: Path) -> None:
    film = pan(1, 5)
    with pytest.raises(InputError, match="contain no 3 consecutive frames"):
        open_pairs(*write_videos(tmp_path, [enlarged(p) for p in film], film), SHAPE, 2)


def test_pairs_that_are_too_small_are_skipped_or_rejected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hr, lr = write_pairs(tmp_path, 3)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(lr / "1.png")
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(hr / "1.png")
    known, held_out = open_pairs(hr, lr, SHAPE, 2)
    assert "1 of 3 pairs skipped: a side is below 128 pixels" in caplog.text
    assert isinstance(known, ImagePairs)
    assert isinstance(held_out, ImagePairs)
    assert len(known.pairs) + len(held_out.pairs) == 2
    for name in ("0.png", "2.png"):
        (hr / name).unlink()
        (lr / name).unlink()
    with pytest.raises(InputError, match="no image has 128 pixels on each side"):
        open_pairs(hr, lr, SHAPE, 2)


def test_an_unreadable_image_removes_only_its_pair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hr, lr = write_pairs(tmp_path, 3)
    data = (lr / "0.png").read_bytes()
    (lr / "0.png").write_bytes(data[: len(data) // 2])
    known, held_out = open_pairs(hr, lr, SHAPE, 3)
    for dataset in (known, held_out):
        for seed in range(10):
            check(dataset.draw(random.Random(seed)), 64, 64)
    assert caplog.text.count("skipped") == 1
    assert "LR/0.png" in caplog.text


def test_pairs_are_found_by_the_names_hr_and_lr_in_any_case(tmp_path: Path) -> None:
    assert find_pair(tmp_path) is None
    (tmp_path / "hr").mkdir()
    assert find_pair(tmp_path) is None
    (tmp_path / "LR").mkdir()
    write_photographs(tmp_path / "hr", 1)
    assert find_pair(tmp_path) == (tmp_path / "hr", tmp_path / "LR")


def write_turned(path: Path, frame: Pixels, orientation: int) -> None:
    """Write a JPEG that is stored rotated and has the EXIF orientation to correct it."""
    exif = Image.Exif()
    exif[274] = orientation
    turns = {3: 2, 6: 1, 8: 3}
    Image.fromarray(np.rot90(frame, turns[orientation]).copy()).save(
        path, exif=exif, quality=97, subsampling=0
    )


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_photographs_that_are_stored_rotated_form_pairs_with_upright_ones(
    tmp_path: Path, orientation: int
) -> None:
    hr, lr = write_pairs(tmp_path, 3)
    for path in list(hr.iterdir()):
        write_turned(path.with_suffix(".jpg"), np.asarray(Image.open(path)), orientation)
        path.unlink()
    known, _ = open_pairs(hr, lr, SHAPE, 3)
    sample = known.draw(random.Random(0))
    assert sample.lr is not None
    enlarged_lr = sample.lr.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert (sample.hr.float() - enlarged_lr.float()).abs().mean() < 3  # JPEG


def test_a_pair_of_different_images_is_skipped_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hr, lr = write_pairs(tmp_path, 4)
    Image.fromarray(photograph(99).permute(1, 2, 0).numpy()).save(lr / "2.png")
    known, held_out = open_pairs(hr, lr, SHAPE, 3)
    assert isinstance(known, ImagePairs)
    assert isinstance(held_out, ImagePairs)
    assert {pair.hr.path.name for pair in (*known.pairs, *held_out.pairs)} == {"0.png", "1.png", "3.png"}
    assert "LR/2.png does not show the content of" in caplog.text


def test_a_folder_whose_names_are_off_by_one_is_rejected(tmp_path: Path) -> None:
    hr, lr = write_pairs(tmp_path, 5)
    for number in range(4, 0, -1):
        (lr / f"{number - 1}.png").replace(lr / f"{number}.png")
    Image.fromarray(photograph(0).permute(1, 2, 0).numpy()).save(lr / "0.png")
    with pytest.raises(InputError, match=r"LR/2\.png does not show the content of .*HR/2\.png but 1\.png"):
        open_pairs(hr, lr, SHAPE, 3)


def test_images_that_are_rotated_without_an_exif_orientation_are_rejected(tmp_path: Path) -> None:
    hr, lr = write_pairs(tmp_path, 3)
    for path in lr.iterdir():
        Image.fromarray(np.rot90(np.asarray(Image.open(path)), 2).copy()).save(path)
    with pytest.raises(InputError, match="unless it is rotated or mirrored"):
        open_pairs(hr, lr, SHAPE, 3)


def test_pairs_with_red_and_blue_swapped_are_rejected(tmp_path: Path) -> None:
    hr, lr = write_pairs(tmp_path, 3)
    for path in lr.iterdir():
        Image.fromarray(np.asarray(Image.open(path))[..., ::-1].copy()).save(path)
    with pytest.raises(InputError, match="red and blue swapped"):
        open_pairs(hr, lr, SHAPE, 3)


@pytest.mark.parametrize("late", [-2, -1, 1, 2])
def test_a_delayed_video_is_rejected_with_the_frames_that_match(tmp_path: Path, late: int) -> None:
    film = pan(1, 40)
    small = film[late:] + film[-late:] if late > 0 else [film[0]] * -late + film[:late]
    small = (small + [film[-1]] * 40)[:40]
    paths = write_videos(tmp_path, [enlarged(p) for p in film], small)
    with pytest.raises(InputError, match=r"frame (\d+) of the second shows frame (\d+)") as caught:
        open_pairs(*paths, SHAPE, 4)
    words = str(caught.value).split("frame ")[1:3]
    assert int(words[1].split()[0]) - int(words[0].split()[0]) == late


def test_a_video_with_a_missing_frame_is_rejected_with_its_position(tmp_path: Path) -> None:
    film = pan(1, 60)
    lost = [*film[:30], *film[31:], film[-1]]
    paths = write_videos(tmp_path, [enlarged(p) for p in film], lost)
    with pytest.raises(InputError, match=r"frame 30 of the second shows frame 31 of the first, and 2\d more"):
        open_pairs(*paths, SHAPE, 4)


def test_a_single_frame_of_a_video_that_does_not_match_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = pan(1, 60)
    spoilt = [*film[:10], pan(7, 1)[0], *film[11:]]
    known, _ = open_pairs(*write_videos(tmp_path, [enlarged(p) for p in film], spoilt), SHAPE, 4)
    assert "1 frames skipped: they do not show the content of HR" in caplog.text
    for seed in range(40):
        check(known.draw(random.Random(seed)), 64, 64)


def test_a_mirrored_video_is_rejected(tmp_path: Path) -> None:
    film = pan(1, 12)
    paths = write_videos(tmp_path, [enlarged(p) for p in film], [p[:, ::-1].copy() for p in film])
    with pytest.raises(InputError, match="shows its own frame rotated or mirrored"):
        open_pairs(*paths, SHAPE, 4)


@pytest.mark.parametrize("options", [{"crf": "38"}, {"crf": "51"}])
def test_compression_does_not_count_as_different_content(tmp_path: Path, options: dict[str, str]) -> None:
    film = pan(1, 40, step=1)
    hr = write_film(tmp_path / "hr.mkv", [enlarged(p) for p in film], codec="ffv1", pix_fmt="bgr0")
    lr = write_film(tmp_path / "lr.mkv", film, options=options)
    open_pairs(hr, lr, SHAPE, 4)


def test_a_delay_of_a_static_video_does_not_matter(tmp_path: Path) -> None:
    film = [pan(1, 1)[0]] * 20
    open_pairs(*write_videos(tmp_path, [enlarged(p) for p in film], film), SHAPE, 4)
