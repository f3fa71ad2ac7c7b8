"""What is kept in the user's cache comes back whole, and nothing depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr import disk_cache


def test_what_was_written_is_read_and_belongs_to_its_facts() -> None:
    place = disk_cache.place_of("kernels", ("source", 1))
    disk_cache.write(place, b"\x00code")
    assert disk_cache.read(disk_cache.place_of("kernels", ("source", 1))) == b"\x00code"
    assert disk_cache.read(disk_cache.place_of("kernels", ("source", 2))) is None
    assert disk_cache.read(disk_cache.place_of("trials", ("source", 1))) is None


def test_nothing_half_written_stays() -> None:
    place = disk_cache.place_of("kernels", "one")
    assert place is not None
    disk_cache.write(place, b"first")
    disk_cache.write(place, b"second")
    assert disk_cache.read(place) == b"second"
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(place.name)] == [place.name]


def test_a_cache_that_cannot_be_had_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = disk_cache.place_of("kernels", "one")
    disk_cache.write(place, b"code")
    assert disk_cache.read(place) is None
    disk_cache.write(None, b"code")
    assert disk_cache.read(None) is None
