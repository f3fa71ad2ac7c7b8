"""The table of encoders, and the encoding plan for a source."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import av
import pytest

from vsr.color.spec import ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.errors import ConfigError, DeviceError
from vsr.frame import ContentLight, MasteringDisplay, VideoInfo
from vsr.media.encode.encoder_choice import EncoderPlan, available, choose
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.encode.video_encoder import VideoEncoder
from vsr.media.formats.containers import CONTAINERS
from vsr.media.metadata.hdr import hdr_options
from vsr.media.pixels.layouts import layout_of
from vsr.settings.schema import EncoderSettings

SOFTWARE = [name for name, spec in ENCODERS.items() if spec.needs is None]
PQ = ColorSpec(
    matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
)
DISPLAY = MasteringDisplay(
    red=(Fraction("0.68"), Fraction("0.32")),
    green=(Fraction("0.265"), Fraction("0.69")),
    blue=(Fraction("0.15"), Fraction("0.06")),
    white=(Fraction("0.3127"), Fraction("0.329")),
    min_luminance=Fraction("0.005"),
    max_luminance=Fraction(1000),
)


def info_of(pixel_format: str = "yuv420p", color: ColorSpec | None = None, **more: object) -> VideoInfo:
    layout = layout_of(pixel_format)
    tagged = color or ColorSpec()
    complete = tagged.guess_for(height=64, layout=layout)[0]
    known = VideoInfo(
        path="in.mp4",
        stream_index=0,
        codec="h264",
        width=64,
        height=64,
        pixel_format=pixel_format,
        layout=layout,
        tagged=tagged,
        color=complete,
        time_base=Fraction(1, 15360),
        frame_rate=Fraction(30),
        sample_aspect_ratio=None,
    )
    return replace(known, **more)  # type: ignore[arg-type]


def plan_for(
    info: VideoInfo,
    encoder: str = "libx264",
    suffix: str = ".mkv",
    size: tuple[int, int] = (64, 64),
    **more: object,
) -> EncoderPlan:
    settings = EncoderSettings(encoder=encoder, **more)  # type: ignore[arg-type]
    return choose(settings, info, width=size[0], height=size[1], container=CONTAINERS[suffix])


def opened(plan: EncoderPlan, info: VideoInfo, muxer: str = "matroska") -> VideoEncoder:
    with av.open(io.BytesIO(), "w", format=muxer) as output:
        return VideoEncoder(output, plan, info)


def test_every_format_of_the_table_is_one_that_ffmpeg_offers_for_the_encoder() -> None:
    for name in available():
        offered = {fmt.name for fmt in av.Codec(name, "w").video_formats or ()}
        spec = ENCODERS[name]
        assert {spec.stored_as.get(fmt, fmt) for fmt in spec.pixel_formats} <= offered, name


def test_packed_formats_hold_the_same_samples() -> None:
    for spec in ENCODERS.values():
        for planar, packed in spec.stored_as.items():
            assert layout_of(planar) == layout_of(packed)


@pytest.mark.parametrize("encoder", SOFTWARE)
def test_every_software_encoder_opens_with_its_defaults(encoder: str) -> None:
    info = info_of()
    plan = plan_for(info, encoder)
    opened(plan, info)


@pytest.mark.parametrize(
    ("source", "encoder", "chosen"),
    [
        ("yuv420p", "libx264", "yuv420p"),
        ("yuv422p", "libx264", "yuv422p"),
        ("yuv444p", "libx264", "yuv444p"),
        ("yuv420p10le", "libx264", "yuv420p10le"),
        ("yuv422p10le", "libx264", "yuv422p10le"),
        ("yuvj420p", "libx264", "yuv420p"),
        ("yuv420p9le", "libx264", "yuv420p10le"),
        ("gray", "libx264", "yuv420p"),
        ("gray10le", "libx265", "yuv420p10le"),
        ("nv12", "libx264", "yuv420p"),
        ("yuv411p", "libx264", "yuv422p"),
        ("yuv440p", "libx264", "yuv444p"),
        ("yuv420p12le", "libx265", "yuv420p12le"),
        ("yuv444p12le", "libx265", "yuv444p12le"),
        ("yuv420p10le", "libsvtav1", "yuv420p10le"),
        ("yuva420p", "libvpx-vp9", "yuva420p"),
        ("yuva444p", "prores_ks", "yuva444p10le"),
        ("yuv420p", "prores_ks", "yuv422p10le"),
        ("rgb24", "libx264rgb", "bgr24"),
        ("rgb24", "ffv1", "bgr0"),
        ("rgba", "ffv1", "bgra"),
        ("pal8", "ffv1", "bgra"),
        ("rgb48le", "ffv1", "gbrp16le"),
        ("gray16le", "ffv1", "gray16le"),
        ("yuv422p16le", "ffv1", "yuv422p16le"),
        ("yuva444p12le", "ffv1", "yuva444p12le"),
    ],
)
def test_a_lossless_format_is_chosen_without_a_note(source: str, encoder: str, chosen: str) -> None:
    suffix = ".mov" if encoder == "prores_ks" else ".mkv"
    plan = plan_for(info_of(source), encoder, suffix)
    assert plan.pixel_format == chosen
    assert plan.layout == layout_of(chosen)
    assert plan.notes == ()


@pytest.mark.parametrize(
    ("source", "encoder", "chosen", "word"),
    [
        ("yuv420p12le", "libx264", "yuv420p10le", "12 bits"),
        ("yuv444p16le", "libx265", "yuv444p12le", "16 bits"),
        ("yuv444p", "libsvtav1", "yuv420p", "4:4:4 chroma"),
        ("yuv420p10le", "libvpx-vp9", "yuv420p", "10 bits"),
        ("yuva420p", "libx264", "yuv420p", "transparency"),
        ("rgb24", "libx264", "yuv444p", "R'G'B'"),
    ],
)
def test_a_loss_is_reported_in_one_note_that_names_ffv1(
    source: str, encoder: str, chosen: str, word: str
) -> None:
    plan = plan_for(info_of(source), encoder)
    assert plan.pixel_format == chosen
    assert len(plan.notes) == 1
    assert word in plan.notes[0]
    assert "ffv1" in plan.notes[0]


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_odd_sizes_become_444_with_a_note_and_the_encoder_opens(encoder: str) -> None:
    info = info_of("yuv420p")
    plan = plan_for(info, encoder, size=(65, 49))
    assert plan.pixel_format == "yuv444p"
    assert "65x49" in plan.notes[0]
    opened(plan, info)


@pytest.mark.parametrize("encoder", ["libsvtav1", "libvpx-vp9", "ffv1"])
def test_odd_sizes_stay_420_if_the_codec_supports_them(encoder: str) -> None:
    info = info_of("yuv420p")
    plan = plan_for(info, encoder, size=(65, 49))
    assert plan.layout == info.layout
    assert plan.notes == ()
    opened(plan, info)


def test_gray_keeps_its_range_so_that_its_samples_do_not_change() -> None:
    plan = plan_for(info_of("gray"))
    assert plan.color.range is Range.FULL
    assert plan.color.matrix is not Matrix.RGB


def test_rgb_into_yuv_gets_a_matrix_and_limited_range() -> None:
    plan = plan_for(info_of("rgb24"))
    assert plan.color.matrix is Matrix.SMPTE170M
    assert plan.color.range is Range.LIMITED


def test_prores_says_that_full_range_is_converted() -> None:
    plan = plan_for(info_of("yuv422p10le", ColorSpec(range=Range.FULL)), "prores_ks", ".mov")
    assert plan.color.range is Range.LIMITED
    assert "limited range" in plan.notes[0]


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
def test_hdr_metadata_is_passed_to_encoders_that_can_store_it(encoder: str) -> None:
    light = ContentLight(max_cll=1000, max_fall=400)
    info = info_of("yuv420p10le", PQ, mastering_display=DISPLAY, content_light=light)
    plan = plan_for(info, encoder)
    assert plan.notes == ()
    assert any("1000,400" in value and "G(" in value for value in plan.options.values())
    opened(plan, info)


def test_hdr_metadata_is_stored_in_the_container_if_not_by_the_encoder_but_not_in_pipes() -> None:
    info = info_of("yuv420p10le", PQ, mastering_display=DISPLAY)
    assert plan_for(info, "ffv1").notes == ()
    assert hdr_options("rawvideo", info, in_file=True) == ({}, [])
    assert "mastering metadata" in hdr_options("rawvideo", info, in_file=False)[1][0]


def test_hdr_in_8_bits_is_refused_unless_requested() -> None:
    with pytest.raises(ConfigError, match="libx265"):
        plan_for(info_of("yuv420p10le", PQ), "libvpx-vp9")
    assert plan_for(info_of("yuv420p10le", PQ), "libvpx-vp9", pixel_format="yuv420p").layout.bit_depth == 8


def test_user_sub_options_are_added_to_the_defaults() -> None:
    info = info_of("yuv420p10le", PQ, mastering_display=DISPLAY)
    plan = plan_for(info, "libx265", options=(("x265-params", "aq-mode=3"),))
    assert "master-display" in plan.options["x265-params"]
    assert plan.options["x265-params"].endswith(":aq-mode=3")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"options": (("tunne", "film"),)}, "did you mean 'tune'"),
        ({"crf": 52.0}, "out of range"),
        ({"crf": -1.0}, "out of range"),
        ({"preset": "quick"}, "veryslow"),
        ({"pixel_format": "yuv420p12le"}, "it supports yuv420p"),
        ({"pixel_format": "nonsense"}, "does not support"),
    ],
)
def test_wrong_settings_are_refused_with_a_correct_alternative(more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_for(info_of(), **more)


def test_an_option_value_that_the_encoder_refuses_is_one_line() -> None:
    info = info_of()
    plan = plan_for(info, options=(("tune", "nonsense"),))
    with pytest.raises(ConfigError) as caught:
        opened(plan, info)
    assert "tune=nonsense" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_about_unknown_encoders_and_containers_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="libx265"):
        plan_for(info_of(), "h265")
    with pytest.raises(ConfigError, match="libvpx-vp9"):
        plan_for(info_of(), "libx264", ".webm")
    with pytest.raises(ConfigError, match=r"\.mov"):
        plan_for(info_of(), "prores_ks", ".mp4")


def test_lossless_encoders_have_no_crf_or_preset() -> None:
    with pytest.raises(ConfigError, match="leave out `crf="):
        plan_for(info_of(), "ffv1", crf=18.0)
    with pytest.raises(ConfigError, match="leave out `preset="):
        plan_for(info_of(), "ffv1", preset="slow")


def test_sizes_below_the_encoders_minimum_are_refused() -> None:
    with pytest.raises(ConfigError, match="16 pixels"):
        plan_for(info_of(), "libx265", size=(8, 8))
    info = info_of("yuv420p")
    opened(plan_for(info, "libx265", size=(16, 16)), info)


@pytest.mark.parametrize("name", [name for name, spec in ENCODERS.items() if spec.needs])
def test_an_encoder_without_its_hardware_is_a_device_error_that_names_an_alternative(name: str) -> None:
    if name not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {name}")
    info, message = info_of(), ""
    try:
        opened(plan_for(info, name, ".mkv"), info)
    except DeviceError as error:
        message = str(error)
    else:
        pytest.skip(f"{name} opens on this machine")
    needs = ENCODERS[name].needs
    assert needs
    assert needs in message
    assert "libx264" in message


def test_layouts_compare_by_value() -> None:
    assert layout_of("yuv420p") == PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))


def test_transparency_is_encoded_only_if_the_container_keeps_it() -> None:
    info = info_of("yuva420p")
    assert plan_for(info, "libvpx-vp9", ".webm").pixel_format == "yuva420p"
    plan = plan_for(info, "libvpx-vp9", ".mp4")
    assert plan.pixel_format == "yuv420p"
    assert ["transparency" in note for note in plan.notes] == [True]
    with pytest.raises(ConfigError, match="yuva420p"):
        plan_for(info, "libvpx-vp9", ".mp4", pixel_format="yuva420p")


X265_ALONE = """
import sys, av
from fractions import Fraction
width, height, params = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for _ in range(3):
    context = av.CodecContext.create("libx265", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.options = Fraction(1, 25), {"x265-params": params, "crf": "20"}
    for n in range(3):
        frame = av.VideoFrame(width, height, "yuv420p")
        frame.pts = n
        context.encode(frame)
    context.encode(None)
    del context
"""


@pytest.mark.parametrize("size", [(36, 32), (48, 34), (34, 128), (62, 62)])
def test_libx265_does_not_crash_on_small_frames(size: tuple[int, int]) -> None:
    """Runs in its own process, because a crash would end the tests."""
    params = plan_for(info_of(), "libx265", size=size).options["x265-params"]
    assert "cutree=0" in params, "the encoder does not crash every time"
    words = [str(number) for number in size]
    done = subprocess.run([sys.executable, "-c", X265_ALONE, *words, params], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_libx265_options_are_unchanged_for_large_frames() -> None:
    assert "cutree" not in plan_for(info_of(), "libx265", size=(64, 64)).options["x265-params"]
