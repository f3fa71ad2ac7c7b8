"""What all tests share: where the real material is, and the rule for skipping what needs a GPU."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A job in the background of a shell inherits an ignored SIGINT, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def material() -> Path:
    """Folder with real clips, test sets and weights; tests that need it skip where it is absent."""
    folder = os.environ.get("VSR_MATERIAL")
    if not folder:
        pytest.skip("VSR_MATERIAL is unset: no real clips or weights here")
    path = Path(folder)
    if not (path / "data").is_dir():
        pytest.skip(f"VSR_MATERIAL={folder} holds no folder 'data'")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test tries out is not to decide what a user's commands take."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)  # torch's kernels for cards warn where it is missing
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_cuda") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("VSR_REQUIRE_CUDA") == "1":
        pytest.fail("VSR_REQUIRE_CUDA=1 but torch sees no CUDA device")
    pytest.skip("no CUDA device")
