"""Remote bytes are read exactly, in few transfers, with bounded memory, and no error is taken for an end."""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
from collections.abc import Iterator

import pytest

from vsr.errors import InputError
from vsr.media.files.named import paths_of
from vsr.media.remote import blocks, failures, places
from vsr.media.remote.reader import MediaReader, open_bytes, open_for_media, size_of

BLOCK = 1000


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (blocks, __import__("vsr.media.remote.reader", fromlist=["BLOCK"])):
        monkeypatch.setattr(module, "BLOCK", BLOCK)
    monkeypatch.setattr(blocks, "KEPT_BYTES", 4 * BLOCK)
    before = dict(places._places), dict(blocks._open)  # of other tests in this process
    yield
    assert not [t.name for t in threading.enumerate() if t.name.startswith("vsr-")]
    assert (places._places, blocks._open) == before
    assert not blocks._kept


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class Counted(io.BytesIO):
    """Bytes that record which parts are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[tuple[int, int]] = []

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        data = super().read(size)
        self.reads.append((at, len(data)))
        return data


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK + 3])
def test_any_sequence_of_reads_equals_that_of_a_file(size: int) -> None:
    data, dice = noise(size), random.Random(7)
    plain = io.BytesIO(data)
    with paths_of(io.BytesIO(data)) as (path,), open_bytes(path) as reader:
        assert size_of(path) == size
        for _ in range(300):
            at, whence = dice.randrange(size + 5), dice.choice([os.SEEK_SET, os.SEEK_END, os.SEEK_CUR])
            offset = {os.SEEK_SET: at, os.SEEK_END: -min(at, size), os.SEEK_CUR: at - plain.tell()}[whence]
            assert reader.seek(offset, whence) == plain.seek(offset, whence)
            many = dice.choice([0, 1, 10, BLOCK, 3 * BLOCK, -1])
            assert reader.read(many) == plain.read(many)
            assert reader.tell() == plain.tell()


def test_each_block_of_a_film_is_transferred_once_for_two_readers_that_stay_together() -> None:
    source = Counted(noise(20 * BLOCK))
    with paths_of(source) as (path,):
        first, second = open_bytes(path), open_bytes(path)
        for _ in range(40):
            assert first.read(BLOCK // 2) == second.read(BLOCK // 2)
    starts = [at for at, size in source.reads if size]
    assert sorted(starts) == [n * BLOCK for n in range(20)]


def test_memory_is_bounded_however_much_is_read() -> None:
    with paths_of(io.BytesIO(noise(50 * BLOCK))) as (path,), open_bytes(path) as reader:
        while reader.read(BLOCK):
            assert len(blocks._kept) <= 4


def test_the_next_block_is_read_ahead_of_a_reader_that_goes_straight_on() -> None:
    source = Counted(noise(10 * BLOCK))
    with paths_of(source) as (path,), open_bytes(path) as reader:
        reader.read(2 * BLOCK)
        reader.read(1)
        blocks._open[path]._pool.shutdown(wait=True)
        assert (3 * BLOCK, BLOCK) in source.reads
        assert (4 * BLOCK, BLOCK) not in source.reads


class Failing(Counted):
    """Bytes that cannot be read from some position on."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 3 * BLOCK:
            raise OSError(5, "the cable is out")
        return super().read(size)


def test_an_error_ends_the_data_for_ffmpeg_and_is_raised_by_check() -> None:
    with paths_of(Failing(noise(5 * BLOCK))) as (path,):
        reader = open_for_media(path)
        assert len(reader.read(3 * BLOCK)) == 3 * BLOCK
        reader.check()
        assert reader.read(1) == b""
        reader.seek(0)
        assert reader.read(1) == b""  # nor anything after it, which FFmpeg would take for a whole file
        with pytest.raises(InputError, match=r"file object .*the cable is out"):
            reader.check()


def test_the_name_that_ffmpeg_gets_has_a_suffix_and_nothing_of_the_address() -> None:
    with paths_of(io.BytesIO(b"x"), suffix=".mp4") as (path,):
        assert open_for_media(path).name == "input.mp4"
        assert MediaReader(blocks._open[path], ".m%d").name == "input"


def test_an_object_that_cannot_seek_is_copied_first() -> None:
    data = noise(3 * BLOCK)
    source, sink = os.pipe()
    threading.Thread(target=lambda: (os.write(sink, data), os.close(sink))).start()
    with os.fdopen(source, "rb") as pipe, paths_of(pipe) as (path,), open_bytes(path) as reader:
        reader.seek(-10, os.SEEK_END)
        assert reader.read() == data[-10:]
        reader.seek(0)
        assert hashlib.sha256(reader.read()).digest() == hashlib.sha256(data).digest()


def test_attempts_are_limited_and_only_made_where_they_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fails(error: Exception) -> None:
        tried.append(1)
        raise error

    for error, attempts, words in (
        (OSError(104, "reset"), 4, r"x: cannot be used now \(reset\) \(4 attempts\)"),
        (TimeoutError(), 4, "the host does not answer"),
        (FileNotFoundError("s3://SECRET"), 1, "there is no such object"),
        (PermissionError("s3://SECRET"), 1, "access is denied"),
        (RuntimeError("https://u:SECRET@host"), 4, r"\(RuntimeError\)"),
        (OSError(5, "https://u:SECRET@host"), 4, "Input/output error"),
    ):
        tried.clear()
        with pytest.raises(InputError, match=words) as told:
            failures.patiently(lambda error=error: fails(error), name="x", pauses=(0.0, 0.0, 0.0))
        assert len(tried) == attempts
        assert "SECRET" not in str(told.value)
        assert told.value.__cause__ is None
        assert told.value.__context__ is None


def test_an_attempt_that_succeeds_hides_those_before() -> None:
    answers = iter([OSError(104, "reset"), TimeoutError(), None])

    def call() -> str:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "data"

    assert failures.patiently(call, name="x", pauses=(0.0, 0.0)) == "data"
