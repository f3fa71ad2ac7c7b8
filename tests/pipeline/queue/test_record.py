"""The record of finished results keeps what other files and other runs need."""

from __future__ import annotations

from pathlib import Path

from tests.media_maker import make_clip
from vsr.pipeline.queue import record


def test_a_picture_that_is_recorded_meanwhile_keeps_the_entry_of_a_result_that_is_not_there_yet(
    tmp_path: Path,
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=2)
    target, picture = tmp_path / "out.mkv", tmp_path / "out.mkv.preview.png"
    record.note_started(source, target, "digest")
    picture.write_bytes(b"a picture")
    record.note_made(source, picture)
    record.note_complete(target, 0, {})
    target.write_bytes(b"a result")
    record.note_finished(target)
    assert record.finished(source, target, "digest") is not None
    assert record.results_among([source, target, picture]) == {target, picture}


def test_a_run_that_starts_in_the_same_folder_does_not_fail_one_whose_result_is_not_there_yet(
    tmp_path: Path,
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=2)
    first, second = tmp_path / "first.mkv", tmp_path / "second.mkv"
    record.note_started(source, first, "digest")
    record.note_started(source, second, "digest")
    first.write_bytes(b"a result")
    record.note_finished(first)
    second.write_bytes(b"a result")
    record.note_finished(second)
    assert record.finished(source, second, "digest") is not None


def test_entries_of_results_that_were_removed_go_when_the_next_result_is_started(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=2)
    for name in ("removed.mkv", "kept.mkv"):
        (tmp_path / name).write_bytes(b"a result")
        record.note_made(source, tmp_path / name)
    (tmp_path / "removed.mkv").unlink()
    record.note_started(source, tmp_path / "next.mkv", "digest")
    text = (tmp_path / record.NAME).read_text()
    assert "removed.mkv" not in text
    assert "kept.mkv" in text
