"""Pictures come from and go to URLs and file objects as videos do; numbered pictures leave nothing behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

import vsr
from tests.folders import names_in
from tests.local_servers import ObjectStore
from tests.media_maker import numbers_of
from tests.picture_maker import DATE, UPRIGHT, corners, phone_photograph, scene
from vsr.media.remote import blocks, places

QUICK = {"model": "bicubic", "scale": 2, "device": "cpu"}


def test_a_photograph_goes_from_store_to_store_with_place_and_date(
    store: ObjectStore, tmp_path: Path
) -> None:
    source = store.put("photo.jpg", phone_photograph(tmp_path / "photo.jpg"))
    report = vsr.upscale(
        source, store.url("out.jpg"), allow_network=True, work_folder=tmp_path, hashes=True, **QUICK
    )
    data = store.get("out.jpg")
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, corners(image)) == ((80, 120), UPRIGHT)
        assert image.getexif().get_ifd(0x8769)[0x9003] == DATE
    assert report.target_file["bytes"] == len(data)
    assert report.target_file["path"] == report.target == store.url("out.jpg")
    assert vsr.verify(source, store.url("out.jpg"), allow_network=True).lost == ()
    head = store.client.head_object(Bucket="films", Key="out.jpg")
    assert head["ContentType"] == "image/jpeg"
    assert store.unfinished_uploads() == []
    with pytest.raises(vsr.ConfigError, match="exists already"):
        vsr.upscale(source, store.url("out.jpg"), allow_network=True, work_folder=tmp_path, **QUICK)
    assert names_in(tmp_path) == ["photo.jpg"]


def test_no_picture_is_fetched_without_leave(store: ObjectStore, tmp_path: Path) -> None:
    source = store.put("photo.jpg", phone_photograph(tmp_path / "photo.jpg"))
    before = len(store.requests.seen)
    with pytest.raises(vsr.ConfigError, match="allow_network"):
        vsr.upscale(source, tmp_path / "out.jpg", **QUICK)
    assert len(store.requests.seen) == before


@pytest.mark.parametrize(
    ("form", "decoded"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WEBP"), ("BMP", "PNG")]
)
def test_a_file_object_gets_the_format_of_its_source(form: str, decoded: str) -> None:
    source, target = io.BytesIO(), io.BytesIO()
    scene().save(source, form)
    vsr.upscale(source, target, **QUICK)
    with Image.open(target) as image:
        assert (image.format, image.size) == (decoded, (120, 80))
    assert vsr.verify(source, target).lost == ()


def test_numbered_pictures_are_read_anew_and_leave_nothing_registered(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (1, 2):
        scene().save(frames / f"{number:03d}.png")
    pattern = frames / "%03d.png"
    assert vsr.upscale(pattern, tmp_path / "two.mkv", **QUICK).frames_out == 2
    scene().save(frames / "003.png")
    assert vsr.upscale(pattern, tmp_path / "three.mkv", **QUICK).frames_out == 3
    assert len(numbers_of(tmp_path / "three.mkv")) == 3
    assert vsr.upscale(pattern, tmp_path / "out%03d.png", **QUICK).frames_out == 3
    scene().save(frames / "004.png")
    warned: list[str] = []
    assert vsr.upscale(pattern, tmp_path / "out.gif", on_warning=warned.append, **QUICK).frames_out == 4
    assert "256 colours" in warned[0]
    with pytest.raises(vsr.InputError):
        vsr.upscale(frames / "x%d.png", tmp_path / "none.mkv", **QUICK)
    assert (places._places, blocks._open, blocks._holds) == ({}, {}, {})
