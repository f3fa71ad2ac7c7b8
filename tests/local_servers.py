"""Servers on this machine for tests of URLs: object stores and web servers, with faults at will."""

from __future__ import annotations

import http.server
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BUCKET = "films"
BROKEN = 0


@dataclass
class Requests:
    """The requests that a server received, and what it does with them."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method, and path with query, followed by # and the range of bytes that is asked for."""
    refuses: Callable[[str, str], int | None] = lambda method, path: None
    """Returns an HTTP status with which a request is refused instead of answered; None answers it.

    For `BROKEN`, a web server breaks off in the middle of its answer; a redirection leads to `leads_to`.
    """
    leads_to: str = ""
    before: Callable[[str, str], None] = lambda method, path: None
    """Called before each answer."""
    received: int = 0
    """Bytes of the contents that came to an object store."""
    sent: int = 0

    def status_for(self, method: str, path: str) -> int | None:
        self.seen.append((method, path))
        self.before(method, path)
        return self.refuses(method, path)

    def count(self, method: str, part: str = "") -> int:
        return sum(m == method and part in path for m, path in self.seen)


@dataclass
class ObjectStore:
    """A local S3 server with an empty bucket."""

    endpoint: str
    requests: Requests
    client: Any

    def url(self, key: str) -> str:
        return f"s3://{BUCKET}/{key}"

    def put(self, key: str, file: Path) -> str:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
        return self.url(key)

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET)
        return [one["Key"] for one in found.get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def unfinished_uploads(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=BUCKET)
        return [one["Key"] for one in found.get("Uploads", [])]


@contextmanager
def object_store(patch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Run a local S3 server, and set the environment so that s3fs finds it; skip where moto is missing."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed (pip install -e '.[dev]')")
    pytest.importorskip("s3fs", reason="s3fs is not installed (pip install -e '.[dev]')")
    import boto3
    from werkzeug.serving import make_server

    requests = Requests()
    app = moto.DomainDispatcherApplication(moto.create_backend_app)
    server = make_server("127.0.0.1", 0, _faulty(app, requests), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in environment(endpoint).items():
        patch.setenv(name, value)
    _forget_file_systems()
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=BUCKET)
    try:
        yield ObjectStore(endpoint, requests, client)
    finally:
        _forget_file_systems()
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()
        from moto.s3.models import s3_backends

        s3_backends.reset()


def without_pauses(patch: pytest.MonkeyPatch) -> None:
    """Let the further attempts of a call that uses the network follow at once; there are three."""
    from vsr.media.remote import failures, folder, store

    for module in (failures, folder, store):
        for pauses in {"QUICK", "PATIENT"} & set(vars(module)):
            patch.setattr(module, pauses, (0.0,) * 3)
    patch.setitem(failures.patiently.__kwdefaults__, "pauses", (0.0,) * 3)


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables by which the AWS libraries find a local server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "secretsecretsecret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass
class GoogleStore:
    """A local server of Google Cloud Storage with an empty bucket."""

    files: Any
    """gcsfs's file system, for what a test does itself."""

    def url(self, key: str) -> str:
        return f"gs://{BUCKET}/{key}"

    def put(self, key: str, file: Path) -> str:
        self.files.pipe_file(f"{BUCKET}/{key}", file.read_bytes())
        return self.url(key)

    def keys(self) -> list[str]:
        self.files.invalidate_cache()
        return sorted(name.removeprefix(f"{BUCKET}/") for name in self.files.find(BUCKET))

    def get(self, key: str) -> bytes:
        return self.files.cat_file(f"{BUCKET}/{key}")


@contextmanager
def google_store(patch: pytest.MonkeyPatch) -> Iterator[GoogleStore]:
    """Run a local server of Google Cloud Storage, and set the environment so that gcsfs finds it."""
    why = "is not installed (pip install -e '.[dev]')"
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason=f"gcp-storage-emulator {why}")
    # read when gcsfs is imported; for buckets that the emulator does not have
    patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs", reason=f"gcsfs {why}")
    import fsspec

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    patch.setitem(fsspec.config.conf, "gcs", {"token": "anon"})
    gcsfs.GCSFileSystem.clear_instance_cache()
    try:
        yield GoogleStore(gcsfs.GCSFileSystem())
    finally:
        gcsfs.GCSFileSystem.clear_instance_cache()
        server.stop()


def _forget_file_systems() -> None:
    """Remove fsspec's instances, which remember the server of an earlier test."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


def _faulty(app: Any, requests: Requests) -> Callable[..., Any]:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        place = f"{environ['PATH_INFO']}{query}#{environ.get('HTTP_RANGE', '')}"
        status = requests.status_for(environ["REQUEST_METHOD"], place)
        requests.received += int(environ.get("CONTENT_LENGTH") or 0)
        if status is None:
            found = app(environ, start)
            try:
                data = b"".join(found)
            finally:
                getattr(found, "close", lambda: None)()
            requests.sent += len(data)
            return [data]
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(f"{status} Refused", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    return answer


@dataclass
class WebServer:
    """A local web server for a folder."""

    address: str
    requests: Requests

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


@contextmanager
def web_server(folder: Path, *, ranges: bool, **headers: str) -> Iterator[WebServer]:
    """Serve a folder.

    Args:
        folder: With the files.
        ranges: Whether requests for a part of a file are answered; otherwise the whole file is sent.
        headers: Further headers of each answer.
    """
    pytest.importorskip("aiohttp", reason="aiohttp is not installed (pip install -e '.[dev]')")
    requests = Requests()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            status = requests.status_for(self.command, f"{self.path}#{self.headers.get('Range', '')}")
            file = folder / self.path.partition("?")[0].lstrip("/")
            if status is None and not file.is_file():
                status = 404
            if status:
                self.send_response(status)
                if requests.leads_to:
                    self.send_header("Location", requests.leads_to)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = file.read_bytes()
            first, last = _range(self.headers.get("Range"), len(data)) if ranges else (0, len(data))
            self.send_response(206 if ranges and self.headers.get("Range") else 200)
            self.send_header("Content-Length", str(last - first))
            self.send_header("ETag", f'"{hash(data)}"')
            if ranges and self.headers.get("Range"):
                self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if body and status == BROKEN:
                last = (first + last) // 2
                self.close_connection = True
            if body:
                self.wfile.write(data[first:last])

        def log_message(self, *_: object) -> None:
            """Nothing: the requests are in `Requests`."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield WebServer(f"http://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _range(header: str | None, size: int) -> tuple[int, int]:
    if not header:
        return 0, size
    first, last = header.removeprefix("bytes=").split("-")
    return int(first), min(size, int(last or size - 1) + 1)
