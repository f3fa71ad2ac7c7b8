"""The bytes of a URL through fsspec, and of a file object: size, version, and ranges of bytes.

A web server that does not answer requests for a part of a file sends the whole of it, once, into a temporary
file.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, Protocol

from vsr.errors import ConfigError, InputError, OutputError
from vsr.media.remote.failures import PATIENT, QUICK, patiently
from vsr.media.remote.places import PROTOCOLS, Remote
from vsr.media.remote.traffic import note

_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest")
"""Keys of fsspec's facts that change with the content."""
_TIMES = ("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "created")
_EXTRA = "'vsr-pipeline[url]'"
_EXTRAS = {"gcs": "gcsfs"}
"""What installs the package of a protocol, if that is not the extra `url`."""
_COPY = 1 << 20
_SAMPLES = 16
_CONNECT_SECONDS, _READ_SECONDS = 10, 30


@dataclass(frozen=True, slots=True)
class Identity:
    """Facts of a remote file that change with its content."""

    size: int | None
    """In bytes; None where the server does not say."""
    version: str
    """The store's hash or version of the content, else its time; empty if the server says neither."""


class Store(Protocol):
    """What can be read in parts; all functions may be called from any thread."""

    size: int

    def identity(self) -> Identity:
        """Return what the store says of the file now."""

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`."""

    def stop(self) -> None:
        """Let waiting and later calls fail soon."""

    def close(self) -> None:
        """Release connections and temporary files."""


def open_store(remote: Remote) -> Store:
    """Open a URL or a file object for reading.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        InputError: it does not exist, or cannot be read.
    """
    return ObjectStore(remote) if remote.file is not None else UrlStore(remote)


def file_system(remote: Remote, *, attempts: int = 1) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and its own name of the file.

    Args:
        remote: A URL.
        attempts: How often S3's library itself tries a request, for calls without `patiently`.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
    """
    if remote.on_network and not remote.allow_network:
        raise ConfigError(
            f"{remote.shown}: is reached through the network, which is not used without `allow_network=True`"
        )
    protocol = PROTOCOLS[remote.scheme]
    try:
        fsspec = import_module("fsspec")
        kind = fsspec.get_filesystem_class(protocol)
        system = kind(use_listings_cache=False, **_limits(protocol, attempts))
    except ImportError as error:
        raise ConfigError(
            f"{remote.shown}: needs {_package(protocol)}; pip install {_EXTRAS.get(protocol, _EXTRA)}"
        ) from error
    except Exception as error:  # of the store's own package: credentials or settings that it refuses
        raise ConfigError(
            f"{remote.shown}: {protocol} cannot be set up ({type(error).__name__}); check its settings"
        ) from None
    if protocol == "s3":
        system.retries = 1  # attempts of s3fs, which would multiply those of its library
    return system, kind._strip_protocol(remote.url)


def identity_of(system: Any, place: str, name: str) -> Identity:
    """Return the facts of a file that change with its content, from the store and not from a cache.

    Raises:
        Exception: of fsspec, where the file is missing or the store fails.
        InputError: the server leads from https to http.
    """
    system.invalidate_cache()
    facts = system.info(place)
    if facts.get("type") == "directory":
        raise IsADirectoryError(place)
    version = next((str(facts[key]) for key in _VERSIONS if facts.get(key)), "")
    time = next((str(facts[key]) for key in _TIMES if facts.get(key)), "")
    if str(facts.get("url", "")).startswith("http://") and place.startswith("https://"):
        raise InputError(
            f"{name}: is redirected to an address without encryption; give the address of the file"
        )
    return Identity(facts.get("size"), version or time)


class UrlStore:
    """A file behind a URL."""

    def __init__(self, remote: Remote) -> None:
        """Ask for its size and version.

        Raises:
            ConfigError: the network is not allowed, or a package is missing.
            InputError: it does not exist, or cannot be read.
        """
        self._name, self._stopped, self._lock = remote.shown, threading.Event(), threading.Lock()
        self._system, self._place = file_system(remote)
        first = patiently(self._identity, name=self._name, stopped=self._stopped)
        self._file = patiently(self._opened, name=self._name, stopped=self._stopped)
        whole = first.size is None or not patiently(self._has_ranges, name=self._name, stopped=self._stopped)
        if whole:
            self._file = patiently(self._downloaded, name=self._name, pauses=QUICK, stopped=self._stopped)
        self.size = self._file.seek(0, os.SEEK_END) if whole else int(first.size or 0)

    def identity(self) -> Identity:
        """Return what the store says of the file now."""
        return patiently(self._identity, name=self._name, pauses=PATIENT, stopped=self._stopped)

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`.

        Raises:
            InputError: the store failed, or the file was changed.
        """
        return patiently(
            lambda: self._fetch(start, stop), name=self._name, pauses=PATIENT, stopped=self._stopped
        )

    def stop(self) -> None:
        """Let waiting and later calls fail soon."""
        self._stopped.set()

    def close(self) -> None:
        """Release the connection or the temporary file."""
        self._stopped.set()
        self._file.close()

    def _identity(self) -> Identity:
        return identity_of(self._system, self._place, self._name)

    def _opened(self) -> Any:
        return self._system.open(self._place, "rb", cache_type="none")

    def _fetch(self, start: int, stop: int) -> bytes:
        with self._lock:
            self._file.seek(start)
            data = bytes(self._file.read(stop - start))
        if len(data) != stop - start:
            raise ConnectionResetError(None, "the connection broke off")
        note(len(data))
        return data

    def _has_ranges(self) -> bool:
        """Return whether parts can be read: the last byte alone, or a file of one byte."""
        size = getattr(self._file, "size", None)
        if not self._file.seekable() or size is None:
            return False
        try:
            return size == 0 or bool(self._fetch(size - 1, size))
        except ValueError:  # of fsspec: more came than was asked for
            return False

    def _downloaded(self) -> BinaryIO:
        """Copy the whole file to a temporary one.

        Raises:
            OutputError: the disk is full.
        """
        copy = _temporary_file()
        try:
            with self._system.open(self._place, "rb", block_size=0) as file:
                while data := file.read(_COPY):
                    note(len(data))
                    _append(copy, data, self._name)
        except BaseException:
            copy.close()
            raise
        return copy


class ObjectStore:
    """A file object of a Python program; one that cannot seek is copied to a temporary file."""

    def __init__(self, remote: Remote) -> None:
        """Find out its size.

        Raises:
            ConfigError: it cannot be read from.
            InputError: reading fails.
        """
        self._name, self._lock = remote.shown, threading.Lock()
        if not hasattr(remote.file, "read"):
            raise ConfigError(f"{remote.shown}: has no function read; open it for reading")
        self._own = None if _is_seekable(remote.file) else self._copied(remote.file)
        self._file = self._own or remote.file
        with self._lock:
            self.size = self._call(lambda: self._end())

    def identity(self) -> Identity:
        """Return its size and a hash of samples of its content."""
        with self._lock:
            self.size = self._call(lambda: self._end())
        import hashlib  # loads OpenSSL, which most commands do not need

        digest = hashlib.sha256()
        last = max(0, self.size - _COPY)
        for number in range(_SAMPLES):
            start = last * number // (_SAMPLES - 1)
            digest.update(self.fetch(start, min(self.size, start + _COPY)))
        return Identity(self.size, digest.hexdigest()[:16])

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`.

        Raises:
            InputError: the object raised an error, or returned fewer bytes.
        """
        with self._lock:
            return self._call(lambda: self._read(start, stop))

    def stop(self) -> None:
        """Nothing: reading does not wait for a network of ours."""

    def close(self) -> None:
        """Close the temporary file; the object itself belongs to the program."""
        if self._own is not None:
            self._own.close()

    def _end(self) -> int:
        self._file.seek(0, os.SEEK_END)
        return int(self._file.tell())

    def _read(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        data = b""
        while len(data) < stop - start:
            more = self._file.read(stop - start - len(data))
            if not isinstance(more, bytes | bytearray | memoryview):
                raise TypeError(f"it returned {type(more).__name__} and not bytes")
            if not more:
                raise EOFError(f"it ends at {start + len(data)} bytes, and had {self.size} before")
            data += bytes(more)
        return data

    def _copied(self, file: Any) -> BinaryIO:
        copy = _temporary_file()
        while data := self._call(lambda: file.read(_COPY)):
            _append(copy, data, self._name)
        return copy

    def _call(self, call: Any) -> Any:
        try:
            return call()
        except Exception as error:
            raise InputError(f"{self._name}: cannot be read ({type(error).__name__}: {error})") from error


def _is_seekable(file: Any) -> bool:
    ask = getattr(file, "seekable", None)
    return hasattr(file, "seek") and hasattr(file, "tell") and (ask is None or bool(ask()))


def _temporary_file() -> BinaryIO:
    from vsr.system.scratch import scratch_file

    return scratch_file()


def _append(copy: BinaryIO, data: bytes, name: str) -> None:
    try:
        copy.write(data)
        copy.flush()
    except OSError as error:
        import tempfile

        raise OutputError(
            f"{name}: the folder {tempfile.gettempdir()} for its copy cannot be written ({error.strerror}); "
            "make room, or set TMPDIR"
        ) from error


def _limits(protocol: str, attempts: int) -> dict[str, Any]:
    """Return settings of fsspec's file system: limits of time and of attempts."""
    if protocol in ("http", "https"):
        aiohttp = import_module("aiohttp")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS)
        return {"client_kwargs": {"timeout": timeout}}
    if protocol == "s3":
        wished = import_module("fsspec.config").conf.get("s3", {}).get("config_kwargs", {})
        limits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        return {
            "config_kwargs": {"retries": {"max_attempts": attempts, "mode": "standard"}, **limits, **wished}
        }
    return {}


def _package(protocol: str) -> str:
    packages = {"s3": "s3fs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
    return f"fsspec and {packages[protocol]}" if protocol in packages else "fsspec"
