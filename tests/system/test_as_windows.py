"""The command line with all that Windows lacks taken away; .github/workflows/laptops.yml runs a real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.media_maker import numbers_of
from vsr.pipeline.queue.record import NAME

ROOT = Path(__file__).parent.parent.parent
FRAMES = 24


def windows(module: str, *words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", f"tests.system.{module}", *words]
    return subprocess.run(command, cwd=ROOT, input=data, capture_output=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], int, Path]:
    """What each step gave, the exit code of the process, and the folder."""
    if sys.platform != "linux":
        pytest.skip("the stand-ins of Windows are made of Linux's own functions")
    folder = tmp_path_factory.mktemp("laptop")
    done = windows("windows_session", str(folder))
    lines = [line for line in done.stdout.decode().splitlines() if line.startswith("{")]
    assert lines, done.stderr.decode()
    return json.loads(lines[-1]), done.returncode, folder


def test_every_command_works_and_a_run_is_resumed(session: tuple[dict[str, object], int, Path]) -> None:
    found, _, _ = session
    assert found == {
        "info": 0,
        "models": 0,
        "reserved name": 2,
        "cut off": True,
        "segments": found["segments"],
        "resumed": 0,
        "again": 2,
        "replaced": 0,
        "straight": 0,
        "failed straight": True,
        "verified": 0,
        "break": 128 + 21,
    }
    assert int(str(found["segments"])) >= 2


def test_the_results_are_whole_and_nothing_is_left_behind(
    session: tuple[dict[str, object], int, Path],
) -> None:
    found, _, folder = session
    assert json.loads((folder / "report.json").read_text())["frames_kept"] == 5 * int(str(found["segments"]))
    made = {"in.mkv", "out.mkv", "straight.mkv", "report.json", NAME}
    assert {path.name for path in folder.iterdir()} == made
    for name in ("out.mkv", "straight.mkv"):
        assert numbers_of(folder / name) == list(range(FRAMES))


def test_ctrl_break_ends_what_does_not_return(session: tuple[dict[str, object], int, Path]) -> None:
    assert session[1] == 128 + 21


def test_frames_go_through_pipes(session: tuple[dict[str, object], int, Path]) -> None:
    head = b"YUV4MPEG2 W16 H16 F25:1 C420jpeg\n"
    frames = [b"FRAME\n" + bytes([level]) * 384 for level in (50, 100, 150)]
    flags = ("upscale", "-", "-", "--model", "bicubic", "--device", "cpu", "--quiet")
    done = windows("as_windows", *flags, data=head + b"".join(frames))
    assert done.returncode == 0, done.stderr.decode()
    header, _, rest = done.stdout.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 W32 H32")
    assert len(rest) == 3 * (6 + 32 * 32 * 3 // 2)
