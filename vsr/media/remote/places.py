"""Gives every URL and file object a path, by which the rest of the program names it.

The path and the name in messages contain no user name, no password and no query, so that no report, message
or file name can contain a credential. The URL itself is only in the table of this module.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeGuard

from vsr.errors import ConfigError

_STORES = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_WEB = {"http": "http", "https": "https"}
PROTOCOLS = {**_STORES, **_WEB, "memory": "memory"}
"""Maps the schemes of URLs that are opened to fsspec's names of the protocols. Deliberately missing are
those of fsspec that open further URLs, commands or archives (`simplecache`, `reference`, `zip`, `ssh`)."""
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_PARAMETERS = re.compile(r"\?[\w.-]+=.*", re.DOTALL)
"""A query in the URL of an object, whose name may itself contain a question mark."""
_PORT = re.compile(r"(\[[^]]*\]|[^:]*)(:\d*)?")


@dataclass(frozen=True, slots=True)
class Remote:
    """A URL or a file object that was named as an input or an output."""

    path: Path
    """Its name in the program."""
    shown: str
    """Its name in messages."""
    scheme: str = ""
    """Of the URL, in lower case; empty for a file object."""
    url: str = field(default="", repr=False)
    """Complete, perhaps with credentials: never to be shown."""
    file: Any = field(default=None, repr=False)
    """The file object, or None."""
    allow_network: bool = False
    work_folder: Path | None = None
    """Where a result is made before it is uploaded; None is a folder in the user's cache. It may stand for a
    URL, see `parts_of`."""
    after: Callable[[], object] = field(default=lambda: None, repr=False)
    """Called when the path stands for it no longer."""

    @property
    def on_network(self) -> bool:
        """Whether it cannot be reached without the network."""
        return self.scheme in _STORES or self.scheme in _WEB

    @property
    def writable(self) -> bool:
        """Whether results can be written there."""
        return self.scheme not in _WEB


_places: dict[Path, Remote] = {}
_parts: dict[Path, Path] = {}
"""The path of a URL for the finished segments of each local result that has one."""
_lock = threading.Lock()
_numbers = count(1)


def is_url(word: object) -> bool:
    """Return whether a word is a URL of a scheme that is opened, `file://` included."""
    found = _URL.match(str(word))
    return found is not None and found[1].lower() in {*PROTOCOLS, "file"}


def is_file_object(value: object) -> TypeGuard[BinaryIO]:
    """Return whether a value is a file object and not a path."""
    return hasattr(value, "read") or hasattr(value, "write")


def register(word: str, *, allow_network: bool = False, work_folder: Path | None = None) -> Path:
    """Return the path that stands for a URL.

    Args:
        word: A URL for which `is_url` is true.
        allow_network: Whether the network may be used for it.
        work_folder: Where a result is made before it is uploaded.

    Raises:
        ConfigError: the URL contains a password in a way that is not supported, or names a file of another
            host.
    """
    found = _URL.fullmatch(word)
    assert found is not None
    scheme, host, rest = found[1].lower(), found[2], found[3]
    if scheme == "file":
        return _local(host, rest)
    shown = _without_secrets(scheme, host, rest)
    return _added(
        Remote(
            path=Path(shown),
            shown=shown,
            scheme=scheme,
            url=f"{scheme}://{host}{rest}",
            allow_network=allow_network,
            work_folder=work_folder,
        )
    )


def register_file(
    file: object,
    suffix: str = "",
    *,
    named: str = "",
    after: Callable[[], object] = lambda: None,
) -> Path:
    """Return the path that stands for a file object; `forget` must follow.

    Args:
        file: The object, whose attribute `name` is a part of its name in messages.
        suffix: Of the path, if that name has none.
        named: The name in messages and of the path, instead of one that is made.
        after: Called by `forget`.

    Raises:
        ConfigError: it is a text file.
    """
    if isinstance(file, io.TextIOBase):
        raise ConfigError(
            f"a file object is open as text; open it in binary mode, as in open({_name(file)!r}, 'rb')"
        )
    shown = named or " ".join(filter(None, (f"file object {next(_numbers)}", _name(file))))
    path = Path(shown) if Path(shown).suffix else Path(shown + suffix)
    return _added(Remote(path=path, shown=shown, file=file, after=after))


def forget(path: Path) -> None:
    """Remove a URL or a file object after its use, and what `permit` set for a local path."""
    with _lock:
        found = _places.pop(path, None)
        _parts.pop(path, None)
    if found is not None:
        found.after()


def remote_of(path: str | Path) -> Remote | None:
    """Return what a path stands for; None for a local path or a pipe."""
    return _places.get(Path(path)) if _places else None


def is_nameless(path: str | Path) -> bool:
    """Return whether a path stands for a file object, which a later run cannot find again."""
    found = remote_of(path)
    return found is not None and found.file is not None


def is_of_this_process(path: str | Path) -> bool:
    """Return whether a path stands for something that no other process can read."""
    found = remote_of(path)
    return found is not None and (found.file is not None or found.scheme == "memory")


def shown_name(path: str | Path) -> str | None:
    """Return the name of a URL or file object in messages; None for a local path."""
    found = remote_of(path)
    return None if found is None else found.shown


def name_of(path: str | Path) -> str:
    """Return the name of a path for people and reports: itself, or that of what it stands for."""
    return shown_name(path) or str(path)


def below(folder: Path, *names: str) -> Path:
    """Return a path in a folder, local or remote.

    Args:
        folder: Of the results of many files.
        names: Of folders inside it, and of the file.
    """
    found = remote_of(folder)
    if found is None:
        return folder.joinpath(*names)
    url = found.url.rstrip("/") + "".join(f"/{name}" for name in names if name not in ("", "."))
    return register(url, allow_network=found.allow_network, work_folder=found.work_folder)


def beside(path: Path, name: str) -> Path:
    """Return a path in the folder of a file, local or remote.

    Raises:
        ConfigError: nothing can be written there.
    """
    found = remote_of(path)
    if found is None:
        return path.parent / name
    if found.file is not None or not found.writable:
        raise ConfigError(f"{found.shown}: nothing can be written beside it; name an OUTPUT")
    url = f"{_PARAMETERS.sub('', found.url).rpartition('/')[0]}/{name}"
    return register(url, allow_network=found.allow_network, work_folder=found.work_folder)


def permit(path: Path, *, allow_network: bool, work_folder: Path | None) -> None:
    """Set what the use of a URL may do, and where the segments of a result are kept.

    Of a local path, only a `work_folder` that stands for a URL matters.
    """
    with _lock:
        found = _places.get(path)
        if found is not None:
            _places[path] = replace(found, allow_network=allow_network, work_folder=work_folder)
        elif work_folder is not None and work_folder in _places:
            _parts[path] = work_folder


def parts_of(target: Path, *, beside: bool) -> Remote | None:
    """Return the folder of a store in which the finished segments of a result are kept; None if that is a
    local folder.

    Args:
        target: Path of the result.
        beside: Whether the segments of a result in a store are kept beside it, if no work folder is named.

    Raises:
        ConfigError: nothing can be written to the work folder.
    """
    found = remote_of(target)
    folder = _parts.get(target) if found is None else found.work_folder
    top = None if folder is None else remote_of(folder)
    import hashlib  # imported late: it loads OpenSSL

    name = f".{hashlib.sha256(os.fsencode(target)).hexdigest()[:12]}.vsr"
    if top is not None:
        if not top.writable:
            raise ConfigError(f"{top.shown}: web addresses can only be read; name another `work_folder`")
        return _inside(top, top.url, name)
    if beside and folder is None and found is not None and found.writable and found.file is None:
        return _inside(found, _PARAMETERS.sub("", found.url).rpartition("/")[0], name)
    return None


def _inside(remote: Remote, folder: str, name: str) -> Remote:
    """Return a name in a folder of the same store."""
    url = f"{folder.rstrip('/')}/{name}"
    return replace(remote, path=Path(url), shown=url, url=url, work_folder=None)


def _added(remote: Remote) -> Path:
    """Put a place into the table. Two URLs that differ only in their query get different names."""
    with _lock:
        for number in count(2):
            other = _places.get(remote.path)
            if other is None or other.url == remote.url:
                _places[remote.path] = remote
                return remote.path
            shown = _numbered(other.shown, number)
            remote = replace(remote, path=Path(shown), shown=shown)
    raise AssertionError


def _numbered(shown: str, number: int) -> str:
    """`a/in.mp4` becomes `a/in#2.mp4`."""
    place = PurePosixPath(shown.partition("#")[0])
    end = place.suffix
    return f"{shown.partition('#')[0].removesuffix(end)}#{number}{end}"


def without_credentials(text: str) -> str:
    """Return a text with each URL as messages show it."""
    return _URL.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    scheme = found[1].lower()
    if scheme not in PROTOCOLS:
        return found[0]
    try:
        return _without_secrets(scheme, found[2], found[3])
    except ConfigError:
        return f"{scheme}://..."


def _without_secrets(scheme: str, host: str, rest: str) -> str:
    named = host.rpartition("@")[2] if scheme in _WEB else host
    if scheme in _WEB and not _PORT.fullmatch(named):
        raise ConfigError(
            f"{scheme}://...: its host cannot be read; a slash in a user name or password is written %2F"
        )
    if scheme not in _WEB and ":" in host:
        raise ConfigError(
            f"{scheme}://...: credentials in its URL are not taken; set them where the store's own tools "
            "find them, such as AWS_ACCESS_KEY_ID or a profile"
        )
    rest = re.split("[?#]", rest, maxsplit=1)[0] if scheme in _WEB else _PARAMETERS.sub("", rest)
    return f"{scheme}://{named}{rest}"


def _local(host: str, rest: str) -> Path:
    if host not in ("", "localhost"):
        raise ConfigError(f"file://{host}/...: is on another host; give a path, as in file:///folder/in.mp4")
    from urllib.request import url2pathname  # not above: it imports much, which no other path needs

    return Path(url2pathname(rest))


def _name(file: object) -> str:
    name = getattr(file, "name", "")
    return PurePosixPath(name.replace("\\", "/")).name if isinstance(name, str) else ""
