"""Options set numbers and modes. They name no files, unless allowed, and contain no endless loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest

from tests.folders import names_in
from tests.media_maker import make_clip
from vsr.errors import ConfigError
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.files.option_safety import FILE_OPTIONS, NESTED, PLAIN_NESTED, check_option, names_a_file
from vsr.media.filters.filters import parse
from vsr.pipeline.run import upscale
from vsr.settings.presets import names, read_pipeline
from vsr.settings.schema import EncoderSettings, UpscaleSettings

WRITES = [
    ("libx264", "stats", "made"),
    ("libx264", "passlogfile", "made"),
    ("libx264", "flags", "+pass1"),
    ("libx264", "flags", "512"),
    ("libx264", "flags", "qscale+pass1"),
    ("libx264", "x264-params", "pass=1"),
    ("libx264", "x264-params", "dump-yuv=made"),
    ("libx264", "x264-params", "keyint=20:dump_yuv=made"),
    ("libx264", "x264-params", "'dump-yuv'=made"),
    ("libx264", "x264-params", "du\\mp-yuv=made"),
    ("libx264", "x264-params", "  dump-yuv =made"),
    ("libx264", "x264-params", "a='b:c':dump-yuv=made"),
    ("libx264", "x264opts", "dump-yuv=made"),
    ("libx264", "x264opts", "keyint=20:stats=made:pass=1"),
    ("libx265", "x265-stats", "made"),
    ("libx265", "x265-params", "csv=made"),
    ("libx265", "x265-params", "--csv=made"),
    ("libx265", "x265-params", "nocsv=1"),
    ("libx265", "x265-params", "analysis-save=made"),
    ("libx265", "x265-params", "analysis_save=made"),
    ("libx265", "x265-params", "pass=1:stats=made"),
    ("libx265", "x265-params", "recon=made"),
]
READS = [
    ("libx264", "x264-params", "cqmfile=made"),
    ("libx265", "x265-params", "qpfile=made"),
    ("libx265", "x265-params", "lambda-file=made"),
    ("libx265", "x265-params", "scaling-list=made"),
    ("libx265", "x265-params", "zonefile=made"),
    ("libx265", "x265-params", "dhdr10-info=made"),
    ("libx265", "x265-params", "analysis-load=made"),
    ("libx265", "x265-params", "dolby-vision-rpu=made"),
    ("libx265", "x265-params", "film-grain=made"),
    ("libx265", "x265-params", "anything=/etc/passwd"),
    ("libsvtav1", "svtav1-params", "stats=made"),
    ("libsvtav1", "svtav1-params", "fgs-table=made"),
    ("libsvtav1", "svtav1-params", "qp-file=made"),
    ("libsvtav1", "svtav1-params", "roi-map-file=made"),
]


@pytest.mark.parametrize(("codec", "key", "value"), [*WRITES, *READS])
def test_options_that_name_files_need_permission(codec: str, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match="`allow_files=True`"):
        check_option(codec, key, value, allow_files=False)
    check_option(codec, key, value, allow_files=True)


@pytest.mark.parametrize(
    ("codec", "key", "value"),
    [
        ("libx264", "tune", "animation"),
        ("libx264", "profile", "high"),
        ("libx264", "psy-rd", "1.0:0.15"),
        ("libx264", "deblock", "-1:-1"),
        ("libx264", "flags", "+cgop-low_delay"),
        ("libx264", "x264-params", "zones=0,10,q=20/11,20,b=2:fps=30000/1001:slow-firstpass=0"),
        ("libx264", "x264-params", r"deblock=-1\:-1:psy-rd=1.0,0.15"),
        ("libx264", "x264opts", "rc-lookahead=30:no-mbtree"),
        ("libx265", "profile", "main10"),
        (
            "libx265",
            "x265-params",
            "log-level=error:csv-log-level=1:no-slow-firstpass=1:scaling-list=default",
        ),
        ("libx265", "x265-params", "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(1,1)L(1,1)"),
        ("libx265", "x265-params", "noise-reduction-intra=100:input-csp=i420:output-depth=10:pools=+,-"),
        ("libsvtav1", "svtav1-params", "film-grain=8:tune=0:enable-qm=1:input-depth=10:pass=0"),
        ("libvpx-vp9", "row-mt", "1"),
    ],
)
def test_numbers_and_modes_are_allowed(codec: str, key: str, value: str) -> None:
    check_option(codec, key, value, allow_files=False)


def test_every_text_option_of_an_encoder_is_classified() -> None:
    """A further option that names a file, in a newer FFmpeg, makes this test fail."""
    harmless = {
        "codec_whitelist",
        "dump_separator",
        "sub_charenc",
        "deblock",
        "level",
        "partitions",
        "preset",
    }
    harmless |= {"load_plugins"}  # of QuickSync: identifiers of plugins in hexadecimal digits, not paths
    harmless |= {"profile", "psy-rd", "tune", "vendor", "wpredp"}
    found = set()
    for codec in set(ENCODERS) & av.codecs_available:
        options = av.CodecContext.create(codec, "w").supported_options
        everything = (*options.generic, *options.private)
        found |= {option.name for option in everything if option.type.name in ("STRING", "DICT", "BINARY")}
    assert "x264-params" in found
    assert found <= FILE_OPTIONS | NESTED | {PLAIN_NESTED} | harmless


def test_refused_options_would_have_written_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    monkeypatch.chdir(tmp_path)
    settings = UpscaleSettings(model="bicubic", resume=False)
    for number, (codec, value) in enumerate(
        [("libx264", "dump-yuv=made"), ("libx265", "csv=made"), ("libx265", "nocsv=1")]
    ):
        options = ((f"{codec[3:]}-params", value),)
        wish = replace(settings, encoder=EncoderSettings(encoder=codec, preset="ultrafast", options=options))
        with pytest.raises(ConfigError, match="`allow_files=True`"):
            upscale(clip, tmp_path / f"{number}.mkv", wish)
        before = set(names_in(tmp_path))
        upscale(clip, tmp_path / f"{number}.mkv", wish, allow_files=True)
        assert len(set(names_in(tmp_path)) - before) == 2, "the encoder's file, and the film"
        for name in ("made", "false"):
            (tmp_path / name).unlink(missing_ok=True)


def test_a_quote_across_two_options_hides_nothing(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    options = (("x265-params", "keyint='"), ("x265-params", "':csv=made"))
    wish = UpscaleSettings(model="bicubic", encoder=EncoderSettings(encoder="libx265", options=options))
    with pytest.raises(ConfigError, match="csv of x265-params"):
        upscale(clip, tmp_path / "out.mkv", wish)


def test_a_pipeline_file_cannot_allow_files(tmp_path: Path) -> None:
    path = tmp_path / "theirs.toml"
    path.write_text("[encoder]\nallow_files = true\n")
    with pytest.raises(ConfigError, match=r"theirs\.toml: no pipeline can set encoder\.allow_files"):
        read_pipeline(path)


def test_shipped_pipelines_need_no_permission() -> None:
    for name in names():
        settings = read_pipeline(name).encoder
        for key, value in settings.options:
            check_option(settings.encoder, key, value, allow_files=False)


@pytest.mark.parametrize(
    "arguments",
    [
        "x=while(1,1)",
        "w=while(1\\,1)",
        "x='while'(1,1)",
        "x=wh ile (1,1)",
        "x=taylor(taylor(1,1),1)",
        "y=root(1,9)",
    ],
)
def test_filters_and_options_with_endless_loops_are_refused(arguments: str) -> None:
    with pytest.raises(ConfigError, match="may never end"):
        parse([f"crop={arguments}"], where="filters_before")
    with pytest.raises(ConfigError, match="may never end"):
        check_option("libx264", "g", arguments.partition("=")[2], allow_files=True)


def test_expressions_without_loops_are_allowed() -> None:
    assert parse(["crop=w=iw-8*squish(0):x=sqrt(4)+if(gt(iw,4),1,2)"], where="filters_before")


@pytest.mark.parametrize("name", ["csv_", "--no-csv", "NoStats", "Dump-YUV", "qp-file", "opencl-clbin"])
def test_option_names_are_recognised_in_every_form(name: str) -> None:
    assert names_a_file(name, "1")
