"""Size and pixel aspect of the result, from the settings and the source."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import ConfigError
from vsr.frame import Crop, VideoInfo
from vsr.pipeline.job.output_size import like, target_size, wanted_scale
from vsr.settings.schema import UpscaleSettings

DVD = VideoInfo(
    path="dvd.mpg",
    stream_index=0,
    codec="mpeg2video",
    width=720,
    height=576,
    pixel_format="yuv420p",
    layout=PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1)),
    tagged=ColorSpec(),
    color=ColorSpec(),
    time_base=Fraction(1, 90000),
    frame_rate=Fraction(25),
    sample_aspect_ratio=Fraction(16, 15),
)


def size(info: VideoInfo, **wishes: object) -> tuple[int, int, Fraction | None]:
    made = target_size(info, UpscaleSettings(**wishes), Fraction(2))  # type: ignore[arg-type]
    return made.width, made.height, made.sample_aspect_ratio


def test_without_a_setting_the_model_decides() -> None:
    assert size(DVD) == (1440, 1152, Fraction(16, 15))
    assert wanted_scale(DVD, UpscaleSettings()) is None


@pytest.mark.parametrize(
    ("scale", "width", "height"), [("3/2", 1080, 864), ("4", 2880, 2304), ("1", 720, 576)]
)
def test_any_scale_keeps_the_pixel_aspect(scale: str, width: int, height: int) -> None:
    assert size(DVD, scale=Fraction(scale)) == (width, height, Fraction(16, 15))


def test_a_size_with_other_proportions_changes_the_pixel_aspect_so_that_the_display_is_the_same() -> None:
    width, height, sar = size(DVD, width=1440, height=1080)
    assert (width, height) == (1440, 1080)
    shown_before = Fraction(720, 576) * Fraction(16, 15)
    assert sar is not None
    assert Fraction(width, height) * sar == shown_before


def test_square_pixels_stay_exactly_square() -> None:
    assert size(DVD, width=1440 * 16 // 15, height=1152)[2] == 1


def test_a_height_alone_keeps_proportions_and_gives_an_even_width() -> None:
    assert size(replace(DVD, width=853, height=480), height=1080)[:2] == (1920, 1080)


def test_sizes_apply_to_the_displayed_frame_of_rotated_video() -> None:
    phone = replace(DVD, width=1280, height=720, rotation=90, sample_aspect_ratio=None)
    assert size(phone, height=1920)[:2] == (1920, 1080)
    assert wanted_scale(phone, UpscaleSettings(height=1920)) == Fraction(1920, 1280)


@pytest.mark.parametrize(
    "wishes",
    [
        {"scale": Fraction(0)},
        {"scale": Fraction(-2)},
        {"scale": Fraction(17)},
        {"scale": Fraction(2), "height": 1080},
        {"width": 1920},
        {"height": 0},
        {"height": 20000},
    ],
)
def test_impossible_settings_are_rejected_before_any_work(wishes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        wanted_scale(DVD, UpscaleSettings(**wishes))  # type: ignore[arg-type]


def test_a_result_larger_than_any_encoder_supports_is_rejected() -> None:
    with pytest.raises(ConfigError, match="16384"):
        target_size(replace(DVD, width=8192), UpscaleSettings(scale=Fraction(4)), Fraction(4))


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_size_applies_to_the_frame_without_hidden_borders(rotation: int) -> None:
    coded = replace(
        DVD,
        width=1920,
        height=1088,
        sample_aspect_ratio=None,
        rotation=rotation,
        crop=Crop(bottom=Fraction(8)),
    )
    tall = {"width": 2160, "height": 3840} if rotation else {"width": 3840, "height": 2160}
    for wishes in (tall, {"height": tall["height"]}):
        made = target_size(coded, UpscaleSettings(**wishes), Fraction(2))
        assert (made.width, made.height) == (3840, 2176)
        crop = like(coded, made).crop
        assert crop is not None
        assert made.height - crop.bottom == 2160
    assert wanted_scale(coded, UpscaleSettings(height=tall["height"])) == 2


WIDE, NTSC = replace(DVD, sample_aspect_ratio=Fraction(64, 45)), replace(DVD, height=480)


@pytest.mark.parametrize(
    ("info", "wishes", "expected"),
    [
        (WIDE, {}, (2048, 1152)),
        (WIDE, {"height": 1080}, (1920, 1080)),
        (WIDE, {"scale": Fraction(3, 2)}, (1536, 864)),
        (DVD, {"height": 1080}, (1440, 1080)),
        (replace(NTSC, sample_aspect_ratio=Fraction(8, 9)), {}, (1440, 1080)),
        (replace(NTSC, sample_aspect_ratio=Fraction(8, 9)), {"height": 720}, (960, 720)),
        (replace(NTSC, sample_aspect_ratio=Fraction(32, 27)), {"height": 1080}, (1920, 1080)),
        (replace(DVD, sample_aspect_ratio=None), {}, (1440, 1152)),
        (replace(WIDE, rotation=90), {"height": 1024}, (1024, 576)),
        (WIDE, {"height": 1080, "width": 1920}, (1920, 1080)),
        (replace(WIDE, crop=Crop(top=Fraction(72), bottom=Fraction(72))), {"height": 1080}, (2560, 1440)),
    ],
)
def test_square_pixels_have_the_shape_that_players_show(
    info: VideoInfo, wishes: dict[str, object], expected: tuple[int, int]
) -> None:
    assert size(info, square_pixels=True, **wishes) == (*expected, Fraction(1))


def test_square_pixels_refuse_a_size_of_another_shape() -> None:
    with pytest.raises(ConfigError, match="give the height alone"):
        size(WIDE, square_pixels=True, height=1080, width=1440)


def test_the_model_is_chosen_by_the_side_that_grows_most() -> None:
    wishes = UpscaleSettings(square_pixels=True, height=1080)
    assert wanted_scale(WIDE, wishes) == Fraction(1920, 720)
