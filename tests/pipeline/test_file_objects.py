"""File objects of a program are upscaled as files are; nothing is written before the end."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.media_maker import Audio, make_clip
from tests.pipeline.fetched import assert_is_result
from vsr.media.remote import blocks, places

QUICK = {"model": "bicubic", "device": "cpu", "preset": "ultrafast"}
FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES, audio=[Audio()])


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    before = dict(places._places), dict(blocks._open)  # of other tests in this process
    yield
    assert (places._places, blocks._open) == before


class Objects:
    """Kinds of file objects as inputs and outputs."""

    @staticmethod
    def memory(data: bytes, folder: Path) -> tuple[Any, Any]:
        return io.BytesIO(data), io.BytesIO()

    @staticmethod
    def files(data: bytes, folder: Path) -> tuple[Any, Any]:
        (folder / "source.bin").write_bytes(data)
        return (folder / "source.bin").open("rb"), (folder / "target").open("w+b", buffering=0)

    @staticmethod
    def fsspec(data: bytes, folder: Path) -> tuple[Any, Any]:
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.pipe_file("/objects/in", data)
        return memory.open("/objects/in", "rb"), memory.open("/objects/out", "wb")


@pytest.mark.parametrize("kind", ["memory", "files", "fsspec"])
def test_file_objects_are_read_and_written(clip: Path, tmp_path: Path, kind: str) -> None:
    source, target = getattr(Objects, kind)(clip.read_bytes(), tmp_path)
    report = vsr.upscale(source, target, **QUICK)
    assert report.frames_out == FRAMES
    assert not source.closed
    assert not target.closed
    target.seek(0)
    assert_is_result(target.read(), clip, tmp_path)
    source.close()
    target.close()


def test_a_file_object_gets_the_container_of_its_name_else_of_the_input(clip: Path, tmp_path: Path) -> None:
    mp4 = make_clip(tmp_path / "in.mp4", frames=4)
    for source, name, beginning in (
        (clip, "", b"\x1aE\xdf\xa3"),
        (io.BytesIO(mp4.read_bytes()), "", b"ftypisom"),
        (clip, "out.mp4", b"ftypisom"),
        (mp4, "out.mkv", b"\x1aE\xdf\xa3"),
    ):
        target = io.BytesIO()
        target.name = name  # type: ignore[attr-defined] # as Pillow and PyAV take it
        vsr.upscale(source, target, end=0.1, **QUICK)
        assert beginning in target.getvalue()[:16]


class Refuses(io.BytesIO):
    """A file object that is full after some bytes."""

    def write(self, data: Any) -> int:
        if self.tell() > 2000:
            raise OSError(28, "full")
        return super().write(bytes(data)[:1000])


def test_a_file_object_that_cannot_take_the_result_is_left_as_it_was(clip: Path) -> None:
    target = Refuses(b"before")
    target.seek(0, os.SEEK_END)
    with pytest.raises(vsr.OutputError, match=r"file object .*: cannot be written \(OSError.*full"):
        vsr.upscale(clip, target, **QUICK)
    assert target.getvalue() == b"before"


def test_nothing_is_written_to_a_file_object_before_the_end(clip: Path) -> None:
    target = io.BytesIO()
    with pytest.raises(KeyError):
        vsr.upscale(clip, target, on_progress=lambda now: {}[1], **QUICK)
    assert target.getvalue() == b""


def test_a_file_object_that_is_not_open_for_writing_is_refused_at_once(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with (tmp_path / "x").open("rb") as file, pytest.raises(vsr.ConfigError, match="open it in mode 'wb'"):
        vsr.upscale(clip, file, **QUICK)
