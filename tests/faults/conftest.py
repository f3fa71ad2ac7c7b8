"""Provides one fork server for all attacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.processes.fork_server import ForkServer


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running
