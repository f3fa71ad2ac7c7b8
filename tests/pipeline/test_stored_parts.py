"""With a work folder in a store, any machine makes the segments of a result, and any machine resumes it."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vsr
from tests.local_servers import BUCKET, ObjectStore, object_store, web_server, without_pauses
from tests.media_maker import Audio, make_clip
from tests.pipeline.job.test_resume import contents
from vsr.media.remote import places
from vsr.media.remote.places import Remote
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.run import KeptModel

FRAMES, LENGTH = 30, 5
SETTINGS = {"model": "bicubic", "device": "cpu", "preset": "ultrafast", "segment_seconds": "0.2"}
WORK = f"s3://{BUCKET}/work"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES, audio=[Audio()])


@pytest.fixture(scope="module")
def whole(clip: Path) -> list[tuple[object, ...]]:
    vsr.upscale(clip, clip.with_name("whole.mkv"), **SETTINGS)
    return contents(clip.with_name("whole.mkv"))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    without_pauses(monkeypatch)
    with object_store(monkeypatch) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_is_left_in_the_tables() -> Iterator[None]:
    before = dict(places._places), dict(places._parts)
    yield
    assert (places._places, places._parts) == before


def objects(store: ObjectStore) -> list[str]:
    return store.keys()


def upscale(source: object, target: object, work: object = WORK, **wishes: object) -> vsr.Report:
    return vsr.upscale(source, target, allow_network=True, work_folder=work, **{**SETTINGS, **wishes})


def cut_off(
    source: object, target: object, work: object = WORK, *, after: int = 12, **wishes: object
) -> None:
    """Stop a run, and lose everything that it has on its own disk."""
    done: list[int] = []
    with pytest.raises(vsr.CancelledError):
        upscale(
            source,
            target,
            work,
            on_progress=lambda now: done.append(now.frames),
            cancel=lambda: bool(done) and done[-1] >= after,
            **wishes,
        )


def result(store: ObjectStore, target: object, folder: Path) -> list[tuple[object, ...]]:
    if isinstance(target, Path):
        return contents(target)
    (folder / "fetched.mkv").write_bytes(store.get("out.mkv"))
    return contents(folder / "fetched.mkv")


@pytest.mark.parametrize(("where", "device"), [("a store", "cpu"), ("this disk", "cpu:2")])
def test_a_run_is_resumed_by_a_machine_that_has_only_the_store(
    where: str,
    device: str,
    store: ObjectStore,
    clip: Path,
    whole: list[tuple[object, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = store.put("in.mkv", clip)
    target = store.url("out.mkv") if where == "a store" else tmp_path / "out.mkv"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    cut_off(source, target, device=device, after=22)
    stored = [key for key in objects(store) if key.startswith("work/")]
    assert any(key.endswith(".segment") for key in stored)
    assert any(key.endswith("/journal.json") for key in stored)
    assert "out.mkv" not in objects(store)
    for path in tmp_path.rglob(".*.vsr"):
        shutil.rmtree(path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    report = upscale(source, target, device=device)
    assert report.frames_kept >= LENGTH
    assert result(store, target, tmp_path) == whole
    assert [key for key in objects(store) if key.startswith("work/")] == []
    assert not list(tmp_path.rglob(".*.vsr"))


def test_workers_without_a_common_disk_make_the_same_file(
    store: ObjectStore, clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    """Their own disks have nothing left, and no frame or file goes through the process that joins."""
    names = set(Path("/tmp").glob("vsr-worker-*"))
    upscale(store.put("in.mkv", clip), tmp_path / "out.mkv", device="cpu:2")
    assert contents(tmp_path / "out.mkv") == whole
    made = [path for method, path in store.requests.seen if method == "PUT" and ".segment" in path]
    assert len(made) == FRAMES // LENGTH
    assert set(Path("/tmp").glob("vsr-worker-*")) <= names


def test_a_store_that_fails_every_fifth_request_changes_nothing(
    store: ObjectStore, clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    source = store.put("in.mkv", clip)
    store.requests.refuses = lambda method, path: 503 if len(store.requests.seen) % 5 == 0 else None
    upscale(source, store.url("out.mkv"))
    store.requests.refuses = lambda method, path: None
    assert result(store, store.url("out.mkv"), tmp_path) == whole
    assert [key for key in objects(store) if key.startswith("work/") and "segment" in key] == []


def test_a_store_that_fails_for_good_ends_the_run_and_what_it_has_is_resumed(
    store: ObjectStore, clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    def refuses(method: str, path: str) -> int | None:
        late = store.requests.count("PUT", ".segment") > 3
        return 503 if late and method == "PUT" and "work/" in path else None

    store.requests.refuses = refuses
    with pytest.raises(vsr.OutputError, match=r"^s3://films/\w+/\.[0-9a-f]{12}\.vsr: .*HTTP|cannot be used"):
        upscale(clip, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()
    store.requests.refuses = lambda method, path: None
    assert upscale(clip, tmp_path / "out.mkv").frames_kept >= 2 * LENGTH
    assert contents(tmp_path / "out.mkv") == whole


@pytest.mark.parametrize("fault", ["other bytes", "is gone"])
def test_a_segment_that_changed_in_the_store_is_made_again(
    fault: str, store: ObjectStore, clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    cut_off(clip, tmp_path / "out.mkv", after=16)
    shutil.rmtree(next(tmp_path.glob(".*.vsr")))
    key = next(key for key in objects(store) if key.endswith(".segment"))
    if fault == "is gone":
        store.client.delete_object(Bucket=BUCKET, Key=key)
    else:
        store.client.put_object(Bucket=BUCKET, Key=key, Body=store.get(key)[::-1])
        with pytest.raises(vsr.OutputError, match="has other bytes than when it was made; run it again"):
            upscale(clip, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()
    assert 0 < upscale(clip, tmp_path / "out.mkv").frames_kept < 16
    assert contents(tmp_path / "out.mkv") == whole


@pytest.mark.parametrize("content", [b"", b'{"journal": "{}", "sha256": "0"}'])
def test_a_journal_that_is_not_complete_counts_as_missing(
    content: bytes, store: ObjectStore, clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    cut_off(clip, tmp_path / "out.mkv")
    shutil.rmtree(next(tmp_path.glob(".*.vsr")))
    journal = next(key for key in objects(store) if key.endswith("journal.json"))
    store.client.put_object(Bucket=BUCKET, Key=journal, Body=content)
    assert upscale(clip, tmp_path / "out.mkv").frames_kept == 0
    assert contents(tmp_path / "out.mkv") == whole
    assert objects(store) == []


def test_a_job_with_other_settings_in_the_store_is_refused(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    cut_off(clip, tmp_path / "out.mkv")
    shutil.rmtree(next(tmp_path.glob(".*.vsr")))
    with pytest.raises(vsr.ConfigError, match="an unfinished job is kept here"):
        upscale(clip, tmp_path / "out.mkv", scale=3)
    upscale(clip, tmp_path / "out.mkv", scale=3, restart=True)
    assert objects(store) == []


def test_jobs_of_one_work_folder_do_not_share_their_segments(
    store: ObjectStore, clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    for name in ("a.mkv", "b.mkv"):
        cut_off(clip, tmp_path / name)
    assert len({key.split("/")[1] for key in objects(store)}) == 2
    for name in ("a.mkv", "b.mkv"):
        upscale(clip, tmp_path / name)
        assert contents(tmp_path / name) == whole
    assert objects(store) == []


def test_a_work_folder_to_which_nothing_can_be_written_is_an_error_before_the_work(
    store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    frames: list[vsr.Progress] = []
    with pytest.raises(vsr.OutputError, match="there is no bucket none"):
        upscale(clip, tmp_path / "out.mkv", "s3://none/work", on_progress=frames.append)
    with (
        web_server(tmp_path, ranges=True) as server,
        pytest.raises(vsr.ConfigError, match="web addresses can only be read; name another `work_folder`"),
    ):
        upscale(clip, tmp_path / "out.mkv", server.url("work"), on_progress=frames.append)
    with pytest.raises(vsr.ConfigError, match="without `allow_network"):
        vsr.upscale(clip, tmp_path / "out.mkv", work_folder=WORK, on_progress=frames.append, **SETTINGS)
    assert frames == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="sets the limits of another process")
def test_a_worker_whose_disk_is_full_leaves_its_segments_to_the_others(
    store: ObjectStore,
    clip: Path,
    whole: list[tuple[object, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full: list[int] = []
    kept, jobs = KeptModel(), []
    crew = WarmGenerator.crew
    monkeypatch.setattr(WarmGenerator, "crew", lambda *rest: jobs.append(crew(*rest)) or jobs[-1])

    def fill(limit: int) -> None:
        """Let a worker find that its disk is full, as its first segment is written."""
        for member in list(jobs[-1]._members.values()):
            if len(full) < limit and (pid := member.worker.process.pid) not in full:
                full.append(pid)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (256, 256))

    upscale(clip, tmp_path / "out.mkv", device="cpu:2", warm=kept, on_progress=lambda now: fill(1))
    assert contents(tmp_path / "out.mkv") == whole
    assert len(full) == 1
    assert len(jobs[-1].names) == 1
    with pytest.raises(vsr.OutputError, match=r"File too large.*\(on "):
        upscale(clip, tmp_path / "2.mkv", device="cpu:2", warm=kept, on_progress=lambda now: fill(3))
    kept.close()
    assert not (tmp_path / "2.mkv").exists()
    upscale(clip, tmp_path / "2.mkv")
    assert contents(tmp_path / "2.mkv") == whole


def test_a_result_in_a_store_has_its_segments_beside_it_when_workers_are_elsewhere() -> None:
    target = places.register("s3://films/a/out.mkv?x=SECRET", allow_network=True)
    parts = places.parts_of(target, beside=True)
    assert isinstance(parts, Remote)
    assert parts.url.startswith("s3://films/a/.")
    assert "SECRET" not in parts.url
    assert places.parts_of(target, beside=False) is None
    assert places.parts_of(Path("out.mkv"), beside=True) is None
    places.forget(target)


def test_the_memory_of_a_program_can_be_a_work_folder_of_one_process_only(
    clip: Path, whole: list[tuple[object, ...]], tmp_path: Path
) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    cut_off(clip, tmp_path / "out.mkv", "memory://work")
    assert upscale(clip, tmp_path / "out.mkv", "memory://work").frames_kept >= LENGTH
    assert contents(tmp_path / "out.mkv") == whole
    with pytest.raises(vsr.ConfigError, match="a memory URL"):
        upscale(clip, tmp_path / "2.mkv", "memory://work", device="cpu:2")
