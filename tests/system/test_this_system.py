"""The half of `vsr.system` for the system that this runs on; laptops.yml runs it on Windows and macOS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vsr.system import descriptors, files, folders, host, locks, names, scheduling, stopping

HELD = """
import sys
from pathlib import Path
from vsr.system import locks
try:
    locks.take(Path(sys.argv[1]))
except BlockingIOError:
    sys.exit(3)
"""


def test_a_file_is_synced_renamed_and_never_replaced_by_mistake(tmp_path: Path) -> None:
    old, taken = tmp_path / "old", tmp_path / "taken"
    old.write_bytes(b"film")
    taken.write_bytes(b"mine")
    files.sync_file(old)
    files.sync_folder(tmp_path)
    with pytest.raises(FileExistsError):
        files.rename_new(old, taken)
    assert taken.read_bytes() == b"mine"
    files.replace(old, taken)
    assert taken.read_bytes() == b"film"


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    handle = files.open_new(tmp_path / "new")
    os.write(handle, b"a\nb\r\n")
    files.sync(handle)
    os.close(handle)
    assert (tmp_path / "new").read_bytes() == b"a\nb\r\n"
    handle = files.open_to_read(tmp_path / "new")
    assert os.read(handle, 10) == b"a\nb\r\n"
    os.close(handle)
    handle = files.open_to_append(tmp_path / "new")
    os.write(handle, b"c\n")
    os.close(handle)
    assert (tmp_path / "new").read_bytes() == b"a\nb\r\nc\n"


def test_another_process_sees_the_lock_until_it_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = locks.take(path)
    assert handle is not None
    asked = [sys.executable, "-c", HELD, str(path)]
    assert subprocess.run(asked, check=False).returncode == 3
    locks.remove(handle, path)
    assert not path.exists()
    assert subprocess.run(asked, check=False).returncode == 0


def test_an_own_folder_is_opened_and_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    own = folders.open_own_folder(tmp_path / "own")
    (own.inside / "segment").write_bytes(b"film")
    own.close()
    assert (tmp_path / "own" / "segment").read_bytes() == b"film"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        folders.open_own_folder(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        folders.open_own_folder(tmp_path / "missing")


def test_the_machine_says_what_it_has(tmp_path: Path) -> None:
    assert 0 < host.free_memory() <= host.total_memory()
    assert host.total_memory() != host.UNKNOWN_MEMORY
    before = host.bytes_moved()
    (tmp_path / "film").write_bytes(bytes(1 << 22))
    files.sync_file(tmp_path / "film")
    assert host.bytes_moved() != before
    assert host.processor_name()
    assert files.free_bytes(tmp_path) > 0


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    names.check(tmp_path / ("a" * 200))
    with pytest.raises(OSError, match="too long"):
        names.check(tmp_path / ("a" * 300))


def test_pipes_are_read_and_waiting_is_cancelled() -> None:
    reading, writing = os.pipe()
    reader, writer = descriptors.Descriptor(reading), descriptors.Descriptor(writing, writes=True)
    assert writer.write(memoryview(b"film\n")) == 5
    assert reader.read(100) == b"film\n"
    threading.Timer(0.1, reader.cancel).start()
    with pytest.raises(descriptors.WaitCancelledError):
        reader.read(100)
    writer.close()
    os.close(writing)


def test_a_signal_wakes_the_waiting_thread_which_also_sees_the_end() -> None:
    wakeup = stopping.Wakeup()
    number = stopping.NUMBERS[-1]
    before, handler = signal.set_wakeup_fd(wakeup.writer), signal.signal(number, lambda *_: None)
    try:
        signal.raise_signal(number)
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(number, handler)
    assert wakeup.wait(60) == number
    assert wakeup.wait(0) is None
    wakeup.send(0)
    wakeup.close()
    assert (wakeup.wait(60), wakeup.wait(60)) == (0, -1)
    wakeup.close_reader()


def test_priorities_are_kept() -> None:
    with scheduling.kept_priority():
        pass
