"""Pictures of before and after show the frame as it is, and nothing waits for them."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from vsr.color.convert import to_planes, to_rgb
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.frame import Stamp, YuvFrame
from vsr.media.pictures.reading import read_picture
from vsr.media.png import save_png
from vsr.pipeline.flow import previews
from vsr.pipeline.flow.previews import SIDE, Previews, most_detailed

COLOR = ColorSpec(
    matrix=Matrix.BT709,
    transfer=Transfer.BT709,
    primaries=Primaries.BT709,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.LEFT,
)
LAYOUTS = {
    "yuv420p": PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1)),
    "yuv444p10": PixelLayout(family="yuv", bit_depth=10, chroma_shift=(0, 0)),
    "gbrp": PixelLayout(family="rgb", bit_depth=8),
    "gray": PixelLayout(family="gray", bit_depth=8),
}


def frame(
    index: int, *, height: int, width: int, layout: str = "yuv420p", color: ColorSpec = COLOR
) -> YuvFrame:
    """Return a frame with smooth colours, which chroma subsampling hardly changes."""
    y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    image = torch.stack(
        [0.2 + 0.6 * x.expand(height, width), 0.2 + 0.6 * y.expand(height, width), 0.5 * x * y]
    )
    kind = LAYOUTS[layout]
    if kind.family == "rgb":
        color = replace(color, matrix=Matrix.RGB, range=Range.FULL)
    stamp = Stamp(index=index, pts=index, duration=1, time_base=1)
    planes = to_planes(image, color, kind)
    return YuvFrame(planes=planes, alpha=None, layout=kind, color=color, stamp=stamp)


def shown(path: Path) -> torch.Tensor:
    return torch.stack([plane.to(torch.float32) for plane in read_picture(path).frame.planes]) / 255


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("color", [COLOR, replace(COLOR, range=Range.FULL, matrix=Matrix.SMPTE170M)], ids=str)
def test_both_sides_show_the_frame_in_its_colours(tmp_path: Path, layout: str, color: ColorSpec) -> None:
    made = Previews(tmp_path / "p.png", every=1)
    small = frame(0, height=48, width=64, layout=layout, color=color)
    large = frame(0, height=96, width=128, layout=layout, color=color)
    made.source(small)
    made.result(large)
    made.close()
    image = shown(tmp_path / "p.png")
    assert made.written == 1
    assert image.shape == (3, 96, 2 * 96 + 8)
    expected = to_rgb(large.planes, large.color, large.layout).clamp(0, 1)
    right = image[..., 96 + 8 :]
    left = image[..., :96]
    # swscale rounds to 8 bits and interpolates chroma in its own way; a wrong matrix or range is 8 levels.
    errors = [(right - expected[..., at : at + 96]).abs() for at in range(0, 33, 4)]
    best = min(errors, key=lambda error: error.mean().item())
    assert best.mean() < 1.5 / 255
    assert best.max() < 6 / 255
    assert (left - right).abs().mean() < 4 / 255, "the same place, enlarged"
    assert (image[..., 96:104] == 1).all()


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    made = Previews(tmp_path / "p.png", every=1, rotation=90)
    made.source(frame(0, height=64, width=64))
    made.result(frame(0, height=128, width=128))
    made.close()
    side = shown(tmp_path / "p.png")[..., :128]
    straight = to_rgb(frame(0, height=128, width=128).planes, COLOR, LAYOUTS["yuv420p"])
    assert (side - torch.rot90(straight, 1, (-2, -1))).abs().mean() < 3 / 255


def test_a_large_frame_is_shown_where_its_detail_is(tmp_path: Path) -> None:
    luma = np.zeros((480, 640), np.uint8)
    luma[300:400, 500:600] = np.random.default_rng(0).integers(0, 255, (100, 100))
    top, left = most_detailed(luma, 256)
    assert top <= 300 < 400 <= top + 256
    assert left <= 500 < 600 <= left + 256
    made = Previews(tmp_path / "p.png", every=1)
    made.source(frame(0, height=600, width=800))
    made.result(frame(0, height=1200, width=1600))
    made.close()
    assert shown(tmp_path / "p.png").shape == (3, SIDE, 2 * SIDE + 8)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((16, 16), (32, 32)),
        ((17, 31), (34, 62)),
        ((2, 2), (4, 4)),
        ((90, 160), (135, 241)),
        ((40, 30), (40, 60)),
    ],
)
def test_odd_and_small_sizes_and_any_factor_are_shown(
    tmp_path: Path, before: tuple[int, int], after: tuple[int, int]
) -> None:
    made = Previews(tmp_path / "p.png", every=1)
    made.source(frame(0, height=before[0], width=before[1], layout="yuv444p10"))
    made.result(frame(0, height=after[0], width=after[1]))
    made.close()
    assert made.written == 1
    assert shown(tmp_path / "p.png").shape[0] == 3


def test_only_every_nth_frame_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = list[int]()
    done = threading.Event()

    def noted(pair: previews._Pair, turns: int) -> bytes:
        assert pair.before.stamp.index == pair.after.stamp.index
        numbers.append(pair.before.stamp.index)
        done.set()
        return b"png"

    monkeypatch.setattr(previews, "_png", noted)
    made = Previews(tmp_path / "p.png", every=3)
    for index in range(10):
        made.source(frame(index, height=16, width=16))
        made.result(frame(index, height=32, width=32))
        if index % 3 == 0:
            assert done.wait(60)
            done.clear()
            while made._pair is not None:  # the thread is about to be free again
                pass
    made.close()
    assert numbers == [0, 3, 6, 9]


def test_no_frame_waits_for_a_picture_and_memory_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(previews, "_png", lambda *_: goes_on.wait(60) and b"png")
    made = Previews(tmp_path / "p.png", every=1)
    for index in range(100):  # none of these calls returns late, though no picture is finished
        made.source(frame(index, height=16, width=16))
        made.result(frame(index, height=32, width=32))
    assert made._before is None
    goes_on.set()
    made.close()
    assert 1 <= made.written <= 2


def test_a_picture_that_fails_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Previews(tmp_path / "missing" / "p.png", every=1)
    made.source(frame(0, height=16, width=16))
    made.result(frame(0, height=32, width=32))
    made.close()
    assert made.written == 0
    assert "no preview of frame 0" in caplog.text


def test_the_command_says_where_the_picture_is_and_the_result_has_the_same_bits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=6, width=64, height=48)
    words = ("upscale", source, "--model", "bicubic")
    plain = run_cli(capfd, *words, tmp_path / "plain.mkv")
    found = run_cli(capfd, *words, tmp_path / "out.mkv", "--preview-every", 2)
    assert (plain.code, found.code) == (0, 0), found.err
    assert "out.mkv.preview.png shows one frame of every 2" in found.err
    assert shown(tmp_path / "out.mkv.preview.png").shape == (3, 96, 2 * 96 + 8)
    assert (tmp_path / "plain.mkv").stat().st_size == (tmp_path / "out.mkv").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".vsr-finished.jsonl",  # the results, so that no later queue takes them for inputs
        "in.mkv",
        "out.mkv",
        "out.mkv.preview.png",
        "plain.mkv",
    ]


def test_where_there_can_be_no_picture_it_is_said_before_the_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3, width=32, height=24)
    for words, reason in (
        ((source, "-", "--format", "nut", "--preview-every", 2), "must be a local file"),
        ((source, tmp_path / "o.mkv", "--preview-every", 0), "out of range"),
        ((source, tmp_path / "o.mkv", "--preview-every", 2, "--device", "cpu:2"), "one device"),
    ):
        found = run_cli(capfd, "upscale", *words, "--model", "bicubic")
        assert found.code == 2, found.err
        assert reason in found.line
    assert not (tmp_path / "o.mkv").exists()


def test_each_kind_of_output_has_its_picture(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3, width=32, height=24)
    save_png(torch.rand(3, 24, 32), tmp_path / "still.png")
    words = ("--model", "bicubic", "--preview-every", 1)
    for output in (tmp_path / "frames" / "%03d.png", tmp_path / "moving.webp"):
        found = run_cli(capfd, "upscale", source, output, *words)
        assert found.code == 0, found.err
    assert shown(tmp_path / "frames" / "preview.png").shape[0] == 3
    assert shown(tmp_path / "moving.webp.preview.png").shape[0] == 3
    found = run_cli(capfd, "upscale", source, tmp_path / "still.png", "--to", tmp_path / "out", *words)
    assert found.code == 0, found.err
    assert len([*(tmp_path / "out").glob("*.preview.png")]) == 1, "a picture is its own"
    found = run_cli(capfd, "upscale", tmp_path / "still.png", tmp_path / "larger.png", *words)
    assert found.code == 2
    assert "is a picture" in found.line


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of single threads")
def test_the_thread_lets_others_go_first(tmp_path: Path) -> None:
    made = Previews(tmp_path / "p.png", every=1)
    made.source(frame(0, height=16, width=16))
    made.result(frame(0, height=32, width=32))
    while not made.written:
        time.sleep(0.01)
    assert made._thread.native_id is not None
    assert os.getpriority(os.PRIO_PROCESS, made._thread.native_id) >= 10
    assert os.getpriority(os.PRIO_PROCESS, 0) < 10
    made.close()
