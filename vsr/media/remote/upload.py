"""Sends a finished, checked file to the URL or the file object of a result.

An object of a store appears in one step, after all its parts have arrived. If anything fails before, the
parts are removed again.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from vsr.errors import ConfigError, OutputError, VsrError
from vsr.media.remote.failures import patiently, reason_of
from vsr.media.remote.places import PROTOCOLS, Remote
from vsr.media.remote.store import file_system, identity_of
from vsr.media.remote.traffic import note
from vsr.system.last_step import last_step

PART = 1 << 25
"""Bytes of a part of an upload, at least; each is in memory once."""
ATTEMPTS = 8
"""Of each request of an upload to S3, over about a minute."""
DISCARD_SECONDS = 5.0
"""How long a run that failed or was interrupted waits for the store to remove the parts. Clients of stores
repeat a request that fails for half a minute or more, which is too long after Ctrl-C."""
_MOST_PARTS = 9000
"""S3 takes at most 10,000."""
_PIECE = 1 << 20
_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".apng": "image/apng",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""What a store answers browsers that ask for the type of an object (IANA; Matroska's usual name)."""
_NUMBERED = re.compile(r"%(?:0\d+)?d[^/]*$")
"""A name that stands for numbered pictures."""
_TYPE_KEYS = {"s3": "ContentType", "gcs": "content_type"}
"""What fsspec's packages call that."""


def check_result(remote: Remote, source: Remote | None, *, overwrite: bool) -> None:
    """Refuse a URL or file object to which no result can be sent; before the work.

    Args:
        remote: Of the result.
        source: Of the input; None if that is a local file.
        overwrite: Whether an existing object may be replaced.

    Raises:
        ConfigError: it cannot be written, is the input, or exists without `overwrite`.
        OutputError: the store does not answer.
    """
    if not remote.writable:
        raise ConfigError(
            f"{remote.shown}: web addresses can only be read; name a file, or an object of a store"
        )
    if remote.file is None and _NUMBERED.search(remote.shown):
        raise ConfigError(
            f"{remote.shown}: a store cannot show many objects at once, so numbered pictures would be there"
            " before they are complete; write a video there, or pictures to a folder, and copy them"
        )
    if source is not None and (remote.url, remote.file) == (source.url, source.file):
        raise ConfigError(f"{remote.shown}: is the input itself; write to another file")
    if remote.file is not None:
        _check_object(remote)
    elif not overwrite and object_exists(remote):
        raise ConfigError(f"{remote.shown}: exists already; `overwrite=True` replaces it")


def try_upload(remote: Remote) -> None:
    """Begin an upload and take it back: a bucket or a right that is missing is an error before the work.

    Only S3 has a request for that which leaves nothing.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        OutputError: there is no such bucket, or nothing may be written there.
    """
    if PROTOCOLS.get(remote.scheme) != "s3":
        return
    system, place = file_system(remote)
    bucket, key, _ = system.split_path(place)

    def begin() -> str:
        try:
            return str(system.call_s3("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"])
        except FileNotFoundError:
            raise OutputError(f"{remote.shown}: there is no bucket {bucket}; create it first") from None

    begun = patiently(begin, name=remote.shown, error=OutputError)
    with suppress(Exception):  # not allowed, perhaps; it has no parts
        system.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun)


def send(file: Path, remote: Remote, *, overwrite: bool) -> None:
    """Send a complete file.

    Args:
        file: A local file.
        remote: Where it goes.
        overwrite: Whether an existing object may be replaced.

    Raises:
        OutputError: the network, the store or the file object failed, or the object appeared meanwhile and
            may not be replaced. A store has no part of the file then, and an older object is unchanged.
    """
    if remote.file is not None:
        _write_object(file, remote)
        return
    system, place = file_system(remote, attempts=ATTEMPTS)
    way = _copied if PROTOCOLS[remote.scheme] == "memory" else _in_parts
    try:
        way(file, system, place, remote, overwrite)
    except VsrError:
        raise
    except Exception as error:
        if (
            isinstance(error, FileExistsError)
            or "reconditions" in str(error)
            or "PreconditionFailed" in str(error)
        ):
            raise _appeared(remote) from None
        raise OutputError(f"{remote.shown}: the upload failed: {reason_of(error)}") from None
    _check_sent_size(file, remote)


def _in_parts(file: Path, system: Any, place: str, remote: Remote, overwrite: bool) -> None:
    """Upload parts, and join them to the object at the end; they are removed after any exception."""
    size = file.stat().st_size
    protocol = PROTOCOLS[remote.scheme]
    mode = "xb" if not overwrite and protocol == "s3" else "wb"  # a store of another kind may not know xb
    kind = {_TYPE_KEYS[protocol]: _TYPES.get(remote.path.suffix.lower(), "application/octet-stream")}
    output = system.open(place, mode, block_size=max(PART, size // _MOST_PARTS), autocommit=False, **kind)
    try:
        with file.open("rb") as data:
            while piece := data.read(_PIECE):
                output.write(piece)
                note(len(piece))
        if output.tell() != size:
            raise OutputError(
                f"{remote.shown}: the finished file changed while it was uploaded; run it again"
            )
        output.close()
        if not overwrite and object_exists(remote):
            raise _appeared(remote)
        with last_step():
            output.commit()
    except BaseException:  # Ctrl-C, too
        _discard(output)
        raise


def _discard(output: Any) -> None:
    """Let the store remove the parts of an upload; a store that does not answer is not waited for."""

    def discard() -> None:
        with suppress(Exception):
            output.discard()

    worker = threading.Thread(target=discard, name="discard an upload", daemon=True)
    worker.start()
    worker.join(DISCARD_SECONDS)
    output.closed = True  # else it would upload the rest when it is deleted


def _copied(file: Path, system: Any, place: str, remote: Remote, overwrite: bool) -> None:
    """Copy a file under another name, and rename it: fsspec's memory shows a file while it is written."""
    folder, _, _ = place.rpartition("/")
    temporary = f"{folder}/.vsr-{os.urandom(6).hex()}.tmp"
    try:
        system.put_file(str(file), temporary)
        if not overwrite and object_exists(remote):
            raise _appeared(remote)
        with last_step():
            system.mv(temporary, place)
    except BaseException:
        with suppress(Exception):
            system.rm_file(temporary)
        raise


def object_exists(remote: Remote) -> bool:
    """Return whether a store has an object of this name.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        OutputError: the store does not answer.
    """
    return _asked(remote, lambda system, place: _size_at(system, place, remote)) is not None


def _check_sent_size(file: Path, remote: Remote) -> None:
    found = _asked(remote, lambda system, place: _size_at(system, place, remote))
    if found != file.stat().st_size:
        raise OutputError(
            f"{remote.shown}: the store has {found} bytes of it, not {file.stat().st_size}; run it again"
        )


def _size_at(system: Any, place: str, remote: Remote) -> int | None:
    try:
        return identity_of(system, place, remote.shown).size or 0
    except FileNotFoundError:
        return None


def _asked(remote: Remote, ask: Callable[[Any, str], int | None]) -> int | None:
    system, place = file_system(remote)
    return patiently(lambda: ask(system, place), name=remote.shown, error=OutputError)


def _appeared(remote: Remote) -> OutputError:
    return OutputError(
        f"{remote.shown}: appeared during the run, so it is kept; replace it with `overwrite=True`, "
        "or name another file"
    )


def _check_object(remote: Remote) -> None:
    ask = getattr(remote.file, "writable", None)
    if not hasattr(remote.file, "write") or (ask is not None and not ask()):
        raise ConfigError(f"{remote.shown}: cannot be written to; open it in mode 'wb'")


def _write_object(file: Path, remote: Remote) -> None:
    """Write a file into a file object; what was written is removed again after an error, if it can seek."""
    begin = _position(remote.file)
    try:
        with file.open("rb") as data:
            while piece := data.read(_PIECE):
                _write_all(remote.file, piece)
        if hasattr(remote.file, "flush"):
            remote.file.flush()
    except BaseException as error:
        with suppress(Exception):
            if begin is not None:
                remote.file.seek(begin)
                remote.file.truncate()
        if not isinstance(error, Exception):
            raise
        raise OutputError(f"{remote.shown}: cannot be written ({type(error).__name__}: {error})") from error


def _position(file: Any) -> int | None:
    try:
        return int(file.tell()) if file.seekable() else None
    except (AttributeError, OSError, ValueError):
        return None


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it: a raw file may take a part, and an object that does not count returns None."""
    rest = memoryview(data)
    while rest:
        count = file.write(rest)
        rest = rest[len(rest) if count is None else count :]
