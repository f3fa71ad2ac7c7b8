"""`--on ray://HOST:PORT` reaches a cluster from outside, through its client server, and makes one report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection, socket
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("grpc", reason="grpcio is not installed, which Ray's client needs")

from plugins.ray.conftest import FRAMES
from plugins.ray.test_vsr_ray import FLAGS, Contents, contents


@pytest.fixture
def client_server(cluster: Any, free_cores: None) -> Iterator[str]:
    """Return the address of a client server of the cluster, on the loopback interface."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "ray.util.client.server", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--address", cluster.address, "--mode", "proxy"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        try:
            create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("Ray's client server did not start")


@pytest.mark.slow
def test_a_cluster_at_an_address_makes_the_same_file_and_one_report(
    source: Path, whole: Contents, client_server: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "vsr", "upscale", str(source), str(tmp_path / "out.mkv"), *FLAGS]
    words[words.index("ray")] = f"ray://{client_server}"
    words += ["--device", "cpu:2", "--report", str(tmp_path / "run.json")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out.mkv") == whole
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["status"] == "complete"
    assert report["engine"]["workers"] == ["cpu", "cpu"]
    assert (report["frames_in"], report["frames_out"]) == (FRAMES, FRAMES)
