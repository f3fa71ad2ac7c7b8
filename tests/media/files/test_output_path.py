"""What exists at the target is not damaged, and only files are replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vsr.errors import ConfigError, OutputError
from vsr.media.files.output_path import check_target, put_in_place


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_bytes(b"source")
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / ".made"
    path.write_bytes(b"new")
    return path


def test_the_target_of_a_link_is_written_and_the_link_stays(tmp_path: Path, source: Path, made: Path) -> None:
    real, link = tmp_path / "real.mkv", tmp_path / "link.mkv"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with pytest.raises(ConfigError, match="exists already"):
        check_target(link, source, overwrite=False)
    put_in_place(made, check_target(link, source, overwrite=True), overwrite=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_dangling_link_leads_to_the_new_file(tmp_path: Path, source: Path, made: Path) -> None:
    link = tmp_path / "link.mkv"
    link.symlink_to(tmp_path / "later.mkv")
    put_in_place(made, check_target(link, source, overwrite=False), overwrite=False)
    assert link.is_symlink()
    assert (tmp_path / "later.mkv").read_bytes() == b"new"


def test_a_link_to_itself_is_refused(tmp_path: Path, source: Path) -> None:
    link = tmp_path / "link.mkv"
    link.symlink_to(link)
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="leads back to itself"):
            check_target(link, source, overwrite=overwrite)
    assert link.is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_pipe_is_never_replaced(tmp_path: Path, source: Path, overwrite: bool) -> None:
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="pipe"):
        check_target(pipe, source, overwrite=overwrite)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_too_long_names_are_reported_as_such(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        check_target(tmp_path / ("ü" * 150 + ".mkv"), source, overwrite=False)


def test_a_file_that_appears_during_the_run_is_kept(tmp_path: Path, source: Path, made: Path) -> None:
    place = check_target(tmp_path / "out.mkv", source, overwrite=False)
    place.write_bytes(b"another's")
    with pytest.raises(OutputError, match="appeared during the run"):
        put_in_place(made, place, overwrite=False)
    assert place.read_bytes() == b"another's"


def test_file_systems_without_hard_links_work(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    put_in_place(made, tmp_path / "out.mkv", overwrite=False)
    assert (tmp_path / "out.mkv").read_bytes() == b"new"
    made.write_bytes(b"newer")
    with pytest.raises(OutputError, match="appeared during the run"):
        put_in_place(made, tmp_path / "out.mkv", overwrite=False)
    assert (tmp_path / "out.mkv").read_bytes() == b"new"
