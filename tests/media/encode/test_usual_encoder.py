"""The encoder where the user names none: H.264, and in WebM the one that loses the least."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.judges import ffprobe
from tests.media.encode.test_encoder_choice import PQ, info_of
from tests.media_maker import make_clip
from vsr import upscale
from vsr.color.spec import ColorSpec, Transfer
from vsr.errors import ConfigError
from vsr.media.encode.encoder_choice import choose, losses_of
from vsr.media.encode.usual_encoder import usual
from vsr.media.formats.containers import CONTAINERS
from vsr.settings.schema import EncoderSettings

HLG = ColorSpec(matrix=PQ.matrix, transfer=Transfer.HLG, primaries=PQ.primaries, range=PQ.range)


@pytest.mark.parametrize(
    ("source", "color", "encoder", "lost"),
    [
        ("yuv420p", None, "libvpx-vp9", ""),
        ("yuv422p", None, "libvpx-vp9", ""),
        ("yuv444p", None, "libvpx-vp9", ""),
        ("yuva420p", None, "libvpx-vp9", ""),
        ("gray", None, "libvpx-vp9", ""),
        ("rgb24", None, "libvpx-vp9", ""),
        ("yuv420p10le", None, "libsvtav1", "10 bits"),
        ("yuv420p12le", None, "libsvtav1", "12 bits"),
        ("yuv420p10le", PQ, "libsvtav1", "10 bits"),
        ("yuv422p10le", HLG, "libsvtav1", "10 bits"),
        ("yuv444p10le", PQ, "libsvtav1", "10 bits"),
        ("yuv420p", PQ, "libvpx-vp9", ""),
        ("yuva420p10le", None, "libvpx-vp9", ""),
    ],
)
def test_webm_is_vp9_unless_that_loses_more_of_the_source(
    source: str, color: ColorSpec | None, encoder: str, lost: str
) -> None:
    info = info_of(source, color)
    chosen, why = usual(CONTAINERS[".webm"], info, EncoderSettings())
    assert chosen == EncoderSettings(encoder=encoder)
    assert len(why) == bool(lost)
    assert all(f"libvpx-vp9 would lose {lost}" in sentence for sentence in why)
    plan = choose(EncoderSettings(), info, width=64, height=64, container=CONTAINERS[".webm"])
    assert (plan.codec, plan.notes[: len(why)]) == (encoder, why)
    told = losses_of(EncoderSettings(), info, width=64, height=64, container=CONTAINERS[".webm"])
    assert told == (plan.codec, plan.notes)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".m4v"])
@pytest.mark.parametrize("source", ["yuv420p", "yuv444p12le", "yuva420p"])
def test_other_containers_have_h264_by_default(suffix: str, source: str) -> None:
    asked = EncoderSettings(preset="fast")
    chosen, why = usual(CONTAINERS[suffix], info_of(source), asked)
    assert (chosen, why) == (replace(asked, encoder="libx264"), ())


@pytest.mark.parametrize(
    ("source", "asked", "encoder", "preset", "words"),
    [
        ("yuv420p", {"preset": "ultrafast"}, "libvpx-vp9", "3", ["has no preset ultrafast"]),
        (
            "yuv420p10le",
            {"preset": "ultrafast"},
            "libsvtav1",
            "7",
            ["would lose 10 bits", "libsvtav1 has no preset ultrafast; its default, 7, is used"],
        ),
        ("yuv420p", {"preset": "8"}, "libvpx-vp9", "8", []),
        ("yuv420p", {"crf": 0}, "libvpx-vp9", "3", []),
        ("yuv420p10le", {"crf": 0}, "libsvtav1", "7", ["would lose 10 bits", "has no CRF 0; 1 is used"]),
        ("yuv420p", {"preset": "12"}, "libsvtav1", "12", ["libvpx-vp9 has no preset 12"]),
        ("yuv444p", {"preset": "8"}, "libvpx-vp9", "8", []),
        ("yuv420p", {"pixel_format": "yuv420p10le"}, "libsvtav1", "7", ["has no yuv420p10le"]),
        ("yuv420p10le", {"pixel_format": "yuv444p"}, "libvpx-vp9", "3", []),
        ("yuv420p10le", {"pixel_format": "yuv420p", "preset": "slow"}, "libvpx-vp9", "3", ["no preset slow"]),
    ],
)
def test_in_webm_other_settings_decide_as_well_and_lose_no_bits(
    source: str, asked: dict[str, Any], encoder: str, preset: str, words: list[str]
) -> None:
    settings, info, webm = EncoderSettings(**asked), info_of(source), CONTAINERS[".webm"]
    plan = choose(settings, info, width=64, height=64, container=webm)
    assert (plan.codec, plan.preset) == (encoder, preset)
    said = [sentence for sentence in plan.notes if "is used" in sentence or "has no" in sentence]
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))
    if "pixel_format" not in asked:
        assert plan.layout.bit_depth == info.layout.bit_depth
    assert losses_of(settings, info, width=64, height=64, container=webm) == (plan.codec, plan.notes)


@pytest.mark.parametrize(
    "asked", [{"preset": "fsat"}, {"preset": "hq"}, {"pixel_format": "yuv444p10le"}, {"crf": 99.0}]
)
def test_what_no_default_encoder_of_webm_has_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="libvpx-vp9"):
        choose(
            EncoderSettings(**asked),
            info_of("yuv420p"),
            width=64,
            height=64,
            container=CONTAINERS[".webm"],
        )


def test_a_pixel_format_of_a_pipeline_that_webm_lacks_is_left_out_with_a_line(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="libx265", pix_fmt="yuv420p10le", frames=2)
    own = tmp_path / "own.toml"
    own.write_text('model = "bicubic"\n[encoder]\npreset = "ultrafast"\npixel_format = "yuv444p10le"\n')
    report = upscale(clip, tmp_path / "b.webm", pipeline=own)
    stream = ffprobe(tmp_path / "b.webm")["streams"][0]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("av1", "yuv420p10le")
    assert any("in WebM, pixel_format yuv444p10le is left out" in line for line in report.warnings)
    with pytest.raises(ConfigError, match="does not support `pixel_format='yuv444p10le'`"):
        upscale(clip, tmp_path / "c.webm", model="bicubic", pixel_format="yuv444p10le")


def test_webm_of_an_hdr_video_keeps_its_depth_and_says_why_it_is_av1(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mkv", codec="libx265", pix_fmt="yuv420p10le", frames=3, color=PQ, hdr10=True
    )
    report = upscale(clip, tmp_path / "b.webm", model="bicubic", preset="12")
    assert "libsvtav1 is used, because libvpx-vp9 would lose 10 bits (becomes 8)" in report.warnings
    stream = ffprobe(tmp_path / "b.webm")["streams"][0]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("av1", "yuv420p10le")
    assert (stream["color_transfer"], stream["color_primaries"]) == ("smpte2084", "bt2020")


@pytest.mark.parametrize("preset", ["film", "dvd", "anime"])
def test_a_preset_gets_the_default_encoder_in_webm_and_a_line_says_what_is_left_out(
    tmp_path: Path, preset: str
) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=3)
    report = upscale(clip, tmp_path / "b.webm", pipeline=preset, model="bicubic", preset="8")
    assert (report.encoder["codec"], report.encoder["crf"], report.encoder["preset"]) == (
        "libvpx-vp9",
        22,
        "8",
    )
    (line,) = [line for line in report.warnings if line.startswith("in WebM")]
    assert "left out" in line
    assert "preset" not in line.partition("left out")[0].partition(":")[2]
    assert report.settings["encoder.encoder"] == {"value": None, "from": "default"}
    assert report.settings["encoder.preset"] == {"value": "8", "from": "keyword"}


def test_an_encoder_that_was_named_and_a_lossless_preset_are_never_replaced(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=3)
    for words in (
        {"encoder": "libx265"},
        {"pipeline": "archive"},
        {"pipeline": "film", "encoder": "libx264"},
    ):
        with pytest.raises(ConfigError, match="WebM does not support the output of"):
            upscale(clip, tmp_path / "b.webm", model="bicubic", **words)  # type: ignore[arg-type]
