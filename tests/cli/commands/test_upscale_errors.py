"""Mistakes of a user and broken files: each is one line with the right exit code, and no file is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import save_file

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip, numbers_of, truncated
from vsr.models.archs.compact import Compact, CompactConfig

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=6)


@pytest.mark.parametrize("name", ["in.mkv", "out.mkv", ".", "none/report.json"])
def test_a_report_cannot_overwrite_a_video_or_fail_after_the_work(
    name: str, clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    before = clip.read_bytes()
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", tmp_path / name)
    assert done.code in (2, 4)
    assert done.line
    assert clip.read_bytes() == before
    assert not (tmp_path / "out.mkv").exists()


def make_input(kind: str, folder: Path) -> Path:
    path = folder / "bad.mp4"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("ffconcat version 1.0\nfile secret.txt\n" * 20)
    elif kind == "txt":
        path = folder / "bad.txt"
        path.write_text("a film about nothing\n" * 200)
    elif kind == "zero bytes":
        path.touch()
    elif kind == "random bytes":
        path.write_bytes(bytes((i * 7919) % 251 for i in range(20000)))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "no moov":
        truncated(make_clip(folder / "whole.mp4", frames=30), path, 0.5)
    elif kind == "audio only":
        with av.open(str(path), "w") as box:
            sound = box.add_stream("aac", rate=48000, layout="mono")
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.sample_rate, frame.pts = 48000, 0
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            box.mux(sound.encode(frame))
            box.mux(sound.encode(None))
    else:
        assert kind == "missing"
    return path


@pytest.mark.parametrize(
    "kind",
    ["missing", "directory", "text", "txt", "zero bytes", "random bytes", "fifo", "no moov", "audio only"],
)
def test_bad_input_is_one_line_and_exit_3(kind: str, tmp_path: Path, capfd: Capture) -> None:
    source = make_input(kind, tmp_path)
    done = run_cli(capfd, "upscale", source, tmp_path / "out.mkv", *QUICK)
    assert done.code == 3, done.err
    assert source.name in done.line
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("*out*")), "a file was left behind"
    assert not list(tmp_path.glob(".*"))


def test_truncated_input_is_upscaled_as_far_as_possible_with_exit_10(tmp_path: Path, capfd: Capture) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=60, gop=10)
    source = truncated(whole, tmp_path / "cut.mkv", 0.6)
    done = run_cli(capfd, "upscale", source, tmp_path / "out.mkv", *QUICK)
    assert done.code == 10
    assert "warning" in done.err
    assert 0 < len(numbers_of(tmp_path / "out.mkv")) < 60


def weights(kind: str, folder: Path) -> Path:
    path = folder / "net.safetensors"
    net = Compact(CompactConfig(nf=8, nc=2, scale=2))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    if kind == "nan":
        state["body.0.weight"][0, 0, 0, 0] = float("nan")
        save_file(state, path)
    elif kind == "unknown network":
        save_file({"encoder.weight": torch.zeros(3, 3)}, path)
    elif kind == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif kind == "truncated":
        save_file(state, path)
        path.write_bytes(path.read_bytes()[:-100])
    else:
        assert kind == "missing"
    return path


@pytest.mark.parametrize("kind", ["nan", "unknown network", "text", "truncated", "missing"])
def test_bad_weights_are_one_line_and_exit_5(kind: str, clip: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", "--model", weights(kind, tmp_path))
    assert done.code == 5, done.err
    assert done.line
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--scale", "0"), "0 is not possible"),
        (("--scale", "-2"), "not possible"),
        (("--scale", "99"), "at most 16"),
        (("--scale", "two"), "not a number"),
        (("--scale", "2", "--height", "100"), "contradict"),
        (("--size", "big"), "WIDTHxHEIGHT"),
        (("--size", "0x0"), "is out of range"),
        (("--precision", "fp8"), "fp32"),
        (("--device", "abacus"), "auto, cpu, mps, cuda or cuda:N"),
        (("--deinterlace", "maybe"), "auto, off"),
        (("--start", "soon"), "hours"),
        (("--encoder", "libx999"), "use one of libx264"),
        (("--encoder", "ffv1", "--size", "100x100"), None),
        (("--encoder-option", "tune"), "KEY=VALUE"),
        (("--encoder-option", "tunne=film"), "tunne"),
        (("--crf", "99"), "99"),
        (("--pix-fmt", "yuv999p"), "yuv999p"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(
    words: tuple[str, ...], says: str | None, clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", "--model", "bicubic", *words)
    if says is None:
        assert done.code == 0
        return
    assert done.code == 2, done.err
    assert says in done.line
    assert not (tmp_path / "out.mkv").exists()


def test_an_output_that_is_the_input_or_exists_or_has_no_folder_is_rejected(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    before = clip.read_bytes()
    (tmp_path / "link.mkv").symlink_to(clip)
    (tmp_path / "old.mkv").write_bytes(b"old")
    cases = {"in.mkv": 2, "link.mkv": 2, "old.mkv": 2, "none/out.mkv": 4, "out.xyz": 2, "": 2}
    for name, code in cases.items():
        done = run_cli(
            capfd, "upscale", clip, tmp_path / name, *QUICK, *(["-y"] if name != "old.mkv" else [])
        )
        assert done.code == code, (name, done.err)
        assert done.line
    assert clip.read_bytes() == before
    assert (tmp_path / "old.mkv").read_bytes() == b"old"
    assert run_cli(capfd, "upscale", clip, tmp_path / "old.mkv", *QUICK, "-y").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("in.mkv", "out.avi"), "no container has the suffix '.avi'"),
        (("in.mkv", "out"), "out: has no suffix, which chooses the container; add one of .mkv, "),
        (("in.mkv", "out.webm", "--encoder", "libx265"), "WebM does not support the output of libx265"),
        (("in.mkv", "out.mkv", "--encoder", "libx999"), "--encoder libx999 is unknown"),
        (("in.mkv", "out.mkv", "--preset", "anime"), "--pipeline anime is the one for a kind of video"),
        (("in.mkv", "out.mkv", "--encoder", "libx264", "--crf", "99"), "is out of range for libx264"),
        (("in.mkv", "out.mkv", "--model", "none.pth"), "no weight file and no model"),
        (("in.mkv", "out.mkv", "--dry-run", "--model", "none.pth"), "no weight file and no model"),
        (("none.mkv", "out.mkv"), "none.mkv"),
    ],
)
def test_what_cannot_be_is_refused_before_torch_is_imported(
    words: tuple[str, ...], says: str, clip: Path
) -> None:
    program = """
import sys
from vsr.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "upscale", *words], cwd=clip.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stderr


def test_an_error_of_usage_names_the_help_of_its_command(capfd: Capture) -> None:
    assert run_cli(capfd, "upscale", "a", "b", "--nonsense").line.endswith("see vsr upscale --help")
    assert run_cli(capfd, "models", "show").line.endswith("see vsr models show --help")
    assert run_cli(capfd, "upscail").line.endswith("see vsr --help")
    assert "Did you mean 'upscale'? see vsr --help" in run_cli(capfd, "upscail").line


@pytest.mark.parametrize(
    "words", [("upscale",), ("upscale", "a", "b", "--batch", "0"), ("upscail",), ("--x",)]
)
def test_wrong_usage_is_one_line_and_exit_2(words: tuple[str, ...], capfd: Capture) -> None:
    done = run_cli(capfd, *words)
    assert done.code == 2
    assert done.line
    assert len(done.err.splitlines()) == 1


def test_quiet_still_prints_the_reason_of_exit_10(tmp_path: Path, capfd: Capture) -> None:
    source = truncated(make_clip(tmp_path / "whole.mkv", frames=60, gop=10), tmp_path / "cut.mkv", 0.6)
    done = run_cli(capfd, "upscale", source, tmp_path / "out.mkv", *QUICK, "-q")
    assert done.code == 10
    assert "warning" in done.err


def test_internal_errors_are_one_line_unless_debugging(
    clip: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vsr.pipeline.run

    def explode(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(vsr.pipeline.run, "_same_count", explode)
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert done.code == 1
    assert "ZeroDivisionError: oops" in done.line
    assert "Traceback" not in done.err
    done = run_cli(capfd, "--debug", "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert "Traceback" in done.err


def test_larger_frames_require_the_flag_in_every_command(tmp_path: Path, capfd: Capture) -> None:
    clip, target = make_clip(tmp_path / "in.mkv", width=64, height=48, frames=4), tmp_path / "out.mkv"
    done = run_cli(capfd, "upscale", clip, target, *QUICK, "--max-pixels", 64 * 48 - 1)
    assert done.code == 3
    assert f"--max-pixels {64 * 48}" in done.line
    assert run_cli(capfd, "info", clip, "--max-pixels", 64 * 48 - 1).code == 3
    for words in (["upscale", clip, target, *QUICK], ["info", clip]):
        assert run_cli(capfd, *words, "--max-pixels", 64 * 48).code == 0
    assert run_cli(capfd, "verify", clip, target, "--max-pixels", 64 * 48).code == 3  # the result is larger
    assert run_cli(capfd, "verify", clip, target).code == 0
