"""Makes the N-th external call of a run fail: files, muxers, encoders, decoders.

    install(7, Path("calls.txt"))     # in the process that shall fail; 0 fails nothing, and only lists

Calls that count are: opening (for writing), writing, syncing, renaming, linking and removing files; opening,
reading, muxing and closing containers; encoding. A failure is the error that the library itself would raise.
Containers in memory do not fail.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.error

_FILE_CALLS = ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")
_OUTPUT_CALLS = {"mux", "mux_one", "close", "start_encoding"}
_READ_ONLY = {"r", "rb", "rt"}


class Counter:
    """Counts calls of all threads, and raises an error at one of them."""

    def __init__(self, fail_at: int, calls: Path | None) -> None:
        self._fail_at, self._number, self._lock = fail_at, 0, threading.Lock()
        self._log = None if calls is None else os.open(calls, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def __call__(self, name: str, what: object, *, library: bool) -> None:
        """Record a call, and raise an error if its number is `fail_at`."""
        with self._lock:
            self._number += 1
            failing = self._number == self._fail_at
            if self._log is not None:
                os.write(self._log, f"{self._number}\t{name}\t{what}\n".encode())
        if failing and library:
            raise av.error.OSError(errno.EIO, os.strerror(errno.EIO), str(what))
        if failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(what))


def install(fail_at: int, calls: Path | None) -> None:
    """Count calls from now on until the process ends."""
    count = Counter(fail_at, calls)
    for name in _FILE_CALLS:
        setattr(os, name, _counted(name, getattr(os, name), count))
    opener = _opening(io.open, count)
    io.open = builtins.open = opener  # type: ignore[assignment]
    av.open = _containers(av.open, count)  # type: ignore[assignment]
    _count_codecs(count)
    _count_renames(count)


def _named(what: object) -> object:
    """A descriptor's file."""
    if not isinstance(what, int):
        return what
    try:
        return Path(f"/proc/self/fd/{what}").readlink()
    except OSError:
        return what


def _counted(name: str, real: Callable[..., Any], count: Counter) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        target = args[1] if name in ("replace", "rename", "link") else args[0]
        count(name, _named(target), library=False)
        return real(*args, **kwargs)

    return call


def _opening(real: Callable[..., Any], count: Counter) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode in _READ_ONLY:
            return real(file, mode, *args, **kwargs)
        count("open", file, library=False)
        return _File(real(file, mode, *args, **kwargs), count, file)

    return call


class _File:
    """A file open for writing whose calls are counted."""

    def __init__(self, real: Any, count: Counter, path: object) -> None:
        self._real, self._count, self._path = real, count, path

    def __getattr__(self, name: str) -> Any:
        if name in ("write", "flush"):
            self._count(name, self._path, library=False)
        return getattr(self._real, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()


class _Output:
    """A container open for writing whose calls are counted."""

    def __init__(self, real: Any, count: Counter, path: object) -> None:
        self.__dict__.update(_real=real, _count=count, _path=path)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in _OUTPUT_CALLS:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._count(name, self._path, library=True)
            return found(*args, **kwargs)

        return call

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _containers(real: Callable[..., Any], count: Counter) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, str):
            return real(file, mode, *args, **kwargs)
        if mode != "w":  # for writing, FFmpeg opens the file together with the header
            count("av.open", file, library=True)
        container = real(file, mode, *args, **kwargs)
        return _Output(container, count, file) if mode == "w" else container

    return call


def _count_renames(count: Counter) -> None:
    """Count renames without replacement, which call the C library because `os` has no function for them."""
    from vsr.system import files

    files.rename_new = _counted("rename", files.rename_new, count)  # type: ignore[assignment]


def _count_codecs(count: Counter) -> None:
    """Count calls of vsr's methods around PyAV's, which cannot be replaced."""
    from vsr.media.decode import frame_reader
    from vsr.media.encode.video_encoder import VideoEncoder
    from vsr.media.passthrough import source_packets

    for name in ("encode", "flush"):
        setattr(VideoEncoder, name, _codec(f"VideoEncoder.{name}", getattr(VideoEncoder, name), count))
    for module in (frame_reader, source_packets):
        module.read_packets = _reading(module.read_packets, count)


def _codec(name: str, real: Callable[..., Any], count: Counter) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        count(name, "", library=True)
        return real(*args, **kwargs)

    return call


def _reading(real: Callable[..., Iterator[Any]], count: Counter) -> Callable[..., Iterator[Any]]:
    """Make reading fail between two packets, as on a failing disk; the caller treats it as damage."""

    def call(container: Any, on_error: Callable[[Exception], None], **named: Any) -> Iterator[Any]:
        for packet in real(container, on_error, **named):
            try:
                count("read", container.name, library=True)
            except av.FFmpegError as error:
                on_error(error)
                return
            yield packet

    return call
