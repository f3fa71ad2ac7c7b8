"""Renaming and syncing, in the halves for Linux, macOS and Windows."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.system.load import module_as

SYSTEMS = ["linux", "darwin", "win32"]


@pytest.fixture(params=SYSTEMS)
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", -1, raising=False)  # Linux refuses it, as some disks do
    return module_as(request.param, "vsr.system.files")


def made(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def in_use(*_: object) -> None:
    error = PermissionError(errno.EACCES, "used by another process")
    error.winerror = 32  # type: ignore[attr-defined]  # ERROR_SHARING_VIOLATION
    raise error


def test_a_new_file_takes_no_name_that_is_taken_even_by_a_link(files: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        files.open_new(tmp_path / "link")
    os.close(files.open_new(tmp_path / "new"))


def test_a_file_replaces_another_and_can_be_synced(files: ModuleType, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old", b"film"), made(tmp_path / "new", b"before")
    files.sync_file(old)
    files.replace(old, new)
    files.sync_folder(tmp_path)
    assert new.read_bytes() == b"film"
    assert not old.exists()
    assert files.free_bytes(tmp_path) > 0


def test_windows_waits_for_a_virus_scanner_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = module_as("win32", "vsr.system.files")
    old, new = made(tmp_path / "old", b"film"), tmp_path / "new"
    real, pauses = os.replace, []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            monkeypatch.setattr(os, "replace", real)

    monkeypatch.setattr(os, "replace", in_use)
    monkeypatch.setattr(files.time, "sleep", pause)
    files.replace(old, new)
    assert new.read_bytes() == b"film"
    assert len(pauses) == 3
    monkeypatch.setattr(os, "replace", in_use)
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    with pytest.raises(PermissionError, match="another process"):
        files.replace(new, old)
    assert sum(pauses) < 5


def test_windows_tells_other_errors_at_once(tmp_path: Path) -> None:
    files = module_as("win32", "vsr.system.files")
    with pytest.raises(FileNotFoundError):
        files.rename_new(tmp_path / "missing", tmp_path / "new")


def test_macos_flushes_the_drive_and_falls_back_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = module_as("darwin", "vsr.system.files")
    asked: list[object] = []

    def full(handle: int, command: int) -> int:
        asked.append(command)
        if len(asked) == 2:
            raise OSError(errno.ENOTSUP, "not on a disk of the network")
        return 0

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full)
    monkeypatch.setattr(os, "fsync", lambda handle: asked.append("fsync"))
    path = made(tmp_path / "film", b"film")
    files.sync_file(path)
    files.sync_file(path)
    assert asked == [51, 51, "fsync"]


def test_macos_renames_without_replacing_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = module_as("darwin", "vsr.system.files")

    def renamex_np(old: bytes, new: bytes, flags: int) -> int:
        assert flags == 4  # RENAME_EXCL
        if os.path.lexists(new):
            ctypes.set_errno(errno.EEXIST)
            return -1
        Path(os.fsdecode(old)).rename(os.fsdecode(new))
        return 0

    monkeypatch.setattr(files, "_rename_call", lambda: renamex_np)
    old, taken = made(tmp_path / "old", b"film"), made(tmp_path / "taken", b"mine")
    with pytest.raises(FileExistsError):
        files.rename_new(old, taken)
    assert taken.read_bytes() == b"mine"
    assert files.rename_new(old, tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == b"film"
