"""What stores and servers say becomes an identity, a reason without a URL, or a refusal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from vsr.errors import ConfigError, InputError, OutputError
from vsr.media.files.named import paths_of
from vsr.media.remote import failures, store, upload
from vsr.media.remote.places import remote_of
from vsr.media.remote.reader import open_bytes
from vsr.media.remote.store import Identity, file_system, identity_of


class Says:
    """A file system that says something about every file."""

    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def invalidate_cache(self) -> None:
        """Nothing is cached."""

    def info(self, place: str) -> dict[str, Any]:
        return self._facts


@pytest.mark.parametrize(
    ("facts", "identity"),
    [
        ({"size": 9, "ETag": '"a"', "LastModified": "today"}, Identity(9, '"a"')),
        ({"size": 9, "LastModified": "today"}, Identity(9, "today")),
        ({"size": 9, "md5Hash": "x", "updated": "today"}, Identity(9, "x")),
        ({"size": None, "url": "http://h/x"}, Identity(None, "")),
        ({"size": 9, "url": "https://other/x"}, Identity(9, "")),
    ],
)
def test_the_version_is_the_hash_of_a_store_else_its_time(facts: dict[str, Any], identity: Identity) -> None:
    assert identity_of(Says(**facts), "http://h/x", "x") == identity


def test_a_redirection_from_https_to_http_is_refused() -> None:
    with pytest.raises(InputError, match=r"^x: is redirected to an address without encryption"):
        identity_of(Says(size=9, url="http://h/x"), "https://h/x", "x")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(store, "import_module", missing)
    for url, package in (("s3://b/x", "fsspec and s3fs"), ("gs://b/x", "gcsfs"), ("http://h/x", "aiohttp")):
        install = "gcsfs" if package == "gcsfs" else r"'vsr-pipeline\[url\]'"
        with (
            paths_of(url, allow_network=True) as (path,),
            pytest.raises(ConfigError, match=rf"needs .*{package}; pip install {install}$"),
        ):
            file_system(remote_of(path))


class ServerError(Exception):
    """As aiohttp's `ClientResponseError`."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status}, url='https://u:SECRET@h'")
        self.status = status


ServerError.__module__ = "aiohttp.client_exceptions"


@pytest.mark.parametrize(
    ("status", "passes", "words"),
    [
        (403, False, "access is denied"),
        (404, False, "there is no such file"),
        (418, False, "the server answers with HTTP status 418"),
        (429, True, "the server answers with HTTP status 429"),
        (503, True, "the server answers with HTTP status 503"),
    ],
)
def test_fsspec_calls_every_failure_a_missing_file_and_the_real_one_is_told(
    status: int, passes: bool, words: str
) -> None:
    error = FileNotFoundError("https://u:SECRET@h")
    error.__cause__ = ServerError(status)
    assert failures.may_pass(error) == passes
    assert failures.reason_of(error) == words


def test_a_full_disk_for_the_copy_of_a_source_is_an_error_of_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr(store, "_temporary_file", Full)
    with paths_of(Stream(b"data")) as (path,), pytest.raises(OutputError, match=r"No space left.*set TMPDIR"):
        open_bytes(path)


class Stopping(io.BytesIO):
    """The upload of an object, which is stopped by Ctrl-C at its second part."""

    discarded = False

    def write(self, data: Any) -> int:
        if self.tell():
            raise KeyboardInterrupt
        return super().write(data)

    def discard(self) -> None:
        self.discarded = True

    @property
    def closed(self) -> bool:
        return self.__dict__.get("closed", False)

    @closed.setter
    def closed(self, value: bool) -> None:
        self.__dict__["closed"] = value


def test_parts_are_removed_after_ctrl_c_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_PIECE", 4)
    (tmp_path / "result").write_bytes(b"12345678")
    output = Stopping()

    class System:
        def open(self, *_: object, **__: object) -> Stopping:
            return output

    monkeypatch.setattr(upload, "file_system", lambda *_, **__: (System(), "b/x"))
    with paths_of("s3://b/x", allow_network=True) as (path,), pytest.raises(KeyboardInterrupt):
        upload.send(tmp_path / "result", remote_of(path), overwrite=True)
    assert output.discarded
    assert output.__dict__["closed"]
