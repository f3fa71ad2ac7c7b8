"""Videos from and to Google Cloud Storage, which a local server stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vsr
from tests.folders import names_in
from tests.local_servers import GoogleStore, google_store
from tests.media_maker import Audio, make_clip, numbers_of
from vsr.media.remote import upload
from vsr.media.remote.places import register, remote_of

QUICK = {"model": "bicubic", "device": "cpu", "allow_network": True}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleStore]:
    with google_store(monkeypatch) as running:
        yield running


def test_a_video_goes_from_bucket_to_bucket(store: GoogleStore, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=9, audio=[Audio()])
    source, target = store.put("in.mkv", clip), store.url("results/out.mkv")
    report = vsr.upscale(source, target, work_folder=tmp_path / "work", hashes=True, **QUICK)
    assert store.keys() == ["in.mkv", "results/out.mkv"]
    made = tmp_path / "made.mkv"
    made.write_bytes(store.get("results/out.mkv"))
    assert numbers_of(made) == list(range(9))
    assert report.target_file["bytes"] == made.stat().st_size
    assert vsr.verify(source, target, allow_network=True).lost == ()
    assert not names_in(tmp_path / "work")


def test_an_object_that_exists_is_kept_and_what_is_missing_is_one_line(
    store: GoogleStore, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=3)
    source = store.put("in.mkv", clip)
    store.put("out.mkv", clip)
    with pytest.raises(vsr.ConfigError, match="exists already"):
        vsr.upscale(source, store.url("out.mkv"), work_folder=tmp_path, **QUICK)
    assert store.get("out.mkv") == clip.read_bytes()
    vsr.upscale(source, store.url("out.mkv"), work_folder=tmp_path, overwrite=True, **QUICK)
    assert store.get("out.mkv") != clip.read_bytes()
    with pytest.raises(vsr.InputError, match=r"none\.mkv") as error:
        vsr.upscale(store.url("none.mkv"), tmp_path / "x.mkv", **QUICK)
    assert "\n" not in str(error.value)


def test_an_upload_in_parts_appears_when_it_is_complete_and_not_at_all_if_it_fails(
    store: GoogleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART", 1 << 18)
    file, seen = tmp_path / "film", list[list[str]]()
    file.write_bytes(os.urandom(1 << 20) + b"end")
    remote = remote_of(register(store.url("film.mkv"), allow_network=True))
    assert remote is not None
    monkeypatch.setattr(upload, "_PIECE", 1 << 18)
    monkeypatch.setattr(upload, "note", lambda _: seen.append(store.keys()))
    upload.send(file, remote, overwrite=False)
    assert store.get("film.mkv") == file.read_bytes()
    assert seen == [[]] * 5, "nothing was there before the end"

    def stop(_: int) -> None:
        seen.pop()
        if len(seen) < 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(upload, "note", stop)
    monkeypatch.setattr(upload, "DISCARD_SECONDS", 0.5)  # this store knows no request to remove parts
    other = remote_of(register(store.url("other.mkv"), allow_network=True))
    assert other is not None
    with pytest.raises(KeyboardInterrupt):
        upload.send(file, other, overwrite=False)
    assert store.keys() == ["film.mkv"]
