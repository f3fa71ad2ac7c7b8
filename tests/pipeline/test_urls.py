"""Videos in stores and on web servers are upscaled with the promises of local files."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.folders import names_in
from tests.local_servers import BROKEN, BUCKET, ObjectStore, environment, web_server, without_pauses
from tests.media_maker import Audio, Subtitle, make_clip
from tests.pipeline.fetched import assert_is_result
from vsr.media.files.named import paths_of
from vsr.media.remote import blocks, places, reader, upload

QUICK = {"model": "bicubic", "device": "cpu", "preset": "ultrafast"}
PARTS = {"segment_seconds": "0.4", "encoder": "ffv1", "model": "bicubic", "device": "cpu"}
FRAMES = 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of about 100 KB with audio and a subtitle."""
    path = tmp_path_factory.mktemp("clip") / "in.mkv"
    return make_clip(path, frames=FRAMES, codec="ffv1", audio=[Audio()], subtitles=[Subtitle()])


@pytest.fixture(scope="module")
def large_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 1.1 MB, for FFmpeg reads 1 MB at a time."""
    path = tmp_path_factory.mktemp("clip") / "in.mkv"
    return make_clip(path, frames=FRAMES, codec="rawvideo", width=176, height=144)


@pytest.fixture(autouse=True)
def _no_pauses_and_nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    without_pauses(monkeypatch)
    monkeypatch.setattr(upload, "ATTEMPTS", 3)
    before = dict(places._places), dict(blocks._open)  # of other tests in this process
    yield
    assert not [t.name for t in threading.enumerate() if t.name.startswith("vsr-")]
    assert (places._places, blocks._open) == before


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a clip have many blocks, as a film has."""
    for module in (blocks, reader):
        monkeypatch.setattr(module, "BLOCK", 1 << 16)
    monkeypatch.setattr(blocks, "KEPT_BYTES", 1 << 17)


def upscale(source: Any, target: Any, work: Path, **wishes: Any) -> vsr.Report:
    return vsr.upscale(source, target, allow_network=True, work_folder=work, **{**PARTS, **wishes})


def test_an_object_becomes_an_object_and_nothing_else_is_left(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    source, work = store.put("a/in.mkv", clip), tmp_path / "work"
    report = upscale(source, store.url("a/out.mkv"), work)
    assert (report.source, report.target) == (source, store.url("a/out.mkv"))
    assert_is_result(store.get("a/out.mkv"), clip, tmp_path)
    assert store.keys() == ["a/in.mkv", "a/out.mkv"]
    assert store.unfinished_uploads() == []
    assert names_in(work) == []
    assert vsr.verify(source, store.url("a/out.mkv"), allow_network=True).lost == ()


@pytest.mark.parametrize("key", ["a b/+c%20é#1&.mkv", "what?.mkv", "x=y?z.mkv"])
def test_any_name_of_an_object_is_read_and_written(
    store: ObjectStore, clip: Path, tmp_path: Path, key: str
) -> None:
    report = upscale(store.put(key, clip), store.url(f"out/{key}"), tmp_path / "work", end=0.1)
    assert (report.source, report.target) == (store.url(key), store.url(f"out/{key}"))
    assert sorted(store.keys()) == sorted([key, f"out/{key}"])
    found = store.client.head_object(Bucket=BUCKET, Key=f"out/{key}")
    assert found["ContentType"] == "video/x-matroska"


def test_a_large_result_is_uploaded_in_parts_and_a_part_that_fails_is_sent_again(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART", 5 << 20)
    data = random.Random(1).randbytes(12 << 20)
    (tmp_path / "result").write_bytes(data)
    failed: list[str] = []

    def refuses(method: str, path: str) -> int | None:
        if "partNumber=2" in path and not failed:
            failed.append(path)
            return 503
        return None

    store.requests.refuses = refuses
    with paths_of(store.url("out.mkv"), allow_network=True) as (path,):
        upload.send(tmp_path / "result", places.remote_of(path), overwrite=False)
    assert store.get("out.mkv") == data
    parts = [path for method, path in store.requests.seen if method == "PUT" and "partNumber" in path]
    assert len(parts) == 4  # of which one is sent twice
    assert store.unfinished_uploads() == []


def test_several_devices_read_an_object_and_make_the_same_result(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    upscale(store.put("in.mkv", clip), store.url("out.mkv"), tmp_path / "work", device="cpu:2")
    assert_is_result(store.get("out.mkv"), clip, tmp_path)
    with pytest.raises(vsr.ConfigError, match="a file object, a memory URL"):
        upscale(io.BytesIO(clip.read_bytes()), tmp_path / "out.mkv", tmp_path, device="cpu:2")


def test_the_object_is_completed_after_the_whole_file_was_checked(
    store: ObjectStore, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsr.media.mux import sink

    def wrong(*_: object, **__: object) -> None:
        raise vsr.OutputError("a packet is missing")

    monkeypatch.setattr(sink, "check_written", wrong)
    with pytest.raises(vsr.OutputError, match="a packet is missing"):
        upscale(store.put("in.mkv", clip), store.url("out.mkv"), tmp_path / "work")
    assert store.keys() == ["in.mkv"]
    assert store.requests.count("PUT", "partNumber") == 0


def test_a_store_to_which_nothing_can_be_written_is_an_error_before_the_work(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    source, frames = store.put("in.mkv", clip), []
    with pytest.raises(
        vsr.OutputError, match=r"^s3://none/out\.mkv: there is no bucket none; create it first$"
    ):
        upscale(source, "s3://none/out.mkv", tmp_path, on_progress=frames.append)
    store.requests.refuses = lambda method, path: 403 if method == "POST" else None
    with pytest.raises(vsr.OutputError, match=r"^s3://films/out\.mkv: access is denied"):
        upscale(source, store.url("out.mkv"), tmp_path, on_progress=frames.append)
    assert frames == []
    assert store.unfinished_uploads() == []


def test_an_existing_object_is_refused_before_the_work_and_replaced_on_request(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    source = store.put("in.mkv", clip)
    target = store.put("out.mkv", clip)
    with pytest.raises(vsr.ConfigError, match=r"out\.mkv: exists already; `overwrite=True` replaces it"):
        upscale(source, target, tmp_path / "work")
    assert store.get("out.mkv") == clip.read_bytes()
    upscale(source, target, tmp_path / "work", overwrite=True)
    assert_is_result(store.get("out.mkv"), clip, tmp_path)


@pytest.mark.parametrize("when", ["POST", "PUT"])
def test_an_object_that_appears_during_the_run_is_kept(
    store: ObjectStore, clip: Path, tmp_path: Path, when: str
) -> None:
    source = store.put("in.mkv", clip)

    def appear(method: str, path: str) -> None:
        if method == when and "uploadId" in path:
            store.requests.before = lambda method, path: None
            store.client.put_object(Bucket=BUCKET, Key="out.mkv", Body=b"somebody else's")

    store.requests.before = appear
    with pytest.raises(vsr.OutputError, match="appeared during the run, so it is kept"):
        upscale(source, store.url("out.mkv"), tmp_path / "work")
    assert store.get("out.mkv") == b"somebody else's"
    assert store.unfinished_uploads() == []


def test_a_failed_upload_leaves_no_part_and_the_same_call_only_uploads_again(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    source, target, work = store.put("in.mkv", clip), store.url("out.mkv"), tmp_path / "work"
    store.requests.refuses = lambda method, path: 500 if method == "PUT" and "partNumber" in path else None
    with pytest.raises(vsr.OutputError, match=r"^s3://films/out\.mkv: the upload failed") as told:
        upscale(source, target, work)
    assert "\n" not in str(told.value)
    assert store.keys() == ["in.mkv"]
    assert store.unfinished_uploads() == []
    store.requests.refuses = lambda method, path: None
    assert upscale(source, target, work).frames_kept == FRAMES
    assert_is_result(store.get("out.mkv"), clip, tmp_path)
    assert names_in(work) == []


def test_a_store_that_fails_every_fifth_request_changes_nothing(
    store: ObjectStore, clip: Path, tmp_path: Path, small_blocks: None
) -> None:
    source = store.put("in.mkv", clip)
    store.requests.refuses = lambda method, path: 503 if len(store.requests.seen) % 5 == 0 else None
    upscale(source, store.url("out.mkv"), tmp_path / "work")
    store.requests.refuses = lambda method, path: None
    assert_is_result(store.get("out.mkv"), clip, tmp_path)
    assert store.unfinished_uploads() == []


def test_a_store_that_fails_for_good_ends_the_run_with_what_is_finished_kept(
    store: ObjectStore, large_clip: Path, tmp_path: Path, small_blocks: None
) -> None:
    """The frames before the failure are not taken for a damaged film."""
    source, target, work = store.put("in.mkv", large_clip), store.url("out.mkv"), tmp_path / "work"
    frames: list[int] = []

    def refuses(method: str, path: str) -> int | None:
        return 503 if method == "GET" and "#bytes" in path and frames else None

    store.requests.refuses = refuses
    with pytest.raises(vsr.InputError, match=r"^s3://films/in\.mkv: .*\(4 attempts\)$"):
        upscale(source, target, work, on_progress=lambda now: frames.append(now.frames))
    assert store.keys() == ["in.mkv"]
    store.requests.refuses = lambda method, path: None
    report = upscale(source, target, work)
    assert 0 < report.frames_kept < FRAMES
    assert report.exit_code == 0
    assert_is_result(store.get("out.mkv"), large_clip, tmp_path)


def test_an_object_that_is_replaced_while_it_is_read_ends_the_run(
    store: ObjectStore, large_clip: Path, tmp_path: Path, small_blocks: None
) -> None:
    source, frames = store.put("in.mkv", large_clip), []

    def replaced(now: vsr.Progress) -> None:
        frames.append(now)
        if len(frames) == 3:
            store.client.put_object(Bucket=BUCKET, Key="in.mkv", Body=large_clip.read_bytes()[::-1])

    with pytest.raises(vsr.InputError, match="was changed while it was read"):
        upscale(source, store.url("out.mkv"), tmp_path / "work", on_progress=replaced)
    assert store.keys() == ["in.mkv"]


def test_another_version_of_an_object_does_not_resume_the_job_of_the_first(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    source, target, work = store.put("in.mkv", clip), store.url("out.mkv"), tmp_path / "work"
    done: list[int] = []
    with pytest.raises(vsr.CancelledError, match="frames are kept"):
        upscale(source, target, work, on_progress=lambda now: done.append(1), cancel=lambda: len(done) >= 25)
    store.put("in.mkv", make_clip(tmp_path / "other.mkv", frames=FRAMES, codec="ffv1", first_number=50))
    with pytest.raises(vsr.ConfigError, match="an unfinished job is kept here, of another input"):
        upscale(source, target, work)
    upscale(source, target, work, restart=True)
    assert store.keys() == ["in.mkv", "out.mkv"]


STOPPED = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}


@pytest.mark.parametrize("number", STOPPED, ids=lambda number: number.name)
def test_a_run_that_is_stopped_during_its_upload_has_no_result_and_resumes(
    store: ObjectStore, clip: Path, tmp_path: Path, number: signal.Signals
) -> None:
    words = ["upscale", store.put("in.mkv", clip), store.url("out.mkv"), "--allow-network"]
    words += ["--work-folder", str(tmp_path / "work"), "--model", "bicubic", "--encoder", "ffv1"]
    run = subprocess.Popen(
        [sys.executable, "-m", "vsr", *words, "--segment", "0.4"],
        env={**os.environ, **environment(store.endpoint)},
        stderr=subprocess.PIPE,
        text=True,
    )

    def stop(method: str, path: str) -> None:
        if "partNumber" in path:
            store.requests.before = lambda method, path: None
            run.send_signal(number)
            threading.Event().wait(1.0)  # the answer comes after the signal was noticed

    store.requests.before = stop
    _, err = run.communicate(timeout=120)
    assert run.returncode == STOPPED[number], err
    assert store.keys() == ["in.mkv"]
    if number is not signal.SIGKILL:  # a process that is killed cannot take its parts back
        assert store.unfinished_uploads() == []
        assert f"{FRAMES} finished frames are kept; the same command resumes" in err
    report = upscale("s3://films/in.mkv", "s3://films/out.mkv", tmp_path / "work")
    assert report.frames_kept == FRAMES
    assert_is_result(store.get("out.mkv"), clip, tmp_path)


@pytest.mark.parametrize("ranges", [True, False], ids=["with ranges", "without ranges"])
def test_a_web_address_is_upscaled_whether_its_server_sends_parts_or_not(
    clip: Path, tmp_path: Path, ranges: bool, small_blocks: None
) -> None:
    with web_server(clip.parent, ranges=ranges) as server:
        report = upscale(server.url("in.mkv?signature=SECRET"), tmp_path / "out.mkv", tmp_path)
    assert report.source == server.url("in.mkv")
    assert report.exit_code == 0
    assert_is_result((tmp_path / "out.mkv").read_bytes(), clip, tmp_path)
    if not ranges:
        transfers = server.requests.count("GET")
        assert transfers <= 3  # one to find out, one with the whole file


def test_a_connection_that_breaks_off_is_made_again(clip: Path, tmp_path: Path) -> None:
    def refuses(method: str, path: str) -> int | None:
        return BROKEN if method == "GET" and server.requests.count("GET") in (2, 3) else None

    for ranges in (True, False):
        with web_server(clip.parent, ranges=ranges) as server:
            server.requests.refuses = refuses
            upscale(server.url("in.mkv"), tmp_path / "out.mkv", tmp_path, overwrite=True)
        assert_is_result((tmp_path / "out.mkv").read_bytes(), clip, tmp_path)
        assert server.requests.count("GET") >= 4


def test_a_server_without_head_and_one_that_leads_elsewhere_are_read(clip: Path, tmp_path: Path) -> None:
    with web_server(clip.parent, ranges=True) as server, web_server(tmp_path, ranges=True) as gate:
        server.requests.refuses = lambda method, path: 405 if method == "HEAD" else None
        gate.requests.refuses = lambda method, path: 302
        gate.requests.leads_to = server.url("in.mkv?signature=SECRET")
        report = upscale(gate.url("film.mkv"), tmp_path / "out.mkv", tmp_path)
    assert report.source == gate.url("film.mkv")
    assert "SECRET" not in report.as_text()
    assert report.as_dict()["info"]["path"] == gate.url("film.mkv")
    assert_is_result((tmp_path / "out.mkv").read_bytes(), clip, tmp_path)


def test_a_web_file_that_changes_on_the_way_is_reported_as_a_possible_mixture(
    clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "in.mkv").write_bytes(clip.read_bytes())
    with web_server(folder, ranges=True) as server:
        change = lambda now: (folder / "in.mkv").write_bytes(clip.read_bytes() + b"\0")  # noqa: E731
        report = upscale(server.url("in.mkv"), tmp_path / "out.mkv", tmp_path, on_progress=change)
    assert "was changed while it was read" in report.damage.notes[0]
    assert report.exit_code == 10


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "there is no such file"),
        (403, "access is denied"),
        (500, "HTTP status 500"),
        (503, "4 attempts"),
    ],
)
def test_the_answer_of_a_web_server_becomes_one_line_without_the_address(
    clip: Path, tmp_path: Path, status: int, words: str
) -> None:
    with web_server(clip.parent, ranges=True) as server:
        server.requests.refuses = lambda method, path: status
        address = server.url("in.mkv?signature=SECRET").replace("//", "//user:SECRET@")
        with pytest.raises(vsr.InputError, match=words) as told:
            upscale(address, tmp_path / "out.mkv", tmp_path)
    assert "SECRET" not in str(told.value)
    assert str(told.value).startswith(f"{server.url('in.mkv')}: ")
    assert list(tmp_path.glob("*.mkv")) == []


def test_a_host_that_does_not_exist_is_named_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed (pip install -e '.[dev]')")
    with pytest.raises(vsr.InputError, match=r"^http://127\.0\.0\.1:9/in\.mkv: "):
        upscale("http://127.0.0.1:9/in.mkv", tmp_path / "out.mkv", tmp_path)


def test_nothing_can_be_written_to_a_web_address(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(vsr.ConfigError, match="web addresses can only be read"):
        upscale(clip, "https://host/out.mkv", tmp_path)


@pytest.mark.parametrize(
    "url", ["s3://films/in.mkv", "gs://films/in.mkv", "http://host/in.mkv", "https://h/in.mkv"]
)
def test_the_network_is_not_used_without_leave(clip: Path, tmp_path: Path, url: str) -> None:
    for call in (
        lambda: vsr.upscale(url, tmp_path / "out.mkv", **QUICK),
        lambda: vsr.verify(url, clip),
        lambda: vsr.open_video(url),
        lambda: vsr.compare(url, clip, output=tmp_path / "x.png"),
        lambda: vsr.upscale(clip, url, **QUICK) if "h" not in url[:1] else vsr.verify(clip, url),
    ):
        with pytest.raises(
            vsr.ConfigError, match=r"through the network, which is not used without `allow_network"
        ):
            call()
