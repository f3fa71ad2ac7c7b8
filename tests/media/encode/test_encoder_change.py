"""What of a preset's settings for its encoder is kept for another encoder."""

from __future__ import annotations

import av
import pytest

from vsr.media.encode.encoder_change import kept_for, left_out
from vsr.media.encode.encoder_choice import check_choice
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.formats.containers import CONTAINERS
from vsr.settings.presets import names, read_pipeline
from vsr.settings.schema import EncoderSettings

FILM = EncoderSettings(encoder="libx265", crf=18, preset="medium", options=(("tune", "grain"),), threads=3)


def test_crf_and_preset_survive_where_they_mean_the_same() -> None:
    made = kept_for(FILM, "libx264")
    assert made == EncoderSettings(encoder="libx264", crf=18, preset="medium", threads=3)
    (line,) = left_out(FILM, made, {"encoder"})
    assert line.endswith("tune=grain left out")


@pytest.mark.parametrize("encoder", ["libsvtav1", "libvpx-vp9", "hevc_nvenc", "ffv1"])
def test_crf_and_preset_of_other_units_are_named_and_left_out(encoder: str) -> None:
    made = kept_for(FILM, encoder)
    assert (made.crf, made.preset) == (None, None)
    (line,) = left_out(FILM, made, {"encoder"})
    assert line.startswith(f"{encoder} replaces libx265")
    assert line.endswith("crf 18, preset medium, tune=grain left out")


def test_what_was_given_with_the_other_encoder_is_not_said_to_be_lost() -> None:
    made = EncoderSettings(encoder="libsvtav1", crf=30)
    assert "crf" not in left_out(FILM, made, {"encoder", "crf"})[0]
    assert left_out(EncoderSettings(encoder="libx265", crf=18), made, {"encoder", "crf"}) == ()


def test_a_pixel_format_is_kept_by_encoders_that_have_it() -> None:
    deep = EncoderSettings(encoder="libx265", pixel_format="yuv420p12le")
    assert kept_for(deep, "ffv1").pixel_format == "yuv420p12le"
    assert kept_for(deep, "libx264").pixel_format is None


def test_settings_without_an_encoder_are_those_of_the_default_one() -> None:
    assert kept_for(EncoderSettings(crf=17), "libx265").crf == 17
    assert left_out(EncoderSettings(crf=17), EncoderSettings(encoder="ffv1"), {"encoder"}) == (
        "ffv1 replaces libx264, whose settings mean something else to it: crf 17 left out",
    )


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name in av.codecs_available])
@pytest.mark.parametrize("preset", names())
def test_what_is_kept_of_a_preset_is_possible_for_every_encoder(preset: str, encoder: str) -> None:
    container = next(one for one in CONTAINERS.values() if one.muxer in ENCODERS[encoder].muxers)
    check_choice(kept_for(read_pipeline(preset).encoder, encoder), container)
