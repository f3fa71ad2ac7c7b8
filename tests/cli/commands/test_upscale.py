"""`vsr upscale` on the command line: each mistake is one line with the
right exit code, and no file is changed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import save_file

from tests.cli.run_cli import run_cli
from tests.media.fake_gpu import FakeGpu
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of, truncated
from vsr.media.decode import hwaccel
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.pipeline.estimate.dry_run import dry_run
from vsr.pipeline.run import upscale_video
from vsr.settings.schema import EncoderSettings, UpscaleSettings

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=6)


def test_a_clip_is_upscaled_and_the_summary_names_the_bottleneck(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert done.code == 0
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
    assert "6 frames" in done.err
    assert "bottleneck" in done.err
    assert done.out == ""  # only data go to stdout


def test_quiet_prints_nothing(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(
        tmp_path / "in.mkv", frames=30, audio=[Audio()], attachments=[("a.ttf", "font/ttf", b"x" * 9)]
    )
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mp4", *QUICK, "--dry-run")
    assert done.code == 0
    for word in ("64x48", "128x96", "fps measured", "MiB", "30 frames", "audio aac: copied", ".mkv"):
        assert word in done.out, done.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_the_estimated_size_equals_that_of_the_run(tmp_path: Path) -> None:
    """For a clip no longer than the measurement, the estimate includes every frame."""
    clip = make_clip(tmp_path / "in.mkv", frames=30)
    wish = UpscaleSettings(model="bicubic", encoder=EncoderSettings(preset="slow"), device="cpu")
    forecast = dry_run(clip, tmp_path / "out.mkv", wish)
    upscale_video(clip, tmp_path / "out.mkv", wish)
    with av.open(str(tmp_path / "out.mkv")) as box:
        real = sum(packet.size for packet in box.demux(video=0))
    assert forecast.picture_bytes * 30 == pytest.approx(real, rel=0.02)  # the parameter sets in the header
    assert forecast.fps > 0


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


def test_report_is_written(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", tmp_path / "r.json")
    assert done.code == 0
    assert json.loads((tmp_path / "r.json").read_text())["frames_out"] == 6


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
        (("--encoder", "libx999"), "known are"),
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


def test_streams_that_a_container_cannot_hold_are_reported_before_the_work(
    tmp_path: Path, capfd: Capture
) -> None:
    clip = make_clip(
        tmp_path / "in.mkv", frames=3, subtitles=[Subtitle()], attachments=[("a.ttf", "font/ttf", b"x")]
    )
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mp4", *QUICK)
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if "warning" in line and "attachment" in line]
    assert len(warnings) == 1
    assert ".mkv" in warnings[0]
    with av.open(str(tmp_path / "out.mp4")) as box:
        assert [s.type for s in box.streams] == ["video", "subtitle"]


COMMAND = (sys.executable, "-m", "vsr")


def test_a_full_disk_is_exit_4_and_leaves_no_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=30, width=128, height=96)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [*COMMAND, "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK, "--crf", "1"],
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "vsr: error:" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("resume", [False, True])
def test_a_signal_ends_the_run_within_10_s_without_incomplete_files(
    resume: bool, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2000, width=160, height=120)
    words = [*COMMAND, "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK, "--scale", "6"]
    words += ["--segment", "0.4"] if resume else ["--no-resume"]
    begun = ".*.vsr/*1.segment" if resume else ".vsr*"
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not any(p.stat().st_size > 20000 for p in tmp_path.glob(begun)):
            assert time.monotonic() < deadline, "the run did not start to write"
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(
            timeout=10
        )  # the documented limit; the grace period in the code is shorter
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert ("frames are kept; the same command resumes" in err) == resume
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".vsr")) == ["in.mkv"]
    assert [p.suffix for p in tmp_path.glob(".*.vsr/*.part")] == []


@pytest.mark.parametrize("words", [["--help"], ["upscale", "--help"], ["info", "{clip}"], ["--version"]])
def test_commands_without_a_network_do_not_import_torch(words: list[str], clip: Path) -> None:
    """Importing torch takes seconds; without it these commands answer in well under half a second."""
    program = """
import sys
from vsr.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
heavy = {"torch", "kornia", "vsr.pipeline.run"} & set(sys.modules)
assert not heavy, heavy
"""
    arguments = [w.format(clip=clip) for w in words]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_header_and_the_dry_run_name_encoder_quality_filters_and_strength(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    words = (
        "upscale",
        clip,
        tmp_path / "out.mkv",
        "-p",
        "anime",
        "--device",
        "cpu",
        "--encoder",
        "libx264",
        "-y",
    )
    facts = (
        "libx264, crf 17, preset medium",
        "strength 0",
        "filters before: deblock=",
        "filters after: deband=",
    )
    dry = run_cli(capfd, *words, "--dry-run").out
    run = run_cli(capfd, *words).err
    for text in (dry, run):
        assert [fact for fact in (*facts, "settings of anime") if fact not in text] == []
        assert "libx264 replaces libx265" in text
        assert "tune=animation left out" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("in.mkv", "out.avi"), "no container has the suffix '.avi'"),
        (("in.mkv", "out.webm", "--encoder", "libx265"), "WebM does not support the output of libx265"),
        (("in.mkv", "out.mkv", "--encoder", "libx999"), "unknown encoder 'libx999'"),
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


def test_the_reason_for_auto_claims_no_speed(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    """What is real time depends on the size of the frames and on the machine; `vsr bench` measures it."""
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", "--device", "cpu")
    assert "auto: an eighth of the work of compact, for a CPU" in done.err
    assert "real time" not in done.err


def test_an_error_of_usage_names_the_help_of_its_command(capfd: Capture) -> None:
    assert run_cli(capfd, "upscale", "a", "b", "--nonsense").line.endswith("see vsr upscale --help")
    assert run_cli(capfd, "models", "show").line.endswith("see vsr models show --help")
    assert run_cli(capfd, "upscail").line.endswith("see vsr --help")


@pytest.mark.parametrize(
    "words", [("upscale",), ("upscale", "a", "b", "--batch", "0"), ("upscail",), ("--x",)]
)
def test_wrong_usage_is_one_line_and_exit_2(words: tuple[str, ...], capfd: Capture) -> None:
    done = run_cli(capfd, *words)
    assert done.code == 2
    assert done.line
    assert len(done.err.splitlines()) == 1


def test_a_reader_that_closes_the_pipe_is_exit_141_without_a_message(clip: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "info", str(clip)], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 141, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_closed_standard_streams_do_no_harm(closed: tuple[int, ...], clip: Path, tmp_path: Path) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    words = [*COMMAND, "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK]
    done = subprocess.run(words, preexec_fn=close, check=False)
    assert done.returncode == 0
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))


def test_without_a_command_help_is_shown_without_an_error(capfd: Capture) -> None:
    done = run_cli(capfd)
    assert done.code == 2
    assert "Usage" in done.out + done.err
    assert "error" not in done.err


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


def test_names_with_control_characters_do_not_reach_the_terminal(tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", tmp_path / "evil\x1b[2J.mp4", tmp_path / "out.mkv", *QUICK)
    assert done.code == 3
    assert "\x1b[2J" not in done.err


def test_strength_interpolates_two_files_and_requires_a_second(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        save_file(Compact(CompactConfig(nf=8, nc=2, scale=2)).state_dict(), tmp_path / f"{name}.safetensors")
    words = (
        "upscale",
        clip,
        tmp_path / "out.mkv",
        "-m",
        tmp_path / "a.safetensors",
        "--strength",
        "0.5",
        "-y",
    )
    alone = run_cli(capfd, *words)
    assert alone.code == 2
    assert "partner" in alone.line
    done = run_cli(capfd, *words, "--partner", tmp_path / "b.safetensors")
    assert done.code == 0, done.err


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


def test_a_gpu_that_decodes_is_named_and_does_not_change_the_result(
    clip: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, plain = tmp_path / "card.json", tmp_path / "plain.mkv"
    assert run_cli(capfd, "upscale", clip, plain, *QUICK).code == 0
    FakeGpu().install(monkeypatch)
    words = ("upscale", clip, tmp_path / "card.mkv", *QUICK, "--hwaccel", "cuda")
    assert "yuv420p, h264 decoded on cuda:0" in run_cli(capfd, *words, "--dry-run").out
    done = run_cli(capfd, *words, "--report", told)
    assert "in.mkv 64x48 yuv420p decoded on cuda:0 -> " in done.err
    assert json.loads(told.read_text())["decoder"] == "cuda:0"
    with av.open(str(tmp_path / "card.mkv")) as ours, av.open(str(plain)) as expected:
        assert [(p.pts, bytes(p)) for p in ours.demux()] == [(p.pts, bytes(p)) for p in expected.demux()]


def test_without_a_gpu_auto_decodes_in_software_with_a_message_and_cuda_is_rejected(
    clip: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hwaccel, "missing", lambda card: f"no card {card}")
    words = ("upscale", clip, tmp_path / "out.mkv", *QUICK, "--hwaccel")
    refused = run_cli(capfd, *words, "cuda")
    assert refused.code == 7
    assert refused.line.endswith(
        "--hwaccel cuda is impossible: no card 0; use --hwaccel auto, or leave it out"
    )
    assert not (tmp_path / "out.mkv").exists()
    done = run_cli(capfd, *words, "auto")
    assert done.code == 0
    assert done.err.count("--hwaccel auto: no card 0; software decodes the same frames instead") == 1
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
