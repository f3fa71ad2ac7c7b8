"""A process that is killed while it writes a file leaves nothing behind for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vsr.system import abandoned, locks
from vsr.system.abandoned import held_name
from vsr.writing import write_beside, write_whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows locks bytes and not files")


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "_swept", set())


def kill_while_writing(place: Path) -> None:
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from vsr import writing\n"
        "writing.move_over = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"writing.write_whole(Path({str(place)!r}), bytes(100_000))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_has_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    kill_while_writing(tmp_path / "report.json")
    (left,) = names(tmp_path)
    assert left.endswith(".held.tmp")
    write_whole(tmp_path / "other.json", b"{}")
    assert names(tmp_path) == ["other.json"]


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    writing = held_name(tmp_path)
    with writing.open("wb") as file:
        lock = locks.hold(file.fileno())
        assert lock is not None
    write_beside(tmp_path / "record", b"", sync=False)
    assert names(tmp_path) == sorted([writing.name, "record"])
    os.close(lock)


def test_files_of_others_stay(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    kept = [".vsr-0123456789ab.tmp", ".vsr-notours.held.tmp", "x.vsr-0123456789ab.held.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    link, folder = held_name(tmp_path), held_name(tmp_path)
    link.symlink_to(mine)
    folder.mkdir()
    write_whole(tmp_path / "report.json", b"{}")
    assert names(tmp_path) == sorted([*kept, "mine", link.name, folder.name, "report.json"])
    assert mine.read_bytes() == b"precious"


def test_a_file_that_is_taken_for_abandoned_before_it_is_locked_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = locks.hold, 0

    def late(handle: int) -> int | None:
        nonlocal calls
        calls += 1
        if calls == 1:  # another process removes the file before it is locked
            (name,) = tmp_path.iterdir()
            name.unlink()
        if calls == 2:
            raise BlockingIOError
        return real(handle)

    monkeypatch.setattr(locks, "hold", late)
    write_whole(tmp_path / "report.json", b"whole")
    assert (tmp_path / "report.json").read_bytes() == b"whole"
    assert calls == 3
