"""What is kept in the user's cache comes back whole, and nothing depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr import cache


def test_what_was_written_is_read_and_belongs_to_its_facts() -> None:
    place = cache.place_of("kernels", ("source", 1))
    cache.write(place, b"\x00code")
    assert cache.read(cache.place_of("kernels", ("source", 1))) == b"\x00code"
    assert cache.read(cache.place_of("kernels", ("source", 2))) is None
    assert cache.read(cache.place_of("trials", ("source", 1))) is None


def test_nothing_half_written_stays() -> None:
    place = cache.place_of("kernels", "one")
    assert place is not None
    cache.write(place, b"first")
    cache.write(place, b"second")
    assert cache.read(place) == b"second"
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(place.name)] == [place.name]


def test_a_cache_that_cannot_be_had_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = cache.place_of("kernels", "one")
    cache.write(place, b"code")
    assert cache.read(place) is None
    cache.write(None, b"code")
    assert cache.read(None) is None
