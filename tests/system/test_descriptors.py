"""Reads and writes that another thread calls off, in the halves for POSIX and for Windows."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType

import pytest

from tests.system.load import module_as


@pytest.fixture(params=["linux", "win32"])
def descriptors(request: pytest.FixtureRequest) -> ModuleType:
    return module_as(request.param, "vsr.system.descriptors")


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        with suppress(OSError):
            os.close(fd)


def test_bytes_come_in_order_and_then_the_end(descriptors: ModuleType, ends: tuple[int, int]) -> None:
    reader, writer = descriptors.Descriptor(ends[0]), descriptors.Descriptor(ends[1], writes=True)
    for part in (b"one", b"two"):
        assert writer.write(memoryview(part)) == 3
        assert reader.read(100) == part
    writer.close()
    os.close(ends[1])
    assert reader.read(100) == b""
    assert reader.read(100) == b""


def test_a_read_that_waits_is_cancelled_and_so_are_all_later_ones(
    descriptors: ModuleType, ends: tuple[int, int]
) -> None:
    reader, errors = descriptors.Descriptor(ends[0]), []

    def read() -> None:
        try:
            reader.read(100)
        except OSError as error:
            errors.append(error.errno)

    waiting = threading.Thread(target=read)
    waiting.start()
    reader.cancel()
    waiting.join(60)
    with pytest.raises(descriptors.WaitCancelledError):
        reader.read(100)
    assert errors == [errno.ECANCELED]


def test_a_write_that_waits_for_its_reader_is_cancelled(
    descriptors: ModuleType, ends: tuple[int, int]
) -> None:
    writer, errors = descriptors.Descriptor(ends[1], writes=True), []

    def write() -> None:
        data = memoryview(bytes(1 << 24))
        try:
            while data:
                data = data[writer.write(data) :]
        except OSError as error:
            errors.append(error.errno)

    waiting = threading.Thread(target=write)
    waiting.start()
    writer.cancel()
    waiting.join(60)
    assert errors == [errno.ECANCELED]


def test_a_reader_that_is_gone_is_a_broken_pipe(descriptors: ModuleType, ends: tuple[int, int]) -> None:
    writer = descriptors.Descriptor(ends[1], writes=True)
    os.close(ends[0])
    with pytest.raises(BrokenPipeError):
        writer.write(memoryview(b"film"))


def test_windows_calls_a_reader_that_is_gone_an_invalid_argument(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    descriptors = module_as("win32", "vsr.system.descriptors")
    writer = descriptors.Descriptor(ends[1], writes=True)
    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(BrokenPipeError):
        writer.write(memoryview(b"film"))
