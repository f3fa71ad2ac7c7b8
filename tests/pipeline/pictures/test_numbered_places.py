"""Numbered pictures in a store are read as a video; they are not written there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import vsr
from tests.cli.run_cli import run_cli
from tests.folders import names_in
from tests.local_servers import ObjectStore, object_store
from tests.media_maker import make_clip, numbers_of
from tests.picture_maker import scene
from vsr.media.remote import blocks, places

Capture = pytest.CaptureFixture[str]
SETTINGS = {"model": "bicubic", "scale": 2, "device": "cpu"}
FLAGS = ("--model", "bicubic", "--scale", "2", "--device", "cpu", "--allow-network")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectStore]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with object_store(monkeypatch) as running:
        yield running
    assert (places._places, blocks._open, blocks._holds) == ({}, {}, {}), "nothing stays open"
    assert list((tmp_path / "tmp").iterdir()) == [], "no copy stays"


@pytest.fixture
def pictures(store: ObjectStore, tmp_path: Path) -> Path:
    """Put pictures 7 to 10 into the store, among other objects, and return their local folder."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(7, 11):
        image = scene(64, 48).copy()
        image.paste((250, 0, 0), (number, 0, number + 8, 8))
        image.save(folder / f"{number:03}.png")
        store.put(f"shot/{number:03}.png", folder / f"{number:03}.png")
    for name in ("shot/notes.txt", "shot/deeper/011.png"):
        store.put(name, folder / "007.png")
    return folder


def test_pictures_of_a_store_become_the_same_video_as_those_of_a_folder(
    store: ObjectStore, pictures: Path, tmp_path: Path
) -> None:
    vsr.upscale(pictures / "%03d.png", tmp_path / "here.mkv", **SETTINGS)
    report = vsr.upscale(
        store.url("shot/%03d.png"), tmp_path / "there.mkv", allow_network=True, frame_rate=25, **SETTINGS
    )
    assert report.frames_out == 4
    assert report.source == store.url("shot/%03d.png")
    assert (tmp_path / "there.mkv").stat().st_size == (tmp_path / "here.mkv").stat().st_size


def test_the_command_reads_them_and_keeps_numbers_and_metadata(
    store: ObjectStore, pictures: Path, tmp_path: Path, capfd: Capture
) -> None:
    source = store.url("shot/%03d.png")
    one = run_cli(capfd, "upscale", source, tmp_path / "out" / "%03d.png", *FLAGS)
    assert one.code == 0, one.err
    assert names_in(tmp_path / "out") == [f"{n:03}.png" for n in range(7, 11)]
    with Image.open(tmp_path / "out" / "007.png") as image:
        assert image.size == (128, 96)
    many = run_cli(capfd, "upscale", source, "--to", store.url("larger/"), *FLAGS)
    assert many.code == 0, many.err
    assert "larger/shot-2x.mkv" in list(store.keys())


def test_a_missing_number_and_a_name_that_nothing_has_are_errors_before_any_copy(
    store: ObjectStore, pictures: Path, tmp_path: Path, capfd: Capture
) -> None:
    store.put("shot/012.png", pictures / "007.png")
    gap = run_cli(capfd, "upscale", store.url("shot/%03d.png"), tmp_path / "a.mkv", *FLAGS)
    assert (gap.code, "the first is 11" in gap.line) == (3, True)
    none = run_cli(capfd, "upscale", store.url("shot/%03d.jpg"), tmp_path / "a.mkv", *FLAGS)
    assert (none.code, "no picture has such a name" in none.line) == (3, True)
    network = run_cli(capfd, "upscale", store.url("shot/%03d.png"), tmp_path / "a.mkv", *FLAGS[:-1])
    assert (network.code, "--allow-network" in network.line) == (2, True)
    beside = run_cli(capfd, "upscale", store.url("shot/%03d.png"), *FLAGS)
    assert beside.code in (2, 3)


def test_numbered_pictures_are_not_written_to_a_store_and_the_message_says_why(
    store: ObjectStore, tmp_path: Path, capfd: Capture
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    refused = run_cli(capfd, "upscale", clip, store.url("p/%05d.png"), *FLAGS)
    assert refused.code == 2
    assert "a store cannot show many objects at once" in refused.line
    assert store.keys() == []
    assert numbers_of(clip) == [0, 1]
