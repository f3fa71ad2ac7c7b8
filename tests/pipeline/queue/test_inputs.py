"""Words of the command line stand for files, and each result gets one name of its own."""

from __future__ import annotations

import codecs
import os
from fractions import Fraction
from pathlib import Path

import pytest

from vsr.errors import ConfigError
from vsr.pipeline.queue.inputs import Input, inputs_of, listed, text_of
from vsr.pipeline.queue.names import PATTERN, targets_of
from vsr.settings.schema import UpscaleSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "part 10.mkv",
        "part 9.mkv",
        "._part 9.mkv",
        "notes.txt",
        "B.AVI",
        "disc/a.vob",
        "out/a-2x.mkv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(found: list[Input]) -> list[str]:
    return [str(one.folder / one.path.name) for one in found]


def test_a_folder_stands_for_its_videos_numbers_in_order(folder: Path) -> None:
    assert names(inputs_of([folder], recursive=False)) == ["B.AVI", "part 9.mkv", "part 10.mkv"]


def test_folders_inside_are_searched_on_request_and_that_of_the_results_never(folder: Path) -> None:
    found = inputs_of([folder], recursive=True, leave_out=folder / "out")
    assert names(found) == ["B.AVI", "part 9.mkv", "part 10.mkv", "disc/a.vob"]


def test_a_pattern_that_the_shell_left_alone_is_expanded(folder: Path) -> None:
    assert names(inputs_of([folder / "part*.mkv"], recursive=False)) == ["part 9.mkv", "part 10.mkv"]


def test_a_file_named_twice_is_upscaled_once(folder: Path) -> None:
    assert names(inputs_of([folder / "B.AVI", folder, folder / "B.AVI"], recursive=False))[0] == "B.AVI"
    assert len(inputs_of([folder, folder], recursive=False)) == 3


@pytest.mark.parametrize("word", ["empty", "*.webm"])
def test_a_word_that_stands_for_nothing_is_refused(folder: Path, word: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"this folder contains no video or image|no file matches"):
        inputs_of([folder / word], recursive=False)


def test_a_list_has_a_file_a_line_or_is_separated_by_nul() -> None:
    assert listed("a b.mkv\r\n\nc.mkv\n") == [Path("a b.mkv"), Path("c.mkv")]
    assert listed("a\nb.mkv\0c.mkv\0") == [Path("a\nb.mkv"), Path("c.mkv")]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (UpscaleSettings(), "film-2x.mkv"),
        (UpscaleSettings(model="fast-x4"), "film-4x.mkv"),
        (UpscaleSettings(scale=Fraction(3, 2)), "film-1.5x.mkv"),
        (UpscaleSettings(height=1080), "film-1080p.mkv"),
        (UpscaleSettings(width=1920, height=1080), "film-1920x1080.mkv"),
    ],
)
def test_a_result_is_named_by_its_size_and_a_container_that_holds_everything(
    settings: UpscaleSettings, name: str
) -> None:
    assert targets_of([Input(Path("d/film.avi"))], settings, folder=None, pattern=PATTERN) == [
        Path("d") / name
    ]


def test_a_pattern_may_name_the_suffix_and_folders_are_kept_below_the_target(tmp_path: Path) -> None:
    one = Input(Path("rips/disc/film.mp4"), Path("disc"))
    (target,) = targets_of([one], UpscaleSettings(), folder=tmp_path, pattern="{stem} {scale} {model}.mov")
    assert target == tmp_path / "disc" / "film 2 auto.mov"
    (target,) = targets_of([one], UpscaleSettings(), folder=tmp_path, pattern="{stem}")
    assert target == tmp_path / "disc" / "film.mp4"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{title}", r"\{title\} is unknown; use \{stem\}"),
        ("{stem", "is not a pattern"),
        ("a/{stem}", "is not a file name"),
        ("", "is not a file name"),
        ("film", "would both be"),
        ("{0}", "is unknown"),
        ("{stem.__class__}", "is unknown"),
    ],
)
def test_a_pattern_that_cannot_name_the_results_is_refused(pattern: str, words: str) -> None:
    inputs = [Input(Path("a.mkv")), Input(Path("b.mkv"))]
    with pytest.raises(ConfigError, match=words):
        targets_of(inputs, UpscaleSettings(), folder=Path("out"), pattern=pattern)


def test_two_inputs_of_one_name_in_different_folders_are_told_before_any_work() -> None:
    inputs = [Input(Path("x/a.mkv")), Input(Path("y/a.avi"))]
    with pytest.raises(ConfigError, match=r"the results of x/a.mkv and y/a.avi would both be out/a-2x.mkv"):
        targets_of(inputs, UpscaleSettings(), folder=Path("out"), pattern=PATTERN)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_is_read_in_the_encoding_that_its_first_bytes_state(encoding: str) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    data = marks.get(encoding, b"") + "a.mkv\r\nü b.mkv\r\n".encode(encoding)
    assert listed(text_of(data)) == [Path("a.mkv"), Path("ü b.mkv")]


def test_a_list_keeps_names_that_are_not_utf8() -> None:
    assert [os.fsencode(path) for path in listed(text_of(b"\xff.mkv\n"))] == [b"\xff.mkv"]
