"""Fixtures of all tests: the folder with real material, servers, a browser, and tests that need a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.local_servers import ObjectStore

# A background job of a shell inherits an ignored SIGINT, and so would all processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def material() -> Path:
    """Return the folder with real clips, test sets and weights; tests that need it are skipped without it."""
    folder = os.environ.get("VSR_MATERIAL")
    if not folder:
        pytest.skip("VSR_MATERIAL is not set, so there are no real clips or weights")
    path = Path(folder)
    if not (path / "data").is_dir():
        pytest.skip(f"VSR_MATERIAL={folder} has no folder 'data'")
    return path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Return a local object store, in which the clients of this process find their credentials."""
    from tests.local_servers import object_store

    with object_store(monkeypatch) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a real browser; tests that need it are skipped without one."""
    from tests.browser import chromium

    with chromium() as found:
        yield found


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a separate cache, so that tests do not influence the user's runs."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)  # torch's GPU kernels warn if it is missing
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_cuda") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("VSR_REQUIRE_CUDA") == "1":
        pytest.fail("VSR_REQUIRE_CUDA=1 but torch finds no CUDA device")
    pytest.skip("there is no CUDA device")
