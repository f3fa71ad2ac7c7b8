"""Files are written completely or not at all, not through links, and only over regular files."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vsr.errors import ConfigError, OutputError
from vsr.system import files
from vsr.writing import check_writable, move_new, move_over, new_file, write_derived, write_whole

DATA = b"new"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / ".made"
    path.write_bytes(DATA)
    return path


# Temporary names


def test_a_second_name_of_a_finished_file_is_removed_and_the_file_stays(tmp_path: Path) -> None:
    film, name = tmp_path / "out.mkv", tmp_path / "result.tmp"
    film.write_bytes(b"film")
    os.link(film, name)
    with new_file(name) as file:
        file.write(DATA)
    assert film.read_bytes() == b"film"
    assert name.read_bytes() == DATA


def test_a_link_with_a_temporary_name_is_not_followed(tmp_path: Path) -> None:
    mine, name = tmp_path / "mine", tmp_path / "journal.part"
    mine.write_bytes(b"precious")
    name.symlink_to(mine)
    new_file(name).close()
    assert mine.read_bytes() == b"precious"
    assert not name.is_symlink()


# Renaming


def without_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_rename_call", lambda: None)


def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(22)  # EINVAL, as on NFS
        return -1

    monkeypatch.setattr(files, "_rename_call", lambda: refuse)


def without_links_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    without_renameat2(monkeypatch)
    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("system", [None, without_renameat2, old_kernel, without_links_either])
def test_an_existing_name_is_never_replaced(
    system: object, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if callable(system):
        system(monkeypatch)
    place = tmp_path / "out.mkv"
    move_new(made, place)
    assert place.read_bytes() == DATA
    assert not made.exists()
    made.write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        move_new(made, place)
    place.unlink()
    place.symlink_to(tmp_path / "nothing")
    with pytest.raises(FileExistsError):
        move_new(made, place)
    assert made.read_bytes() == b"newer"


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 exists only on Linux")
def test_a_finished_file_never_has_two_names(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between a hard link and the removal of the first name would leave two names."""
    monkeypatch.delattr(os, "link")
    move_new(made, tmp_path / "out.mkv")
    assert (tmp_path / "out.mkv").stat().st_nlink == 1


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "link"])
def test_only_a_regular_file_is_replaced(kind: str, made: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "socket":
        os.mknod(place, stat.S_IFSOCK | 0o600)
    else:
        place.symlink_to("elsewhere")
    before = place.lstat()
    with pytest.raises(OSError, match="not a regular file"):
        move_over(made, place)
    assert os.path.samestat(before, place.lstat())


# Writing complete files


def test_a_failure_leaves_only_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "report.json"
    place.write_bytes(b"old")

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="Input/output"):
        write_whole(place, DATA)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("report.json", b"old")]


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    place = tmp_path / ("n" * 255)
    check_writable(place, what="", overwrite=False)
    write_whole(place, DATA)
    assert place.read_bytes() == DATA


def test_a_link_to_a_file_is_followed_and_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_whole(link, DATA)
    assert link.is_symlink()
    assert real.read_bytes() == DATA


def test_a_pipe_is_written_directly_and_stays(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for name in (pipe, link):
        got: list[bytes] = []
        reader = threading.Thread(target=lambda got=got: got.append(pipe.read_bytes()))
        reader.start()
        check_writable(name, what="", overwrite=False)
        write_whole(name, DATA)
        reader.join(20)
        assert got == [DATA]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()


def test_devices_stay_devices(tmp_path: Path) -> None:
    link = tmp_path / "report.json"
    link.symlink_to("/dev/null")
    for name in (Path("/dev/null"), link):
        write_whole(name, DATA)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert link.is_symlink()


WRITES = """
import sys
from pathlib import Path
from vsr.writing import check_writable, write_whole
print("printed before", flush=True)
check_writable(Path(sys.argv[1]), what="", overwrite=False)
write_whole(Path(sys.argv[1]), b"data\\n")
print("printed behind", flush=True)
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_continues_at_its_position_even_if_it_is_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    log = tmp_path / "log.txt"
    with log.open("wb") as file:
        subprocess.run([sys.executable, "-c", WRITES, name], stdout=file, check=True, cwd=tmp_path)
    assert log.read_text() == "printed before\ndata\nprinted behind\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "log.txt"]


# Rejected before any work


def test_a_file_is_not_replaced_without_the_flag(tmp_path: Path) -> None:
    place = tmp_path / "report.json"
    place.write_bytes(b"old")
    with pytest.raises(ConfigError, match=r"^--report .*exists already; `overwrite=True`"):
        check_writable(place, what="--report", overwrite=False)
    check_writable(place, what="--report", overwrite=True)
    assert place.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nowhere/report.json", OutputError, "does not exist"),
        ("folder", ConfigError, "is a folder"),
        ("n" * 256, ConfigError, "too long"),
        ("loop", ConfigError, "leads back"),
    ],
)
def test_places_that_cannot_be_written_are_named(
    name: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error, match=words):
        check_writable(tmp_path / name, what="--report", overwrite=True)


def test_a_folder_that_accepts_no_file_is_named() -> None:
    with pytest.raises(OutputError, match="cannot be written there"):
        check_writable(Path("/proc/report.json"), what="--report", overwrite=True)


def test_a_link_in_place_of_a_derived_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    mine, place = tmp_path / "mine", tmp_path / "out.mkv.preview.png"
    mine.write_bytes(b"precious")
    place.symlink_to(mine)
    write_derived(place, b"a picture")
    assert (place.read_bytes(), mine.read_bytes(), place.is_symlink()) == (b"a picture", b"precious", False)
    other = tmp_path / "folder"
    other.mkdir()
    with pytest.raises(OutputError, match=r"folder: cannot be written .*choose another path"):
        write_derived(other, b"")
