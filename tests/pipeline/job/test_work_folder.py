"""The work folder of a run survives faults of the disk, kills and other users."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.pipeline.job.interrupted import (
    FRAMES,
    LENGTH,
    SETTINGS,
    CutOffError,
    contents,
    cut_off,
    parts,
    stop_after,
)
from vsr.errors import ConfigError, OutputError
from vsr.media.encode import segments
from vsr.media.mux.resumable.journal import read_journal, write_journal
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.pipeline.run import upscale


def test_a_damaged_or_missing_segment_is_made_again(clip: Path, tmp_path: Path) -> None:
    upscale(clip, tmp_path / "whole.mkv", SETTINGS)
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=FRAMES)
    first, second, *_ = parts(tmp_path)
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    report = upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert report.frames_kept % LENGTH == 0
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "whole.mkv")


def test_a_truncated_journal_costs_one_segment_and_two_cost_all(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=FRAMES)
    finished = len(parts(tmp_path))
    assert finished >= 2
    newest, older = sorted(tmp_path.glob(".*.vsr/journal-*.json"), key=lambda p: -turn_of(p))
    newest.write_bytes(newest.read_bytes()[:40])
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=1)
    assert len(parts(tmp_path)) == finished - 1
    older.write_text("{}")
    newest.unlink(missing_ok=True)
    report = upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert (report.frames_kept, report.frames_out) == (0, FRAMES)


def turn_of(journal: Path) -> int:
    return int(json.loads(json.loads(journal.read_text())["journal"])["turn"])


def test_a_kill_that_leaves_two_names_of_a_file_loses_no_file(clip: Path, tmp_path: Path) -> None:
    """On file systems with hard links only, a kill between two steps
    leaves the file under the hidden name too."""
    film = tmp_path / "out.mkv"
    upscale(clip, film, SETTINGS)
    whole = film.read_bytes()
    work = WorkFolder(film)
    finish = work.path
    os.close(os.open(finish / "00000000.segment", os.O_CREAT))  # keeps the folder
    work.leave(done=False)
    os.link(film, finish / "result.tmp")
    os.link(film, finish / "00000000.part")
    with pytest.raises(ConfigError):  # any error before the work
        upscale(clip, film, SETTINGS, model="no such model")
    with pytest.raises(CutOffError):
        upscale(clip, film, replace(SETTINGS, scale=Fraction(3)), overwrite=True, on_progress=stop_after(9))
    assert film.read_bytes() == whole


def failing_to_read(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make reading fail after the segment's header."""
    real = segments._packet

    def broken(file: BinaryIO, end: int, boxed: object) -> object:
        if file.tell():
            raise OSError(5, "Input/output error")
        return real(file, end, boxed)

    monkeypatch.setattr(segments, "_packet", broken)


def test_a_segment_that_cannot_be_read_is_an_error_of_the_disk(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    with monkeypatch.context() as patch:
        failing_to_read(parts(tmp_path)[0], patch)
        with pytest.raises(
            OutputError, match=r"segment: a finished part cannot be read \(Input/output error"
        ):
            upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert upscale(clip, tmp_path / "out.mkv", SETTINGS).frames_kept


@pytest.mark.parametrize(
    "facts",
    [
        {"engine": 5, "file": None},
        {"engine": {"batch": "x", "tile": 0, "backend": "torch"}, "file": None},
        {"engine": {"batch": 1, "tile": 0, "backend": "magic"}, "file": None},
        {"engine": {"batch": 1}, "file": None},
        {"engine": {"batch": 1, "tile": 0, "backend": "torch"}, "file": "x"},
    ],
)
def test_a_journal_with_wrong_types_gives_a_clear_error(
    clip: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    for path in tmp_path.glob(".*.vsr/journal-*.json"):
        journal = read_journal(path)
        assert journal is not None
        journal.facts = facts
        write_journal(path, journal)
    with pytest.raises(ConfigError, match="`restart`"):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert upscale(clip, tmp_path / "out.mkv", SETTINGS, restart=True).frames_out == FRAMES


def test_no_file_is_left_if_no_segment_was_finished(clip: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, segment_seconds=Fraction(10))
    cut_off(clip, tmp_path / "out.mkv", settings, after=10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_without_resume_no_segment_is_kept(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", replace(SETTINGS, resume=False), after=20)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_two_runs_cannot_write_the_same_output(clip: Path, tmp_path: Path) -> None:
    held = WorkFolder(tmp_path / "out.mkv")
    with pytest.raises(OutputError, match="another vsr"):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)
    held.leave(done=False)
    assert upscale(clip, tmp_path / "out.mkv", SETTINGS).frames_out == FRAMES


def test_a_planted_link_is_not_followed(clip: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("kept")
    probe = WorkFolder(tmp_path / "out.mkv")
    probe.leave(done=True)
    probe.path.symlink_to(elsewhere)
    with pytest.raises(OutputError, match="cannot be used"):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert [p.name for p in elsewhere.iterdir()] == ["mine"]


def test_the_longest_file_name_leaves_room_for_segments(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".mkv")
    cut_off(clip, target, SETTINGS, after=20)
    assert upscale(clip, target, SETTINGS).frames_kept


def test_a_full_disk_keeps_finished_segments(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def nearly_full(path: object) -> os.statvfs_result:
        found = real(path)  # type: ignore[arg-type]
        return os.statvfs_result([*found[:2], found[2], 0, 0, *found[5:]])

    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=14)
    kept = len(parts(tmp_path))
    monkeypatch.setattr(os, "statvfs", nearly_full)
    with pytest.raises(OutputError, match="make room, then run it again"):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)
    monkeypatch.undo()
    assert upscale(clip, tmp_path / "out.mkv", SETTINGS).frames_kept == kept * LENGTH
