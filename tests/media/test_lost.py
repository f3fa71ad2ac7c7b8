"""`lost` finds what a result lacks, and nothing in a result that is whole."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import Audio, Subtitle, make_clip, truncated
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.config import EncoderSettings, UpscaleSettings
from vsr.media.lost import lost
from vsr.pipeline.run import upscale_video

BT709 = ColorSpec(
    primaries=Primaries.BT709, transfer=Transfer.BT709, matrix=Matrix.BT709, range=Range.LIMITED
)
RICH: dict[str, object] = {
    "frames": 20,
    "bframes": 2,
    "color": BT709,
    "sar": Fraction(4, 3),
    "audio": [Audio(codec="aac", language="ger")],
    "subtitles": [Subtitle()],
    "chapters": [(0.0, 0.4, "one"), (0.4, 0.8, "two")],
    "attachments": [("a.ttf", "font/ttf", b"x" * 9)],
    "metadata": {"title": "a film"},
}
"""A clip that carries one of everything."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", **RICH)


def test_a_result_of_ours_has_lost_nothing(source: Path, tmp_path: Path) -> None:
    settings = UpscaleSettings(
        model="bicubic", scale=Fraction(2), encoder=EncoderSettings(preset="ultrafast")
    )
    upscale_video(source, tmp_path / "out.mkv", settings)
    assert lost(source, tmp_path / "out.mkv") == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"frames": 19}, "pictures: 19 of 20"),
        ({"pts": [*range(0, 760, 40), 770], "time_base": Fraction(1, 1000)}, "timestamps: 1 pictures"),
        ({"audio": []}, "audio: 0 streams of 1"),
        ({"audio": [Audio(codec="aac", language="eng")]}, "audio 0: language eng, not ger"),
        ({"audio": [Audio(codec="aac", language="ger", seconds=0.4)]}, "audio 0: 2"),
        ({"audio": [Audio(codec="aac", language="ger", rate=44100)]}, "audio 0: "),
        ({"subtitles": []}, "subtitle: 0 streams of 1"),
        ({"chapters": [(0.0, 0.4, "one")]}, "chapters: one, not one, two"),
        ({"attachments": []}, "attached files: 0 of 1"),
        ({"metadata": {}}, "metadata: title"),
        ({"color": ColorSpec()}, "colour: matrix unspecified, not bt709"),
        ({"sar": None}, "shape: 1.333 wide for 1 high, not 1.778"),
    ],
)
def test_each_loss_is_named(source: Path, tmp_path: Path, changed: dict[str, object], said: str) -> None:
    make_clip(tmp_path / "out.mkv", **(RICH | changed))
    lines = lost(source, tmp_path / "out.mkv")
    assert any(line.startswith(said) for line in lines), lines


def test_fewer_bits_and_coarser_chroma_are_losses(tmp_path: Path) -> None:
    make_clip(tmp_path / "deep.mkv", pix_fmt="yuv422p10le")
    make_clip(tmp_path / "flat.mkv", pix_fmt="yuv420p")
    assert {line.split(":")[0] for line in lost(tmp_path / "deep.mkv", tmp_path / "flat.mkv")} == {
        "depth",
        "chroma",
    }
    assert lost(tmp_path / "flat.mkv", tmp_path / "deep.mkv") == []


def test_the_command_says_so_and_exits_with_4(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = run_cli(capfd, "verify", source, source)
    assert (whole.code, whole.out.strip()) == (0, "nothing lost")
    short = make_clip(tmp_path / "short.mkv", **(RICH | {"frames": 10}))
    told = run_cli(capfd, "verify", source, short)
    assert told.code == 4
    assert "lost  pictures: 10 of 20" in told.out
    missing = run_cli(capfd, "verify", source, tmp_path / "nothing.mkv")
    assert missing.code == 3


def test_a_result_that_was_cut_off_is_found(source: Path, tmp_path: Path) -> None:
    part = truncated(source, tmp_path / "part.mkv", 0.6)
    assert any(line.startswith("pictures") for line in lost(source, part))
