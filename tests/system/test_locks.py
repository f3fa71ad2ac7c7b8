"""Locks of the halves for POSIX and for Windows."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.system.load import module_as


@pytest.fixture(params=["linux", "win32"])
def locks(request: pytest.FixtureRequest) -> ModuleType:
    return module_as(request.param, "vsr.system.locks")


def test_one_holds_it_at_a_time_and_the_next_when_it_is_let_go(locks: ModuleType, tmp_path: Path) -> None:
    first = locks.take(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        locks.take(tmp_path / "lock")
    os.close(first)
    os.close(locks.take(tmp_path / "lock"))


def test_one_that_is_removed_is_gone_and_can_be_taken_anew(locks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    locks.remove(locks.take(path), path)
    assert not path.exists()
    os.close(locks.take(path))


def test_in_a_folder_that_was_removed_there_is_none(locks: ModuleType, tmp_path: Path) -> None:
    assert locks.take(tmp_path / "gone" / "lock") is None
