"""The record of finished results keeps what other files and other runs need, whoever made the result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.media_maker import make_clip
from vsr.pipeline.queue import record

QUICK = {"model": "bicubic", "scale": 2, "device": "cpu"}


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


@pytest.mark.parametrize("name", ["out.mkv", "below/out.mp4", "moving.gif"])
def test_a_result_of_a_python_program_is_recorded(tmp_path: Path, name: str) -> None:
    source, target = make_clip(tmp_path / "in.mkv", frames=2), tmp_path / name
    target.parent.mkdir(exist_ok=True)
    vsr.upscale(source, target, **QUICK)
    assert record.results_among([source, target]) == {target}
    digest = record.settings_digest(vsr.UpscaleSettings(**QUICK | {"scale": Fraction(2)}))
    assert record.finished(source, target, digest) is not None


def test_pictures_of_previews_and_comparisons_of_a_python_program_are_recorded(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv", frames=2), tmp_path / "out.mkv"
    vsr.upscale(source, target, **QUICK)
    vsr.preview(source, output=tmp_path / "preview.png", models=["bicubic"])
    vsr.compare(source, target, output=tmp_path / "both.png")
    names = ("preview.png", "both.png")
    assert record.results_among(tmp_path / name for name in names) == {tmp_path / name for name in names}


def test_each_numbered_picture_of_a_result_is_known_and_others_are_not(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv", frames=3), tmp_path / "out" / "%03d.png"
    vsr.upscale(source, target, **QUICK)
    files = [tmp_path / "out" / f"{number:03d}.png" for number in (1, 2, 3)]
    assert record.results_among(files) == set(files)
    digest = record.settings_digest(vsr.UpscaleSettings(**QUICK | {"scale": Fraction(2)}))
    assert record.finished(source, target, digest) is not None
    files[1].write_bytes(files[0].read_bytes())
    assert record.results_among(files) == {files[0], files[2]}
    assert record.finished(source, target, digest) is None
    vsr.upscale(source, tmp_path / "out" / "a.mkv", **QUICK)
    assert record.results_among(files) == {files[0], files[2]}, "the entry of the pictures stays"
