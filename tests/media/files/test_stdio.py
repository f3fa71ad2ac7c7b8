"""Input and output through descriptors that cannot seek."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

from vsr.errors import InputError, OutputError
from vsr.media.files.stdio import PipeInput, PipeOutput, is_pipe, place_of

Y4M = b"YUV4MPEG2 W4 H4 F25:1 C420jpeg\n"


@dataclass(frozen=True)
class Ends:
    """Both ends of a pipe, unbuffered; closing them twice does no harm."""

    reading: FileIO
    writing: FileIO


@pytest.fixture
def ends() -> Iterator[Ends]:
    reading, writing = os.pipe()
    with FileIO(reading, "r") as source, FileIO(writing, "w") as target:
        yield Ends(source, target)


def filled(ends: Ends, data: bytes) -> PipeInput:
    ends.writing.write(data)
    ends.writing.close()
    return PipeInput(ends.reading.fileno())


def all_of(pipe: PipeInput, *, last: bool = False, size: int = 7) -> bytes:
    reader, parts = pipe.open(last=last), []
    while data := reader.read(size):
        parts.append(data)
    return b"".join(parts)


def test_the_beginning_can_be_read_again_and_the_last_reader_gets_everything(ends: Ends) -> None:
    pipe = filled(ends, Y4M + bytes(range(200)))
    assert pipe.format() == "y4m"
    assert all_of(pipe) == Y4M + bytes(range(200))
    assert all_of(pipe, size=100) == Y4M + bytes(range(200))
    assert all_of(pipe, last=True) == Y4M + bytes(range(200))
    assert pipe.total == len(Y4M) + 200
    assert pipe.ended
    with pytest.raises(InputError, match="can be read once only"):
        pipe.open()


def test_an_early_reader_keeps_its_position_and_takes_nothing_from_the_last_one(ends: Ends) -> None:
    ends.writing.write(Y4M)
    pipe = PipeInput(ends.reading.fileno())
    early = pipe.open()
    assert early.read(10) == Y4M[:10]
    last = pipe.open(last=True)
    ends.writing.write(b"more")
    ends.writing.close()
    assert early.read(100) == b""  # this data is not kept
    assert last.read(10) + last.read(100) + last.read(100) == Y4M + b"more"


def test_nothing_is_kept_after_the_last_open(ends: Ends) -> None:
    ends.writing.write(b"a" * 1000)
    pipe = PipeInput(ends.reading.fileno())
    pipe.open().read(1000)
    reader = pipe.open(last=True)
    reader.read(1000)
    for _ in range(50):
        ends.writing.write(b"b" * 1000)
        assert len(reader.read(1000)) == 1000
    assert not pipe._head


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello", "neither YUV4MPEG2 nor NUT"),
        (b"\x00\x00\x00\x20ftypisom", "write -f nut"),
    ],
)
def test_piped_data_of_another_format_is_refused(ends: Ends, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        filled(ends, data).format()


def test_a_waiting_read_can_be_cancelled(ends: Ends) -> None:
    pipe = PipeInput(ends.reading.fileno())
    reader = pipe.open(last=True)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(reader.read(10)), daemon=True)
    thread.start()
    pipe.stop()
    thread.join(30)
    assert got == [b""]


def test_a_waiting_write_can_be_cancelled_and_the_descriptor_is_restored(
    ends: Ends,
) -> None:
    out = PipeOutput(ends.writing.fileno())
    failed: list[OSError] = []

    def write() -> None:
        try:
            out.write(bytes(1 << 24))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    ends.reading.read(1)
    out.stop()
    thread.join(30)
    assert len(failed) == 1
    out.close()
    assert os.get_blocking(ends.writing.fileno())


def test_everything_is_written_even_if_the_reader_is_slow(ends: Ends) -> None:
    data = os.urandom(3 << 20)
    got: list[bytes] = []

    def read() -> None:
        while part := ends.reading.read(10000):
            got.append(part)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    out = PipeOutput(ends.writing.fileno())
    assert out.write(data) == len(data)
    ends.writing.close()
    thread.join(30)
    assert b"".join(got) == data
    assert out.bytes == len(data)


def test_a_closed_reader_is_a_broken_pipe(ends: Ends) -> None:
    out = PipeOutput(ends.writing.fileno())
    ends.reading.close()
    with pytest.raises(BrokenPipeError):
        out.write(b"x")


def test_a_terminal_is_refused() -> None:
    ours, theirs = os.openpty()
    try:
        with pytest.raises(InputError, match="is a terminal; pipe a video into it"):
            PipeInput(theirs).format()
        with pytest.raises(OutputError, match="is a terminal; pipe it into a program"):
            PipeOutput(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_closed_descriptors_and_folders_are_reported(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(InputError, match="standard input: cannot be read"):
            PipeInput(folder).format()
    finally:
        os.close(folder)
    nothing = 1000  # not a descriptor of this process
    with pytest.raises(InputError, match="standard input: cannot be read"):
        PipeInput(nothing).format()
    with pytest.raises(OutputError, match="standard output: cannot be written"):
        PipeOutput(nothing)


def test_a_single_dash_is_the_pipe_and_a_file_of_that_name_is_not(monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert is_pipe(place_of("-"))
    assert is_pipe(place_of(Path("-")))
    assert place_of("./-") == tmp_path / "-"
    assert place_of("a/b.mp4") == Path("a/b.mp4")
