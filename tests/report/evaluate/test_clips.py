"""Clips are measured frame by frame, with the measures of video that this machine has."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

import vsr
from tests.media_maker import make_clip
from vsr.media.png import save_png
from vsr.report.evaluate import outside
from vsr.report.evaluate.protocol import cases_of
from vsr.report.evaluate.tables import markdown

RATE = Fraction(24)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a video and with a clip as numbered images."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "video.mkv", frames=5, width=128, height=96)
    (folder / "numbered").mkdir()
    for number, image in enumerate(moving(4)):
        save_png(image / 255, folder / "numbered" / f"{number:03d}.png")
    return folder


@pytest.fixture
def asked_again() -> Iterator[None]:
    """Ask this machine again what it has, before and after the test."""
    for question in (outside.ffmpeg_with_vmaf, outside.color_video_vdp):
        question.cache_clear()
    yield
    for question in (outside.ffmpeg_with_vmaf, outside.color_video_vdp):
        question.cache_clear()


def moving(frames: int, side: int = 192) -> Tensor:
    """Return a smooth random texture that moves by two pixels a frame: `(T, 3, side, side)` uint8."""
    noise = torch.rand(1, 3, side // 4, side // 4 + frames, generator=torch.Generator().manual_seed(1))
    wide = torch.nn.functional.interpolate(noise, scale_factor=4, mode="bicubic").clamp(0, 1)[0]
    return torch.stack(
        [(255 * wide[..., 2 * i : 2 * i + side]).round().to(torch.uint8) for i in range(frames)]
    )


def blurred(clip: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(clip / 255, 7, stride=1, padding=3).mul(255).round().to(torch.uint8)


def test_a_clip_has_as_many_frames_as_are_asked_for(clips: Path) -> None:
    found = {case.name: case for case in cases_of(clips, 2, "clean", frames=3)}
    assert {name: len(case.hr) for name, case in found.items()} == {"numbered": 3, "video.mkv": 3}
    assert found["video.mkv"].hr.shape[-2:] == (96, 128)
    assert found["video.mkv"].lr.shape[-2:] == (48, 64)
    whole = {case.name: len(case.hr) for case in cases_of(clips, 2, "clean", frames=100)}
    assert whole == {"numbered": 4, "video.mkv": 5}


def test_clips_have_a_temporal_difference_and_are_coded_as_a_whole(clips: Path) -> None:
    rows = vsr.evaluate("fast-x2", data=clips, codings=("clean", "x264-33"), frames=3)
    assert all(row.images == 2 for row in rows)
    assert all(row.temporal_difference is not None and row.temporal_difference > 0 for row in rows)
    assert "temporal difference" in markdown(rows)
    coded = [case for case in cases_of(clips, 2, "x264-33", frames=4) if case.name == "numbered"]
    alone = [case for case in cases_of(clips, 2, "x264-33", frames=1) if case.name == "numbered"]
    assert torch.equal(coded[0].hr[0], alone[0].hr[0])
    assert not torch.equal(coded[0].lr[0], alone[0].lr[0]), "its frames are predicted from each other"


def test_images_of_several_sizes_are_no_clip(tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    for side in (64, 96):
        save_png(torch.zeros(3, side, side), tmp_path / "mixed" / f"{side}.png")
    with pytest.raises(vsr.InputError, match="several sizes"):
        vsr.evaluate("fast-x2", data=tmp_path)


def test_vmaf_of_equal_clips_is_near_100_and_falls_with_blur() -> None:
    program = outside.ffmpeg_with_vmaf()
    if program is None:
        pytest.skip("no ffmpeg on the PATH or in imageio-ffmpeg has libvmaf")
    clip = moving(4)
    equal, soft = (outside.vmaf(program, sr, clip, RATE) for sr in (clip, blurred(clip)))
    assert 95 <= equal <= 100
    assert 0 <= soft < equal - 10


def test_color_video_vdp_of_equal_clips_is_10_and_falls_with_blur() -> None:
    pytest.importorskip("pycvvdp", reason="the package cvvdp is not installed (extra cvvdp)")
    (metric, why), clip = outside.color_video_vdp(), moving(4)
    assert why == ""
    equal, soft = (outside.cvvdp(metric, sr, clip, RATE) for sr in (clip, blurred(clip)))
    assert equal == pytest.approx(10, abs=0.01)
    assert soft < 9.5


def test_the_program_is_found_by_asking_it_for_its_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_again: None
) -> None:
    for name, filters in (("without", " .. scale  V->V  Scale"), ("with", " .. libvmaf  VV->V  VMAF")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{filters}'\n")
        (tmp_path / name).chmod(0o755)
    names = [str(tmp_path / "missing"), str(tmp_path / "without"), str(tmp_path / "with")]
    monkeypatch.setattr(outside, "_programs", lambda: iter(names))
    assert outside.ffmpeg_with_vmaf() == names[2]


def test_what_this_machine_lacks_is_said_once(
    clips: Path, monkeypatch: pytest.MonkeyPatch, asked_again: None
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    said: list[str] = []
    rows = vsr.evaluate("fast-x2", data=clips, frames=2, on_warning=said.append)
    assert [line.split(":")[0] for line in said] == [
        "VMAF is not measured",
        "ColorVideoVDP is not measured",
    ]
    assert all(row.vmaf is None and row.cvvdp is None for row in rows)
    assert "VMAF" not in markdown(rows)


def test_a_measure_that_does_not_work_is_left_out_with_the_reason(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_again: None
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' .. libvmaf  VV->V  VMAF'\necho 'model not found' >&2\nexit 1\n")
    program.chmod(0o755)
    (tmp_path / "pycvvdp.py").write_text("raise RuntimeError('no such operator')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(outside, "_programs", lambda: iter([str(program)]))
    said: list[str] = []
    rows = vsr.evaluate("fast-x2", data=clips, frames=2, on_warning=said.append)
    assert all(row.temporal_difference is not None and row.vmaf is None for row in rows)
    assert ["libvmaf failed (model not found)" in said[0], "no such operator" in said[1], len(said)] == [
        1,
        1,
        2,
    ]


def test_a_program_that_fails_is_one_line(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'model not found' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(vsr.ConfigError, match=r"libvmaf failed \(model not found\)"):
        outside.vmaf(str(program), moving(2), moving(2), RATE)
