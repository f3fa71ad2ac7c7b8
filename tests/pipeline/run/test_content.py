"""Whole runs, file to file: frames, times, colours and everything else of a source are in the result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.engine.fakes import Nearest
from tests.media_maker import Audio, Subtitle, make_clip, number_in, numbers_of, pts_of
from tests.pipeline.run.runs import LOSSLESS, fake_model, settings
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.pipeline.run import upscale


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_variable_rate_b_frames_and_offset_keep_every_timestamp(tmp_path: Path, suffix: str) -> None:
    pts = [3000, 4001, 4500, 9000, 9001, 12345, 20000, 20500, 33000, 33100, 40000]
    source = make_clip(
        tmp_path / "in.mp4",
        pts=pts,
        time_base=Fraction(1, 15000),
        frames=len(pts),
        bframes=2,
        audio=[Audio()],
    )
    target = tmp_path / f"out.{suffix}"
    report = upscale(source, target, settings())
    before, after = pts_of(source), pts_of(target)
    assert len(before) == len(pts)
    # Half a tick of the source, the smallest difference that a player can show.
    assert max(abs((b - before[0]) - (a - after[0])) for b, a in zip(before, after, strict=True)) <= Fraction(
        1, 30000
    )
    assert numbers_of(target) == list(range(len(pts)))
    assert report.frames_in == report.frames_out == len(pts)
    assert report.exit_code == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_no_frame_is_lost_for_any_batch_and_length(tmp_path: Path, frames: int, batch: int) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=frames, bframes=2)
    target = tmp_path / "out.mkv"
    upscale(source, target, settings(batch=batch))
    assert numbers_of(target) == list(range(frames))


TAGS = {
    "601 limited": ColorSpec(
        matrix=Matrix.SMPTE170M,
        primaries=Primaries.SMPTE170M,
        transfer=Transfer.SMPTE170M,
        range=Range.LIMITED,
    ),
    "709 full": ColorSpec(
        matrix=Matrix.BT709, primaries=Primaries.BT709, transfer=Transfer.BT709, range=Range.FULL
    ),
    "2020 limited": ColorSpec(
        matrix=Matrix.BT2020_NCL, primaries=Primaries.BT2020, transfer=Transfer.BT2020_10, range=Range.LIMITED
    ),
}


@pytest.mark.parametrize("name", list(TAGS))
@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv420p16le", "gray", "gbrp10le"]
)
def test_scale_1_bicubic_returns_every_code_value_within_one(tmp_path: Path, name: str, pix_fmt: str) -> None:
    color = TAGS[name] if pix_fmt.startswith("yuv") else ColorSpec()
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, color=color, frames=2, width=50, height=38
    )
    target = tmp_path / "out.mkv"
    upscale(source, target, settings(scale=Fraction(1), encoder=LOSSLESS))
    with av.open(str(source)) as a, av.open(str(target)) as b:
        for before, after in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert after.format.name == before.format.name
            for p, q in zip(before.planes, after.planes, strict=True):
                assert np.abs(codes(p, before) - codes(q, after)).max() <= 1
            if color.matrix is not Matrix.UNSPECIFIED:
                assert (after.colorspace, after.color_range) == (color.matrix, color.range)


def codes(plane: av.video.plane.VideoPlane, frame: av.VideoFrame) -> np.ndarray:
    wide = max(c.bits for c in frame.format.components) > 8
    values = np.frombuffer(bytes(plane), np.uint16 if wide else np.uint8)
    return values.reshape(plane.height, -1)[:, : plane.width].astype(np.int64)


def test_ten_bits_in_are_ten_bits_out_by_default(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", pix_fmt="yuv420p10le", frames=3)
    upscale(source, tmp_path / "out.mp4", settings())
    with av.open(str(tmp_path / "out.mp4")) as box:
        assert box.streams.video[0].codec_context.pix_fmt == "yuv420p10le"


def test_odd_sizes_are_upscaled_completely(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", width=53, height=37, frames=2)
    upscale(source, tmp_path / "out.mkv", settings())
    with av.open(str(tmp_path / "out.mkv")) as box:
        frame = next(box.decode(video=0))
        assert (frame.width, frame.height) == (106, 74)


def test_alpha_is_kept_in_a_container_that_supports_it(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva444p", frames=2, width=32, height=24)
    upscale(source, tmp_path / "out.mkv", settings(encoder=LOSSLESS))
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        before, after = next(a.decode(video=0)), next(b.decode(video=0))
        assert after.format.name == "yuva444p"
        # A gradient of the alpha plane at twice the size: its mean stays within one code value.
        assert abs(codes(before.planes[3], before).mean() - codes(after.planes[3], after).mean()) < 1


def test_audio_subtitles_and_chapters_are_kept(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv",
        frames=25,
        audio=[Audio(), Audio(codec="flac", language="deu")],
        subtitles=[Subtitle()],
        chapters=[(0, 0.5, "One"), (0.5, 1, "Two")],
        metadata={"title": "A film"},
    )
    report = upscale(source, tmp_path / "out.mkv", settings())
    with av.open(str(tmp_path / "out.mkv")) as box:
        assert [s.type for s in box.streams] == ["video", "audio", "audio", "subtitle"]
        assert box.streams.audio[1].metadata["language"] == "deu"
        assert [c["metadata"]["title"] for c in box.chapters()] == ["One", "Two"]
        assert box.metadata["title"] == "A film"
    assert [one.fate for one in report.streams] == ["upscaled", *["copied"] * 3]


@pytest.mark.parametrize(
    ("wish", "size"), [({"scale": Fraction(3, 2)}, (96, 72)), ({"scale": Fraction(3)}, (192, 144))]
)
def test_any_scale(tmp_path: Path, wish: dict[str, Fraction], size: tuple[int, int]) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=2)
    with fake_model(Nearest()):
        upscale(source, tmp_path / "out.mkv", settings(**wish))
    with av.open(str(tmp_path / "out.mkv")) as box:
        frame = next(box.decode(video=0))
        assert (frame.width, frame.height) == size


def test_a_time_range_of_the_source_begins_at_zero_and_has_only_its_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=50, audio=[Audio()])
    report = upscale(source, tmp_path / "out.mkv", settings(start=Fraction(4, 5), end=Fraction(6, 5)))
    assert numbers_of(tmp_path / "out.mkv") == list(range(20, 30))
    assert pts_of(tmp_path / "out.mkv")[0] == 0
    assert report.exit_code == 0


@pytest.mark.needs_cuda
def test_cuda_gives_the_result_of_the_cpu(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", frames=9, width=96, height=64)
    for device in ("cpu", "cuda"):
        upscale(
            source,
            tmp_path / f"{device}.mkv",
            settings(device=device, model="fast", encoder=LOSSLESS, batch=2),
        )
    with av.open(str(tmp_path / "cpu.mkv")) as a, av.open(str(tmp_path / "cuda.mkv")) as b:
        for cpu, cuda in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert number_in(cpu.to_ndarray(format="gray")) == number_in(cuda.to_ndarray(format="gray"))
            # bf16 or TF32 on one side: a few code values at most.
            assert np.abs(codes(cpu.planes[0], cpu) - codes(cuda.planes[0], cuda)).max() <= 4
