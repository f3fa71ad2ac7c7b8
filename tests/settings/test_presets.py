"""The shipped pipelines, each run whole, and how they are found, overridden and refused."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import pytest

import vsr
from tests.cli.run_cli import run_cli
from tests.media_maker import Audio, make_clip, numbers_of, pts_of
from vsr.errors import ConfigError
from vsr.settings.presets import folder, names, read_pipeline
from vsr.settings.schema import UpscaleSettings

FILES = sorted(folder().glob("*.toml"))
SOURCES: dict[str, dict[str, object]] = {
    "dvd": {"codec": "mpeg2video", "interlaced": "top", "sar": Fraction(8, 9), "width": 72},
    "phone": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "hdr10": True,
        "rotation": 90,
        "pts": [0, 33, 66, 101, 140, 170],
        "time_base": Fraction(1, 1000),
    },
    "archive": {"codec": "ffv1", "pix_fmt": "yuv444p12le"},
    "screencast": {"pix_fmt": "yuv444p"},
}
"""What a pipeline is for, in small; else an ordinary clip."""


def samples_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as box:
        return [bytes(frame.planes[0]) for frame in box.decode(video=0)]


def test_there_is_one_for_each_kind_of_material() -> None:
    assert names() == ["anime", "archive", "dvd", "film", "phone", "screencast"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_what_it_is_for_and_runs(tmp_path: Path, path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n#   vsr upscale ") == 1
    knobs = {"frames": 6, "audio": [Audio()]} | SOURCES.get(path.stem, {})
    source, target = make_clip(tmp_path / "in.mkv", **knobs), tmp_path / "out.mkv"
    report = vsr.upscale(source, target, pipeline=path.stem, device="cpu")
    assert report.exit_code == 0
    assert pts_of(target) == pts_of(source)
    assert numbers_of(target) == list(range(6))
    before, after = vsr.open_video(source).info, vsr.open_video(target).info
    assert (after.width, after.height) == (2 * before.width, 2 * before.height)
    assert after.layout == before.layout
    assert after.color == before.color
    assert after.sample_aspect_ratio == before.sample_aspect_ratio
    assert after.display_matrix == before.display_matrix
    assert after.mastering_display == before.mastering_display
    assert [one.fate for one in report.streams] == ["upscaled", "copied"]


def test_a_pipeline_of_ones_own_is_a_path_and_keywords_override_it(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'model = "bicubic"\nscale = 3\nfilters_before = ["crop=32:32"]\n[encoder]\nencoder = "ffv1"\n'
    )
    assert read_pipeline(own).filters_before == ("crop=32:32",)
    source = make_clip(tmp_path / "in.mkv", frames=3)
    report = vsr.upscale(source, tmp_path / "a.mkv", pipeline=own, device="cpu")
    assert (report.width, report.height, report.encoder["codec"]) == (96, 96, "ffv1")
    report = vsr.upscale(source, tmp_path / "b.mkv", pipeline=own, scale=2, filters_before=[], device="cpu")
    assert (report.width, report.height) == (128, 96)
    with pytest.raises(vsr.ConfigError, match="settings and pipeline exclude each other"):
        vsr.upscale(source, tmp_path / "c.mkv", UpscaleSettings(), pipeline="film")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "modle = 'fast'\n",
            r"own.toml: unknown key 'modle'; known keys are .*filters_after, filters_before, ",
        ),
        (
            "[encoder]\ncrv = 3\n",
            r"own.toml.encoder: unknown key 'crv'; known keys are crf, encoder, options, ",
        ),
        ("scale = 'wide'\n", "own.toml.scale: 'wide' is not"),
        ("filters_before = 'crop'\n", "own.toml.filters_before: 'crop' is not"),
        ("[color]\nrange = 'wide'\n", "one of unspecified, limited, full"),
        ("tile = -1\n", "own.toml.tile: -1 is out of range; use 0 to 1048576"),
        ("[encoder]\nthreads = 5000\n", "own.toml.encoder.threads: 5000 is out of range; use 0 to 1024"),
        ("on = 'ray'\n", "own.toml: no pipeline can set on; give `on` yourself"),
        ("scale = \n", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_by_its_name(tmp_path: Path, text: str, line: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(vsr.ConfigError, match=line):
        read_pipeline(own)


@pytest.mark.parametrize(
    "text",
    [
        'scale = "1e999999999"',
        "scale = 1e308",
        'start = "1e-999999999"',
        f"end = {10**30}",
        "segment_seconds = inf",
        "segment_seconds = nan",
        f"tile = {10**40}",
        f"batch = {10**40}",
        f"width = {10**40}\nheight = 1",
        f"max_pixels = {2**31}",
        f"[encoder]\nthreads = {10**9}",
        f"[encoder]\ncrf = {10**400}",
        f"strength = {10**400}",
        f"video_stream = {'[' * 3000}{']' * 3000}",
        '[encoder]\noptions = {g = "while(1,1)"}',
        'filters_before = ["crop=w=while(1\\\\,1)"]',
        '[encoder]\noptions = {"x264-params" = "dump-yuv=theirs"}',
    ],
)
def test_a_pipeline_from_elsewhere_neither_hangs_nor_writes(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that take for ever to write out, loops, and files that an encoder would write."""
    monkeypatch.chdir(tmp_path)
    clip, theirs = make_clip(tmp_path / "in.mkv", frames=2), tmp_path / "theirs.toml"
    theirs.write_text(text)
    with pytest.raises(ConfigError) as error:
        vsr.upscale(clip, tmp_path / "out.mkv", pipeline=theirs, model="bicubic")
    assert len(str(error.value)) < 400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv", "theirs.toml"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[encoder]\nthreads = 5000", "mine.toml.encoder.threads: 5000 is out of range"),
        ("[encoder]\ncrf = 99", "encoder.crf = 99 (mine.toml) is out of range for libx264"),
        (
            "[encoder]\npreset = 'fsat'",
            "libx264 has no encoder.preset = 'fsat' (mine.toml); it has ultrafast",
        ),
        (
            "[encoder]\nencoder = 'x999'",
            "encoder.encoder = 'x999' (mine.toml) is unknown; use one of libx264",
        ),
        ("[encoder]\npixel_format = 'odd'", "does not support encoder.pixel_format = 'odd' (mine.toml)"),
        (
            "filters_after = ['crop=8:8']",
            "filters_after (mine.toml): 'crop' is allowed in --filter-before only",
        ),
        ("scale = 2\nheight = 90", "scale (mine.toml) contradicts height (mine.toml)"),
        (
            "deinterlace = 'off'\nfield_order = 'top-first'",
            "deinterlace = 'off' (mine.toml) contradicts field_",
        ),
        ("scale = 99", "scale (mine.toml) 99 is not possible; use more than 0 and at most 16"),
        ("start = 90", "start (mine.toml) 90 s is after the end of the video"),
        ("backend = 'cuda'\nmodel = 'fast'", "backend = 'cuda' (mine.toml)"),
    ],
)
def test_an_error_about_a_value_of_a_file_names_its_key_and_the_file(
    text: str, line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own, source = tmp_path / "mine.toml", make_clip(tmp_path / "in.mkv", frames=2)
    own.write_text(text if "model" in text else f"model = 'bicubic'\n{text}")
    done = run_cli(capfd, "upscale", source, tmp_path / "out.mkv", "--pipeline", own, "--device", "cpu")
    assert done.code == 2
    assert line in done.line
    assert not re.search("--(threads|crf|preset|encoder|pix-fmt|filter-after|scale|deinterlace)", done.line)


def test_an_error_at_the_end_of_a_run_names_the_key_as_well(tmp_path: Path) -> None:
    own, source = tmp_path / "mine.toml", make_clip(tmp_path / "in.mkv", frames=2)
    own.write_text("model = 'bicubic'\nend = 0\n")
    with pytest.raises(vsr.OutputError, match=r"no frame was written; check `start` and end \(mine.toml\)"):
        vsr.upscale(source, tmp_path / "out.mkv", pipeline=own, device="cpu")


def test_a_flag_over_a_file_is_named_as_a_flag(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own, source = tmp_path / "mine.toml", make_clip(tmp_path / "in.mkv", frames=2)
    own.write_text("model = 'bicubic'\n[encoder]\ncrf = 20\n")
    words = ("--pipeline", own, "--crf", "99")
    done = run_cli(capfd, "upscale", source, tmp_path / "out.mkv", *words, "--device", "cpu")
    assert "--crf 99 is out of range for libx264" in done.line


def test_a_name_that_is_none_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(vsr.ConfigError, match="use one of anime, archive, dvd, film, phone, screencast"):
        read_pipeline("cartoon")
    with pytest.raises(vsr.ConfigError, match=r"cannot be read .*; give a TOML file"):
        read_pipeline(tmp_path / "nothing.toml")


def test_flags_override_and_filters_can_be_taken_away(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, report = make_clip(tmp_path / "in.mkv", frames=3), tmp_path / "report.json"
    words = ("--pipeline", "anime", "--model", "bicubic", "--crf", "30", "--filter-after", "none")
    words += ("--filter-before", "crop=32:16", "--filter-before", "unsharp", "--report", str(report))
    done = run_cli(capfd, "upscale", source, tmp_path / "out.mkv", *words, "--device", "cpu")
    assert done.code == 0, done.err
    text = report.read_text(encoding="utf-8")
    assert '"crf": "30"' in text
    assert '"width": 64,' in text
    done = run_cli(capfd, "upscale", source, tmp_path / "b.mkv", "--filter-after", "crop=8:8")
    assert done.code == 2
    assert "--filter-after: 'crop' is allowed in --filter-before only" in done.line


def test_a_job_with_other_filters_does_not_go_on_with_the_parts_of_this_one(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv", frames=20), tmp_path / "out.mkv"
    wishes = {"model": "bicubic", "device": "cpu", "encoder": "ffv1", "segment_seconds": "0.2"}
    done: list[int] = []
    with pytest.raises(vsr.CancelledError, match="are kept"):
        vsr.upscale(
            source,
            target,
            filters_after=["unsharp"],
            on_progress=lambda now: done.append(now.frames),
            cancel=lambda: len(done) >= 15,
            **wishes,
        )
    with pytest.raises(vsr.ConfigError, match="filters_after"):
        vsr.upscale(source, target, filters_after=["cas"], **wishes)
    report = vsr.upscale(source, target, filters_after=["unsharp"], **wishes)
    assert report.frames_kept >= 5
    whole = tmp_path / "whole.mkv"
    vsr.upscale(source, whole, filters_after=["unsharp"], resume=False, **wishes)
    assert numbers_of(target) == list(range(20))
    assert samples_of(target) == samples_of(whole)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = 5", "5 is not a text"),
        ('strict = "yes"', "'yes' is not true or false"),
        ("batch = 1.5", "1.5 is not a whole number"),
        ('scale = "1e999"', "'1e999' is not a number, such as 2, 1.5 or 3/2"),
        ("encoder = 3", "3 is not a table"),
        ("filters_before = 1", "1 is not a list"),
    ],
)
def test_a_value_of_another_type_is_named_in_plain_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_pipeline(tmp_path / "mine.toml")
