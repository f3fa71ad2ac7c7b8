"""Results of `vsr` that lie beside videos are no inputs of a later run, unless they are named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.run_cli import Outcome, run_cli
from tests.media_maker import make_clip, numbers_of
from vsr.pipeline.queue.record import NAME

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mkv", "b.mkv"):
        make_clip(folder / name, frames=3)
    return folder


def queued(capfd: Capture, folder: Path, *words: object) -> tuple[Outcome, set[str]]:
    """Upscale `clips` into a new folder, and return the names of the results."""
    out = folder.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    done = run_cli(capfd, "upscale", *(words or (folder,)), "--to", out, *QUICK)
    return done, {path.name for path in out.glob("*.*") if path.name != NAME}


@pytest.mark.parametrize("target", [(), ("mine.mkv",), ("deeper/mine.mp4",), ("moving.webp",)])
def test_the_result_of_a_single_run_is_left_out_and_a_line_says_so(
    clips: Path, capfd: Capture, target: tuple[str, ...]
) -> None:
    (clips / "deeper").mkdir()
    preset = ("--preset", "8") if target == ("moving.webp",) else ()
    assert (
        run_cli(capfd, "upscale", clips / "a.mkv", *(clips / name for name in target), *QUICK, *preset).code
        == 0
    )
    made = clips / (target[0] if target else "a-2x.mkv")
    done, names = queued(capfd, clips, clips, "--recursive")
    assert (done.code, names) == (0, {"a-2x.mkv", "b-2x.mkv"})
    assert f"{made} is a result of earlier runs, and left out; name one to upscale it again" in done.err


def test_a_result_that_is_named_is_upscaled(clips: Path, capfd: Capture) -> None:
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK).code == 0
    done, names = queued(capfd, clips, clips / "a-2x.mkv")
    assert (done.code, names) == (0, {"a-2x-2x.mkv"})
    assert "left out" not in done.err


def test_a_pattern_leaves_out_results_and_is_refused_if_nothing_else_matches(
    clips: Path, capfd: Capture
) -> None:
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK).code == 0
    assert queued(capfd, clips, clips / "a*.mkv")[1] == {"a-2x.mkv"}
    done, names = queued(capfd, clips, clips / "*-2x.mkv")
    assert (done.code, names) == (2, set())
    assert "a-2x.mkv is a result of earlier runs, and left out; name one" in done.line


def test_a_file_that_took_the_place_of_a_result_is_an_input(clips: Path, capfd: Capture) -> None:
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK).code == 0
    make_clip(clips / "a-2x.mkv", frames=7)
    done, names = queued(capfd, clips)
    assert names == {"a-2x-2x.mkv", "a-2x.mkv", "b-2x.mkv"}
    assert "left out" not in done.err


def test_a_result_elsewhere_leaves_no_record(clips: Path, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert run_cli(capfd, "upscale", clips / "a.mkv", tmp_path / "elsewhere" / "b.mkv", *QUICK).code == 0
    assert not (tmp_path / "elsewhere" / NAME).exists()
    assert not (clips / NAME).exists()


def test_the_same_command_for_one_file_does_nothing_the_second_time(clips: Path, capfd: Capture) -> None:
    first = run_cli(capfd, "upscale", clips / "a.mkv", *QUICK)
    before = (clips / "a-2x.mkv").stat()
    again = run_cli(capfd, "upscale", clips / "a.mkv", *QUICK)
    assert (first.code, again.code) == (0, 0)
    assert "a-2x.mkv: already finished; --overwrite makes it again" in again.err
    assert (clips / "a-2x.mkv").stat().st_mtime_ns == before.st_mtime_ns
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK, "--crf", "30").code == 2, "it is another result"
    make_clip(clips / "a.mkv", frames=5)
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK).code == 2, "the input changed"
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK, "-y").code == 0
    assert len(numbers_of(clips / "a-2x.mkv")) == 5


def test_pictures_of_previews_and_comparisons_are_no_inputs(clips: Path, capfd: Capture) -> None:
    one = clips / "a.mkv"
    assert run_cli(capfd, "upscale", one, clips / "c.mkv", *QUICK, "--preview-every", "1").code == 0
    assert run_cli(capfd, "preview", one, "--model", "bicubic").code == 0
    assert run_cli(capfd, "compare", one, clips / "c.mkv", "-o", clips / "compared.png").code == 0
    pictures = sorted(path.name for path in clips.glob("*.png"))
    assert pictures == ["a-preview.png", "c.mkv.preview.png", "compared.png"]
    assert queued(capfd, clips)[1] == {"a-2x.mkv", "b-2x.mkv"}


def test_a_folder_that_takes_no_record_is_no_error(
    clips: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clips / NAME).mkdir()
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK).code == 0
    assert len(numbers_of(clips / "a-2x.mkv")) == 3


def test_results_that_the_shell_names_with_their_inputs_are_left_out(clips: Path, capfd: Capture) -> None:
    make_clip(clips / "c.mkv", frames=4)
    for _ in range(2):
        done = run_cli(capfd, "upscale", *sorted(clips.glob("*.mkv")), *QUICK)
        assert done.code == 0
        assert {path.name for path in clips.glob("*-2x*")} == {"a-2x.mkv", "b-2x.mkv", "c-2x.mkv"}
    assert "3 skipped" in done.err
    assert "a-2x.mkv and 2 more are results of other inputs, and left out" in done.err
    (clips / "list").write_text("\n".join(str(path) for path in clips.glob("*.mkv")))
    done = run_cli(capfd, "upscale", "--files-from", clips / "list", *QUICK[:2], "--scale", "3")
    assert {path.name for path in clips.glob("*-3x*")} == {"a-3x.mkv", "b-3x.mkv", "c-3x.mkv"}


def test_two_videos_that_a_pattern_names_are_not_taken_for_input_and_output(
    clips: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "upscale", *sorted(clips.glob("*.mkv")), *QUICK)
    assert done.code == 2
    assert "If both are inputs, name a folder for the results with --to" in done.line


def test_a_pipe_in_place_of_a_record_or_of_an_input_is_not_waited_for(clips: Path, capfd: Capture) -> None:
    os.mkfifo(clips / NAME)
    os.mkfifo(clips / "c.mkv")
    done, names = queued(capfd, clips)
    assert (done.code, names) == (3, {"a-2x.mkv", "b-2x.mkv"})
    assert f"{clips / 'c.mkv'}: is not a regular file" in done.err
    assert run_cli(capfd, "upscale", clips / "a.mkv", *QUICK).code == 0
