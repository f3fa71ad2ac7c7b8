"""Animations at URLs and in file objects, as inputs and as results."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import vsr
from tests.cli.run_cli import run_cli
from tests.folders import names_in
from tests.local_servers import ObjectStore, object_store, web_server
from tests.media_maker import make_clip
from tests.pipeline.pictures.test_animated import DURATIONS, SETTINGS, animation, facts
from vsr.media.remote import blocks, places

Capture = pytest.CaptureFixture[str]
FLAGS = ("--model", "bicubic", "--scale", "2", "--device", "cpu", "--allow-network")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store(monkeypatch) as running:
        yield running
    assert (places._places, blocks._open, blocks._holds) == ({}, {}, {}), "nothing stays open"


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["b.gif", "b.webp", "b.apng", "b.png"])
def test_an_animation_in_a_store_becomes_the_same_as_in_files(
    store: ObjectStore, tmp_path: Path, name: str
) -> None:
    here = animation(tmp_path / "a.gif")
    there = store.put("a.gif", here)
    work = tmp_path / "work"
    vsr.upscale(here, tmp_path / name, **SETTINGS)
    report = vsr.upscale(there, store.url(name), allow_network=True, work_folder=work, **SETTINGS)
    assert store.get(name) == (tmp_path / name).read_bytes()
    assert facts(saved(tmp_path / f"back-{name}", store.get(name)))[2:] == (DURATIONS, 3)
    assert (report.target, report.target_file["bytes"]) == (store.url(name), len(store.get(name)))
    assert store.keys() == sorted(["a.gif", name])
    assert names_in(work) == []
    with pytest.raises(vsr.ConfigError, match="exists already"):
        vsr.upscale(there, store.url(name), allow_network=True, work_folder=work, **SETTINGS)


def test_the_command_reads_and_writes_animations_in_stores(
    store: ObjectStore, tmp_path: Path, capfd: Capture
) -> None:
    clip = store.put("clip.mkv", make_clip(tmp_path / "clip.mkv", frames=3))
    flags = (*FLAGS, "--work-folder", tmp_path / "work")
    plan = run_cli(capfd, "upscale", clip, store.url("clip.webp"), *flags, "--dry-run")
    assert (plan.code, store.keys()) == (0, ["clip.mkv"])
    done = run_cli(capfd, "upscale", clip, store.url("clip.webp"), *flags)
    assert done.code == 0, done.err
    assert store.get("clip.webp")[8:12] == b"WEBP"
    queue = run_cli(
        capfd, "upscale", store.url(""), "--to", store.url("out/"), "--name", "{stem}.gif", *flags
    )
    assert queue.code == 0, queue.err
    assert "out/clip.gif" in [*store.keys()]
    preview = run_cli(capfd, "upscale", clip, store.url("other.gif"), *flags, "--preview-every", "1")
    assert preview.code == 2
    assert "must be a local file" in preview.line


def test_an_upload_that_fails_leaves_nothing_in_the_store(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = store.put("a.gif", animation(tmp_path / "a.gif"))

    def fail(*_: object, **__: object) -> None:
        raise vsr.OutputError("the upload failed")

    monkeypatch.setattr("vsr.media.files.output_path.send", fail)
    work = tmp_path / "work"
    with pytest.raises(vsr.OutputError, match="the upload failed"):
        vsr.upscale(there, store.url("b.webp"), allow_network=True, work_folder=work, **SETTINGS)
    assert store.keys() == ["a.gif"]
    assert names_in(work) == []


def test_an_animation_at_a_web_address_is_read(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    animation(tmp_path / "web" / "a.png")
    with web_server(tmp_path / "web", ranges=True) as server:
        vsr.upscale(server.url("a.png"), tmp_path / "b.webp", allow_network=True, **SETTINGS)
    assert facts(tmp_path / "b.webp") == ("WEBP", (128, 96), DURATIONS, 3)


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "out.apng"])
def test_a_file_object_gets_the_animation_that_its_name_asks_for(tmp_path: Path, name: str) -> None:
    source = io.BytesIO(animation(tmp_path / "a.gif").read_bytes())
    target = io.BytesIO()
    target.name = name  # type: ignore[attr-defined]
    report = vsr.upscale(source, target, **SETTINGS)
    assert report.frames_out == 4
    with Image.open(io.BytesIO(target.getvalue())) as image:
        assert (image.size, image.n_frames) == ((128, 96), 4)
