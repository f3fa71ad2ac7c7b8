"""`vsr info` describes a file quickly, and never passes on control characters to the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.judges import run
from tests.media.message_maker import active_format, caption, carrying_clip
from tests.media_maker import Audio, Subtitle, make_clip
from vsr.cli.commands.info import info
from vsr.errors import InputError


@pytest.fixture
def rich_clip(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "rich.mkv",
        audio=[Audio(codec="flac", language="jpn", title="Stereo")],
        subtitles=[Subtitle(language="deu")],
        attachments=[("font.ttf", "font/ttf", b"1234")],
        chapters=[(0, 0.2, "Opening"), (0.2, 0.4, "End")],
        metadata={"title": "A \x1b[31mred\x1b[0m title"},
    )


def test_text_output_has_video_streams_chapters_and_guesses(
    rich_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info(rich_clip)
    shown = capsys.readouterr().out
    for word in (
        "h264, 64x48, 8 bit 4:2:0",
        "12 frames",
        "flac",
        "jpn",
        "Stereo",
        "deu",
        "font.ttf",
        "Opening",
    ):
        assert word in shown
    assert "matrix is not tagged" in shown
    assert "\x1b" not in shown


def test_json_output_has_the_same_facts_exactly(rich_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info(rich_clip, as_json=True)
    contents = json.loads(capsys.readouterr().out)
    assert contents["video"]["time_base"] == "1/1000"
    assert contents["video"]["frames_promised"] == 12
    assert contents["video"]["tagged"]["matrix"] == "unspecified"
    assert [stream["type"] for stream in contents["streams"]] == ["video", "audio", "subtitle", "attachment"]
    assert [chapter["title"] for chapter in contents["chapters"]] == ["Opening", "End"]


@pytest.mark.parametrize("fourcc", [b"ac-4", b"mhm1", b"xxxx"])
def test_audio_of_an_unknown_codec_is_shown_and_the_video_is_upscaled(
    fourcc: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """FFmpeg knows AC-4, MPEG-H and future codecs by name or number, but has no decoder for them."""
    clip = make_clip(tmp_path / "in.mp4", frames=3, audio=[Audio()])
    data = clip.read_bytes().replace(b"mp4a", fourcc, 1).replace(b"esds", b"skip", 1)
    clip.write_bytes(data)
    shown = run_cli(capfd, "info", clip)
    assert shown.code == 0, shown.err
    assert "1 audio, unknown, 48000 Hz" in shown.out
    assert run_cli(capfd, "info", clip, "--json").code == 0
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", "-m", "bicubic")
    assert done.code == 0
    assert "is left out" in done.err


def test_an_unreadable_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        info(tmp_path / "gone.mp4")


def test_info_loads_neither_torch_nor_numpy(rich_clip: Path) -> None:
    """Loading these takes most of the start; benchmarks/speed/startup.py has the times."""
    code = (
        "import sys; from pathlib import Path; import vsr.cli; from vsr.cli.commands.info import info; "
        f"info(Path({str(rich_clip)!r})); assert not {{'torch', 'numpy', 'kornia'}} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_a_file_named_dash_is_not_a_pipe(
    rich_clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-").write_bytes(rich_clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    for words in (["info", "./-"], ["verify", "./-", "./-"], ["compare", "./-", "./-"]):
        assert run_cli(capfd, *words).code in (0, 4), words


def test_side_data_and_display_properties_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info(carrying_clip(tmp_path / "a.ts", "h264", caption, active_format))
    shown = capsys.readouterr().out
    assert "closed captions" in shown
    assert "the active format (AFD)" in shown
    clip = make_clip(tmp_path / "b.mkv", frames=2)
    run("mkvpropedit", "-q", str(clip), *_PROPERTIES)
    info(clip)
    shown = capsys.readouterr().out
    assert "two views top and bottom, the left eye's first" in shown
    assert "left 8, top 0, right 2, bottom 0 pixels at the borders" in shown
    info(clip, as_json=True)
    video = json.loads(capsys.readouterr().out)["video"]
    assert video["stereo"] == {"kind": 2, "inverted": False}
    assert video["crop"]["left"] == "8"


_VIEWS, _SIDES = ["-s", "stereo-mode=3"], ["-s", "pixel-crop-left=8", "-s", "pixel-crop-right=2"]
_PROPERTIES = ["-e", "track:v1", *_VIEWS, *_SIDES]
