"""`vsr upscale` with pipes gives the same frames and times as from file to file."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO

import av
import numpy as np
import pytest

from tests.cli.run_cli import Outcome, run_cli
from tests.ffmpeg_binary import ffmpeg
from tests.media_maker import Audio, make_clip, picture, pts_of
from vsr.engine.backends.openvino import backend as openvino
from vsr.media.files import stdio

QUICK = ("--model", "bicubic", "--scale", "2", "--device", "cpu")


def raw_clip(
    path: Path,
    pix_fmt: str,
    *,
    pts: Sequence[int] = tuple(range(6)),
    base: Fraction = Fraction(1, 25),
    range_: int = 0,
) -> Path:
    """Write a clip of uncompressed frames; the suffix .y4m or .nut selects the format."""
    muxer = "yuv4mpegpipe" if path.suffix == ".y4m" else "nut"
    with av.open(str(path), "w", format=muxer, options={"strict": "-1"}) as box:
        video = box.add_stream("rawvideo", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, pix_fmt
        video.codec_context.time_base = video.time_base = base
        video.codec_context.color_range = range_
        for number, time in enumerate(pts):
            frame = picture(number, pix_fmt=pix_fmt)
            frame.pts, frame.time_base = time, base
            box.mux(video.encode(frame))
        box.mux(video.encode(None))
    return path


def piped(
    capfd: pytest.CaptureFixture[str],
    source: Path | str,
    target: Path | str,
    *words: object,
    given: Path,
    to: Path,
) -> Outcome:
    """Run the command line with `given` as standard input and `to` as standard output."""
    stdio._standard.clear()  # one test process reads several pipes
    kept = os.dup(0), os.dup(1)
    with given.open("rb") as reading, to.open("wb") as writing:
        os.dup2(reading.fileno(), 0)
        os.dup2(writing.fileno(), 1)
        try:
            return run_cli(capfd, "upscale", source, target, *words)
        finally:
            for number, fd in enumerate(kept):
                os.dup2(fd, number)
                os.close(fd)
            stdio._standard.clear()


def pictures(path: Path) -> list[np.ndarray]:
    """Return every sample of every frame, as the bytes of its planes."""
    with av.open(str(path)) as box:
        frames = box.decode(video=0)
        return [
            np.concatenate([np.frombuffer(bytes(plane), np.uint8) for plane in frame.planes])
            for frame in frames
        ]


class Written:
    """A file for PyAV to write to; `taken` returns the bytes since its last call."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def live_frames(muxer: str, numbers: Sequence[int]) -> Iterator[bytes]:
    """Yield the bytes of each frame; those of the header are part of the first."""
    out = Written()
    box = av.open(out, "w", format=muxer, options={"flush_packets": "1"})
    video = box.add_stream("rawvideo", rate=25)
    video.width, video.height, video.pix_fmt, video.codec_context.thread_count = 64, 48, "yuv420p", 1
    for time, number in enumerate(numbers):
        frame = picture(number)
        frame.pts, frame.time_base = time, Fraction(1, 25)
        box.mux(video.encode(frame))
        yield out.taken()
    box.close()
    yield out.taken()


def read_within(stream: IO[bytes], count: int, *, seconds: float) -> int:
    """Read until `count` bytes have arrived; fewer after a pause of this length, or at the end."""
    came = 0
    while came < count and select.select([stream], [], [], seconds)[0]:
        data = os.read(stream.fileno(), 1 << 16)
        if not data:
            break
        came += len(data)
    return came


@pytest.mark.parametrize("muxer", ["yuv4mpegpipe", "nut"])
def test_a_frame_leaves_the_pipe_before_the_next_one_is_given(muxer: str) -> None:
    """Cover live sources with moving frames, and one that is static for longer than a batch."""
    numbers = [1, 2, 3, *[4] * 70, 5, 6]
    words = [sys.executable, "-m", "vsr", "upscale", "-", "-", *QUICK, "--quiet"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            chunks = live_frames(muxer, numbers)
            for at, chunk in enumerate(islice(chunks, len(numbers))):
                process.stdin.write(chunk)
                process.stdin.flush()
                # The limit only matters for a run that fails; the first frame waits for the import of torch.
                assert read_within(process.stdout, 128 * 96 * 3 // 2, seconds=120) >= 128 * 96 * 3 // 2, at
            process.stdin.write(next(chunks))
            process.stdin.close()
            assert process.wait(timeout=120) == 0
        finally:
            process.kill()


def first_line(path: Path) -> bytes:
    return path.read_bytes().partition(b"\n")[0]


@pytest.mark.parametrize(
    ("suffix", "pix_fmt"),
    [
        (".y4m", "yuv420p"),
        (".y4m", "yuv422p10le"),
        (".y4m", "yuv444p16le"),
        (".y4m", "gray12le"),
        (".nut", "yuv420p"),
        (".nut", "yuv420p10le"),
        (".nut", "yuva444p12le"),
        (".nut", "gbrp16le"),
    ],
)
def test_a_pipe_gives_the_same_as_a_file_in_the_format_of_the_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, pix_fmt: str
) -> None:
    source = raw_clip(tmp_path / f"in{suffix}", pix_fmt)
    out, file = tmp_path / f"out{suffix}", tmp_path / "out.mkv"
    assert piped(capfd, "-", "-", *QUICK, given=source, to=out).code == 0
    assert run_cli(capfd, "upscale", source, file, *QUICK, "--encoder", "ffv1").code == 0
    with av.open(str(out)) as box:
        video = box.streams.video[0]
        assert (video.width, video.height, video.format.name) == (128, 96, pix_fmt)
    made, wanted = pictures(out), pictures(file)
    assert len(made) == len(wanted) == 6
    for one, other in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1001, 30000)])
def test_nut_keeps_every_timestamp_exactly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], base: Fraction
) -> None:
    times = [7, 8, 11, 40, 41, 1000]
    source = raw_clip(tmp_path / "in.nut", "yuv420p", pts=times, base=base)
    out, file = tmp_path / "out.nut", tmp_path / "out.mp4"
    assert piped(capfd, "-", "-", *QUICK, given=source, to=out).code == 0
    assert pts_of(out) == [time * base for time in times]
    assert piped(capfd, "-", file, *QUICK, given=source, to=tmp_path / "nothing").code == 0
    assert pts_of(file) == [time * base for time in times]
    assert not (tmp_path / "nothing").read_bytes()


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001)])
def test_a_file_is_written_to_a_pipe_as_y4m_with_its_own_rate(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], rate: Fraction
) -> None:
    """A file's ticks are finer than its frame intervals, while y4m has only a rate."""
    source, out = make_clip(tmp_path / "in.mp4", frames=6, rate=rate), tmp_path / "out.y4m"
    assert piped(capfd, source, "-", *QUICK, "--format", "y4m", given=source, to=out).code == 0
    assert f" F{rate.numerator}:{rate.denominator} ".encode() in first_line(out)
    with av.open(str(out)) as box:
        assert [frame.time * rate for frame in box.decode(video=0)] == pytest.approx(range(6), abs=1e-6)


def test_a_file_is_written_to_a_pipe_as_nut_with_a_warning_about_other_streams(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    times = [0, 3, 4, 9]
    source = make_clip(tmp_path / "in.mkv", pts=times, time_base=Fraction(1, 1000), frames=4, audio=[Audio()])
    out = tmp_path / "out.nut"
    done = piped(capfd, source, "-", *QUICK, given=source, to=out)
    assert done.code == 0
    assert "a pipe carries the video only; 1 other streams of the source are left out" in done.err
    assert "-color_range 1 -colorspace 6" in done.err
    assert pts_of(out) == pts_of(source)
    done = piped(capfd, source, "-", *QUICK, "--format", "y4m", given=source, to=out)
    assert "3 frames get times of the rate" in done.err
    assert first_line(out).startswith(b"YUV4MPEG2 W128 H96 ")


@pytest.mark.parametrize(("range_", "word"), [(1, b"LIMITED"), (2, b"FULL")])
def test_the_range_in_a_y4m_header_is_used_and_passed_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], range_: int, word: bytes
) -> None:
    source, out = raw_clip(tmp_path / "in.y4m", "yuv420p", range_=range_), tmp_path / "out.y4m"
    assert b"XCOLORRANGE=" + word in first_line(source)
    report = tmp_path / "report.json"
    assert piped(capfd, "-", "-", *QUICK, "--report", report, given=source, to=out).code == 0
    assert b"XCOLORRANGE=" + word in first_line(out)
    assert f'"range": "{word.decode().lower()}"' in report.read_text()


def test_colour_that_a_pipe_does_not_carry_can_be_given_by_flags(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out, report = (
        raw_clip(tmp_path / "in.nut", "yuv420p"),
        tmp_path / "out.nut",
        tmp_path / "report.json",
    )
    words = ("--color", "matrix=bt2020_ncl", "--color", "range=full", "--report", report)
    done = piped(capfd, "-", "-", *QUICK, *words, given=source, to=out)
    assert "-color_range 2 -colorspace 9" in done.err
    assert '"matrix": "bt2020_ncl"' in report.read_text()
    assert len(pictures(out)) == 6
    done = piped(capfd, "-", "-", "--color", "range=wide", given=source, to=out)
    assert done.code == 2
    assert "one of unspecified, limited, full" in done.line


def test_a_stream_that_ends_within_a_frame_counts_as_damage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = raw_clip(tmp_path / "in.y4m", "yuv420p"), tmp_path / "out.y4m"
    source.write_bytes(source.read_bytes()[:-100])
    done = piped(capfd, "-", "-", *QUICK, given=source, to=out)
    assert done.code == 10
    assert "the pipe ended in the middle of a frame" in done.err
    assert len(pictures(out)) == 5
    assert piped(capfd, "-", "-", *QUICK, "--strict", given=source, to=out).code == 3


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("-", "-", "--crf", "20"), 2, "carries uncompressed frames"),
        (("-", "-", "--encoder", "libx265"), 2, "carries uncompressed frames"),
        (("-", "-", "--dry-run"), 2, "a dry run requires files"),
        (("-", "-", "--format", "mkv"), 2, "--format 'mkv' is unknown; use one of y4m, nut"),
        (("-", "out.mkv", "--format", "nut"), 2, "is only for standard output"),
        (("-", "./-"), 2, "has no suffix"),
        (("./-", "-"), 3, "no such file"),
        (("-", "-", "--video-stream", "3"), 2, "stream 3 is not a video stream"),
        (("-", "-", "--max-pixels", "100"), 3, "over the limit of 100 pixels"),
        (("-", "-", "--start", "9"), 4, "no frame was written"),
    ],
)
def test_unsupported_uses_of_pipes_are_rejected_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    source = raw_clip(tmp_path / "in.y4m", "yuv420p")
    done = piped(capfd, *words, *QUICK, given=source, to=tmp_path / "out")
    assert done.code == code
    assert line in done.line


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "standard input: is empty"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "neither YUV4MPEG2 nor NUT"),
        (b"YUV4MPEG2 W99999 H99999 F25:1\nFRAME\n", "standard input"),
        (b"YUV4MPEG2 nonsense\n", "standard input: its header is damaged"),
        (b"nut/multimedia container\0" + bytes(999), "standard input"),
    ],
)
def test_input_that_is_no_video_is_rejected_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], data: bytes, line: str
) -> None:
    source = tmp_path / "in"
    source.write_bytes(data)
    done = piped(capfd, "-", tmp_path / "out.mkv", *QUICK, given=source, to=tmp_path / "nothing")
    assert done.code == 3
    assert line in done.line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "nothing"]


def vsr_process(*words: object, **streams: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "vsr", *map(str, words)], **streams)  # type: ignore[call-overload]


def test_a_reader_that_closes_the_pipe_is_exit_141_without_a_message(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", width=320, height=240, frames=30)
    run = vsr_process("upscale", source, "-", *QUICK, "-q", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    assert run.stdout.read(100)
    run.stdout.close()
    assert run.wait(120) == 141
    assert run.stderr.read() == b""
    run.stderr.close()


OPENVINO = pytest.mark.skipif(not openvino.available(), reason="the extra `openvino` is not installed")


@pytest.mark.parametrize(
    "model", [QUICK, pytest.param(("-m", "fast-x2", "--backend", "openvino", "-s", "2"), marks=OPENVINO)]
)
def test_a_signal_ends_a_run_that_waits_for_its_pipe(tmp_path: Path, model: tuple[str, ...]) -> None:
    """The run must end at once and not after the grace period, because waiting for a pipe is interrupted."""
    half = raw_clip(tmp_path / "in.y4m", "yuv420p").read_bytes()
    run = vsr_process(
        "upscale",
        "-",
        "-",
        *model,
        "--batch",
        "1",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdin.write(half)
    run.stdin.flush()
    assert run.stdout.read(20)  # frames are written, and the pipe stays open
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 143
    assert b"stopped by SIGTERM" in run.stderr.read()
    for stream in (run.stdin, run.stdout, run.stderr):
        stream.close()


@pytest.mark.parametrize("form", [pytest.param("yuv4mpegpipe", marks=pytest.mark.slow), "nut"])
def test_nothing_is_lost_between_two_processes_of_ffmpeg(tmp_path: Path, form: str) -> None:
    binary = ffmpeg()
    source = make_clip(tmp_path / "in.mp4", frames=30, bframes=2, audio=[Audio()])
    out = tmp_path / "out.mkv"
    before = subprocess.Popen(
        [binary, "-v", "error", "-i", source, "-an", "-c:v", "rawvideo", "-f", form, "-"],
        stdout=subprocess.PIPE,
    )
    between = vsr_process("upscale", "-", "-", *QUICK, "-q", stdin=before.stdout, stdout=subprocess.PIPE)
    behind = subprocess.Popen([binary, "-v", "error", "-i", "-", "-c:v", "ffv1", out], stdin=between.stdout)
    for run in (before, between):
        assert run.stdout is not None
        run.stdout.close()
    assert [run.wait(120) for run in (behind, between, before)] == [0, 0, 0]
    file = tmp_path / "file.mkv"
    assert vsr_process("upscale", source, file, *QUICK, "-q", "--encoder", "ffv1").wait(120) == 0
    made, wanted = pictures(out), pictures(file)
    assert len(made) == len(wanted) == 30
    for one, other in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    first = pts_of(file)[0]
    assert [pts - first for pts in pts_of(file)] == [pts - pts_of(out)[0] for pts in pts_of(out)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_stream() -> None:
    """A thousand frames in memory would need 575 MB."""
    short, long = (most_memory(frames) for frames in (100, 1000))
    assert long - short < 64 << 20  # caches and allocators are stable after the first hundred


def most_memory(frames: int) -> int:
    """Return the peak memory of `vsr upscale - -` in bytes."""
    rng = np.random.default_rng(1)
    kinds = [b"FRAME\n" + rng.bytes(320 * 240 * 3 // 2) for _ in range(3)]
    with Path(os.devnull).open("wb") as nowhere:
        run = vsr_process("upscale", "-", "-", *QUICK, "-q", stdin=subprocess.PIPE, stdout=nowhere)
    assert run.stdin is not None
    with run.stdin as stdin:
        stdin.write(b"YUV4MPEG2 W320 H240 F25:1 C420jpeg\n")
        for number in range(frames):
            stdin.write(kinds[number % len(kinds)])
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    return usage.ru_maxrss * 1024  # Linux counts KiB
