"""`audit` finds what a result lacks, and nothing in a complete result."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.judges import run
from tests.media_maker import Audio, Subtitle, make_clip, truncated
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.media.audit import verify
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

BT709 = ColorSpec(
    primaries=Primaries.BT709, transfer=Transfer.BT709, matrix=Matrix.BT709, range=Range.LIMITED
)
LINES = ((0.0, 0.1, "first"), (0.2, 0.3, "second ü"))
RICH: dict[str, object] = {
    "frames": 20,
    "bframes": 2,
    "color": BT709,
    "sar": Fraction(4, 3),
    "audio": [Audio(codec="aac", language="ger")],
    "subtitles": [Subtitle(lines=LINES)],
    "chapters": [(0.0, 0.4, "one"), (0.4, 0.8, "two")],
    "attachments": [("a.ttf", "font/ttf", b"x" * 9)],
    "metadata": {"title": "a film"},
}
"""A clip with one stream or property of each kind."""
LARGE = {"width": 128, "height": 96}
"""Twice the size of a clip, as a result has it."""
QUICK = EncoderSettings(preset="ultrafast")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", **RICH)


def lost(source: Path, result: Path) -> list[str]:
    return list(verify(source, result).lost)


def upscaled(source: Path, target: Path, **wishes: object) -> Path:
    settings = UpscaleSettings(model="bicubic", scale=Fraction(2), encoder=QUICK)
    upscale(source, target, settings, **wishes)  # type: ignore[arg-type]
    return target


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_vsr_output_loses_nothing(source: Path, tmp_path: Path, suffix: str) -> None:
    result = upscaled(source, tmp_path / f"out.{suffix}")
    known = {"mkv": (), "mov": ("attached files: a.ttf missing",)}[suffix]
    found = [line for line in lost(source, result) if not line.startswith(known or ("-",))]
    assert found == []


@pytest.mark.parametrize(
    "knobs",
    [
        {"pix_fmt": "yuv420p10le", "codec": "libx265", "hdr10": True},
        {"interlaced": "top", "options": {"x264-params": "interlaced=1"}},
        {"pix_fmt": "gray"},
        {"pix_fmt": "gray10le"},
        {"pix_fmt": "yuvj420p"},
        {"rotation": 90},
        {"rotation": 180, "mirrored": True},
        {"pts": [0, 40, 100, 300, 310, 800], "time_base": Fraction(1, 1000)},
        {"audio": [Audio(codec="pcm_s16le"), Audio(codec="flac")]},
    ],
    ids=lambda knobs: " ".join(f"{key}={value}" for key, value in knobs.items())[:40],
)
def test_vsr_output_loses_nothing_whatever_the_frames_show(tmp_path: Path, knobs: dict[str, object]) -> None:
    source = make_clip(tmp_path / "in.mkv", **knobs)
    assert lost(source, upscaled(source, tmp_path / "out.mkv")) == []


def test_a_copy_at_twice_the_size_has_lost_nothing(source: Path, tmp_path: Path) -> None:
    assert lost(source, make_clip(tmp_path / "out.mkv", **(RICH | LARGE))) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"frames": 19}, "frames: 19 of 20"),
        ({"frames": 21}, "frames: 21, but the source has 20"),
        ({"pts": [*range(0, 760, 40), 770], "time_base": Fraction(1, 1000)}, "timestamps: 1 frames"),
        ({"audio": []}, "audio: 0 streams of 1"),
        ({"audio": [Audio(codec="aac", language="eng")]}, "audio 0: language eng, not ger"),
        ({"audio": [Audio(codec="aac", language="ger", seconds=0.4)]}, "audio 0: 0.4"),
        ({"audio": [Audio(codec="aac", language="ger", rate=44100)]}, "audio 0: 2 channels at 44100 Hz"),
        ({"audio": [Audio(codec="aac", language="ger", start=0.04)]}, "audio 0: 0.040 s late"),
        ({"audio": [Audio(codec="aac", language="ger", start=2)]}, "audio 0: 2.000 s late"),
        ({"audio": [Audio(codec="libmp3lame", language="ger")]}, "audio 0: "),
        ({"subtitles": []}, "subtitle: 0 streams of 1"),
        (
            {"subtitles": [Subtitle(lines=((0.0, 0.1, "other"), LINES[1]))]},
            "subtitle 0: 1 lines differ: 'first'",
        ),
        ({"subtitles": [Subtitle(lines=((0.1, 0.2, "first"), LINES[1]))]}, "subtitle 0: 1 lines differ"),
        ({"subtitles": [Subtitle(lines=(*LINES, (0.4, 0.5, "more")))]}, "subtitle 0: 1 lines differ: 'more'"),
        ({"chapters": [(0.0, 0.4, "one")]}, "chapters: one, not one, two"),
        ({"chapters": [(0.0, 0.5, "one"), (0.5, 0.8, "two")]}, "chapters: one is at 0.000 to 0.500 s"),
        ({"attachments": []}, "attached files: a.ttf missing"),
        ({"attachments": [("a.ttf", "font/ttf", b"y" * 9)]}, "attached files: a.ttf missing or with other"),
        ({"attachments": [("b.ttf", "font/ttf", b"x" * 9)]}, "attached files: a.ttf under another name"),
        ({"metadata": {}}, "metadata: title"),
        ({"color": ColorSpec()}, "colour: matrix unspecified, not bt709"),
        ({"sar": None}, "shape: 1.333 wide for 1 high, not 1.778"),
        ({"width": 64, "height": 48}, "size: 64x48 is not larger"),
        ({"width": 32, "height": 24}, "size: 32x24 is not larger"),
        ({"rotation": 180}, "frames: all are upside down"),
        ({"mirrored": True}, "frames: all are mirrored"),
        ({"first_number": 77}, "frames: "),
        ({"rotation": 90}, "shape: "),
    ],
    ids=lambda case: str(case)[:50],
)
def test_each_loss_is_named(source: Path, tmp_path: Path, changed: dict[str, object], said: str) -> None:
    make_clip(tmp_path / "out.mkv", **(RICH | LARGE | changed))
    lines = lost(source, tmp_path / "out.mkv")
    assert any(line.startswith(said) for line in lines), lines


def test_fewer_bits_and_coarser_chroma_are_losses(tmp_path: Path) -> None:
    make_clip(tmp_path / "deep.mkv", pix_fmt="yuv422p10le")
    make_clip(tmp_path / "flat.mkv", pix_fmt="yuv420p", **LARGE)
    assert {line.split(":")[0] for line in lost(tmp_path / "deep.mkv", tmp_path / "flat.mkv")} == {
        "depth",
        "chroma",
    }
    make_clip(tmp_path / "large.mkv", pix_fmt="yuv422p10le", **LARGE)
    make_clip(tmp_path / "small.mkv", pix_fmt="yuv420p")
    assert lost(tmp_path / "small.mkv", tmp_path / "large.mkv") == []


def test_another_pixel_format_is_a_loss_only_if_samples_are_dropped(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="libx264rgb", pix_fmt="rgb24")
    assert lost(source, upscaled(source, tmp_path / "out.mkv")) == []  # 4:4:4
    assert "chroma: yuv420p of gbrp" in lost(source, make_clip(tmp_path / "coarse.mkv", **LARGE))
    source = make_clip(tmp_path / "seen.mov", codec="png", pix_fmt="rgba")
    said = lost(source, make_clip(tmp_path / "blind.mov", codec="png", pix_fmt="rgb24", **LARGE))
    assert said == ["transparency: rgb24 of rgba"]


def test_a_missing_disposition_is_a_loss(tmp_path: Path, edit: Callable[..., Path]) -> None:
    source = edit(make_clip(tmp_path / "a.mkv", **RICH), tmp_path / "in.mkv", "-disposition:a", "forced")
    result = make_clip(tmp_path / "out.mkv", **(RICH | LARGE))
    assert any(
        line.startswith("audio 0: not marked as") and "forced" in line for line in lost(source, result)
    )


def test_only_the_selected_range_of_the_source_is_compared(source: Path, tmp_path: Path) -> None:
    result = upscaled(source, tmp_path / "out.mkv", start=Fraction(1, 5), end=Fraction(3, 5))
    assert verify(source, result, start=Fraction(1, 5), end=Fraction(3, 5)).lost == ()
    assert any(line.startswith("frames: 10 of 20") for line in lost(source, result))
    assert any(
        "frames" in line for line in verify(source, result, start=Fraction(2, 5), end=Fraction(4, 5)).lost
    )


def noisy(path: Path, *options: str, delay: float = 0.0) -> Path:
    """Write two seconds of PCM noise with a video, by another program; `delay` is that of the audio."""
    video = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2")
    noise = ("-itsoffset", str(delay), "-f", "lavfi", "-i", "anoisesrc=duration=2:seed=7:sample_rate=48000")
    run("ffmpeg", "-v", "error", *video, *noise, "-preset", "ultrafast", *options, "-y", str(path))
    return path


RANGE = {"start": Fraction("0.37"), "end": Fraction("1.5")}


@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        (("-c:a", "pcm_s16le", "-af", "asetnsamples=n=1500"), "mov"),
        (("-c:a", "pcm_s16le", "-af", "asetnsamples=n=24000"), "mp4"),
        (("-c:a", "pcm_u8"), "mov"),
        (("-c:a", "pcm_s24le"), "mkv"),
        (("-c:a", "wavpack"), "mov"),
    ],
    ids=["1,500 samples", "24,000 samples", "8 bits", "alike", "another codec"],
)
def test_a_part_with_other_packets_of_the_same_samples_has_lost_nothing(
    tmp_path: Path, options: tuple[str, ...], suffix: str
) -> None:
    source = noisy(tmp_path / "in.mkv", *options)
    result = upscaled(source, tmp_path / f"out.{suffix}", **RANGE)
    assert verify(source, result, **RANGE).lost == ()


def test_another_sound_or_time_in_a_part_is_found(tmp_path: Path) -> None:
    source = noisy(tmp_path / "in.mkv", "-c:a", "pcm_s16le")
    late = upscaled(noisy(tmp_path / "late.mkv", "-c:a", "pcm_s16le", delay=0.1), tmp_path / "l.mov", **RANGE)
    assert [one for one in verify(source, late, **RANGE).lost if "+0.100 s against the video" in one]
    other = noisy(tmp_path / "other.mkv", "-c:a", "pcm_s16le", "-af", "volume=0.9")
    other = upscaled(other, tmp_path / "o.mov", **RANGE)
    assert [one for one in verify(source, other, **RANGE).lost if "encoded again, or is another" in one]


def test_the_command_reports_losses_and_exits_with_4(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = run_cli(capfd, "verify", source, make_clip(tmp_path / "whole.mkv", **(RICH | LARGE)))
    assert (whole.code, whole.out.strip()) == (0, "nothing lost")
    short = make_clip(tmp_path / "short.mkv", **(RICH | LARGE | {"frames": 10}))
    reported = run_cli(capfd, "verify", source, short)
    assert reported.code == 4
    assert "lost  frames: 10 of 20" in reported.out
    part = run_cli(capfd, "verify", source, short, "--end", "0.4")
    assert "frames: 10" not in part.out
    missing = run_cli(capfd, "verify", source, tmp_path / "nothing.mkv")
    assert missing.code == 3


def test_a_truncated_result_is_found(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", **RICH)
    part = truncated(make_clip(tmp_path / "whole.mkv", **(RICH | LARGE)), tmp_path / "part.mkv", 0.6)
    assert any(line.startswith("frames") for line in lost(source, part))
