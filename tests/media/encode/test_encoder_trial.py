"""Encoders of graphics hardware: their lines in the table, and whether they open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.media.encode.test_encoder_choice import info_of
from tests.media_maker import make_clip
from vsr.media.encode import encoder_trial
from vsr.media.encode.encoder_choice import available, choose
from vsr.media.encode.encoder_options import option_names
from vsr.media.encode.encoder_table import ENCODERS, EncoderSpec
from vsr.media.formats.containers import CONTAINERS
from vsr.media.pixels.layouts import layout_of
from vsr.settings.schema import EncoderSettings

HARDWARE = [spec for spec in ENCODERS.values() if spec.needs is not None]
SOFTWARE = [spec for spec in ENCODERS.values() if spec.needs is None]
COMPILED_IN = [spec for spec in HARDWARE if spec.codec in av.codecs_available]


@pytest.fixture(autouse=True)
def _ask_anew() -> None:
    encoder_trial.opens.cache_clear()


def test_each_maker_has_its_encoders() -> None:
    kinds = {spec.codec.partition("_")[2] for spec in HARDWARE}
    assert kinds == {"nvenc", "videotoolbox", "qsv", "amf"}


@pytest.mark.parametrize("spec", COMPILED_IN, ids=lambda spec: spec.codec)
def test_ffmpeg_knows_every_option_format_and_preset_of_the_line(spec: EncoderSpec) -> None:
    assert spec.quality is not None
    known = option_names(spec.codec)
    assert set(spec.options) <= known
    assert set(spec.quality.options(spec.quality.default)) <= known
    formats = {found.name for found in av.Codec(spec.codec, "w").video_formats or ()}
    assert {spec.stored_as.get(name, name) for name in spec.pixel_formats} <= formats
    if spec.preset is not None:
        options = av.CodecContext.create(spec.codec, "w").supported_options
        rows = (*options.generic, *options.private)
        choices = [{c.name for c in row.choices or ()} for row in rows if row.name == spec.preset.option]
        assert any(set(spec.preset.choices) <= found for found in choices)


@pytest.mark.parametrize("spec", HARDWARE, ids=lambda spec: spec.codec)
def test_packed_formats_hold_the_same_samples(spec: EncoderSpec) -> None:
    for planar, packed in spec.stored_as.items():
        assert layout_of(planar) == layout_of(packed)


def test_videotoolbox_counts_quality_the_other_way_round() -> None:
    quality = ENCODERS["hevc_videotoolbox"].quality
    assert quality is not None
    lowest, highest = 118, 11800  # 1 and 100 in units of FF_QP2LAMBDA
    values = [int(quality.options(value)["global_quality"]) for value in (0, 18, 30.5, 51)]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (highest, lowest)


def test_amf_gets_the_quantiser_for_each_type_of_frame() -> None:
    quality = ENCODERS["h264_amf"].quality
    assert quality is not None
    assert quality.options(21) == {"qp_i": "21", "qp_p": "21", "qp_b": "21"}


def test_what_does_not_open_is_not_offered_and_says_what_it_needs() -> None:
    closed = [spec for spec in COMPILED_IN if not encoder_trial.opens(spec.codec)]
    if not closed:
        pytest.skip("every encoder that is compiled in opens here")
    for spec in closed:
        assert encoder_trial.why_not(spec.codec) == f"does not open: it needs {spec.needs}"
        assert spec.codec not in available()


def test_what_opens_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_trial, "opens", lambda name: name == "hevc_qsv")
    hardware = {name for name in available() if ENCODERS[name].needs}
    assert hardware == ({"hevc_qsv"} & av.codecs_available)


def test_a_usual_run_opens_no_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers may take a second each."""

    def refuse(name: str) -> bool:
        raise AssertionError(f"{name} was opened")

    monkeypatch.setattr(encoder_trial, "opens", refuse)
    container = CONTAINERS[".mkv"]
    assert choose(EncoderSettings(), info_of(), width=64, height=64, container=container).codec == "libx264"


TRIALS = "from vsr.media.encode import encoder_trial as t; [t.opens(name) for name in t.ENCODERS]"
RUN = """
import sys, vsr
vsr.upscale(sys.argv[1], sys.argv[2], model="bicubic", scale=2, encoder="libsvtav1", preset="12")
"""


@pytest.mark.parametrize("code", [TRIALS, RUN], ids=["trials", "run"])
def test_encoders_print_nothing(tmp_path: Path, code: str) -> None:
    """SVT-AV1 reads SVT_LOG once in a process, so another test that opened it would decide."""
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    environment = {key: value for key, value in os.environ.items() if key != "SVT_LOG"}
    command = [sys.executable, "-c", code, str(clip), str(tmp_path / "out.mkv")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("spec", SOFTWARE, ids=lambda spec: spec.codec)
def test_encoders_in_software_open(spec: EncoderSpec) -> None:
    assert encoder_trial.opens(spec.codec)


def test_one_that_this_build_lacks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", frozenset({"libx264"}))
    assert encoder_trial.why_not("libx265") == "not in this build of PyAV"
    assert not {"libx265", "h264_videotoolbox"} & set(available())
