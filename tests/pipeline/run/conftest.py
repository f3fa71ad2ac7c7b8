"""What is checked after each whole run."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_thread_stays_behind() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("vsr-")] == []
