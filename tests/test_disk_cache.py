"""Cached results are returned unchanged, and nothing depends on the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr import disk_cache


def test_a_stored_result_is_read_for_the_same_facts_only() -> None:
    place = disk_cache.place_of("kernels", ("source", 1))
    disk_cache.write(place, b"\x00code")
    assert disk_cache.read(disk_cache.place_of("kernels", ("source", 1))) == b"\x00code"
    assert disk_cache.read(disk_cache.place_of("kernels", ("source", 2))) is None
    assert disk_cache.read(disk_cache.place_of("trials", ("source", 1))) is None


def test_no_incomplete_file_remains() -> None:
    place = disk_cache.place_of("kernels", "one")
    assert place is not None
    disk_cache.write(place, b"first")
    disk_cache.write(place, b"second")
    assert disk_cache.read(place) == b"second"
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(place.name)] == [place.name]


def test_without_a_usable_cache_everything_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = disk_cache.place_of("kernels", "one")
    disk_cache.write(place, b"code")
    assert disk_cache.read(place) is None
    disk_cache.write(None, b"code")
    assert disk_cache.read(None) is None
