"""The worker of docs/job-queue.md does what the page says, with a real Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vsr
from tests.media_maker import make_clip, numbers_of
from vsr.pipeline.job import warm_generator

DOCS = Path(__file__).parent.parent.parent / "docs"
QUICK = {"model": "bicubic", "device": "cpu", "encoder": "ffv1", "segment_seconds": "0.2"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Redis of our own, and return its address."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    pytest.importorskip("rq", reason="rq is not installed (pip install -e '.[dev]')")
    folder = tmp_path_factory.mktemp("redis")
    words = ["--port", "0", "--unixsocket", str(folder / "socket"), "--save", "", "--dir", str(folder)]
    run = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    wait_for(lambda: (folder / "socket").exists())
    yield f"unix://{folder / 'socket'}"
    run.terminate()
    run.wait()


@pytest.fixture
def jobs(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the worker's module, as an application does, with an empty queue."""
    monkeypatch.setenv("REDIS_URL", server)
    monkeypatch.syspath_prepend(str(DOCS))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    import job_queue  # type: ignore[import-not-found]

    queue = job_queue.connect()
    queue.connection.flushall()
    yield job_queue
    queue.connection.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def wait_for(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def work(jobs: ModuleType, queue: Any) -> None:
    """Do all jobs of the queue in this process."""
    jobs.worker(queue).work(burst=True)


def test_jobs_become_verified_files_and_the_network_is_loaded_once(
    jobs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = warm_generator.load_generator
    monkeypatch.setattr(
        warm_generator, "load_generator", lambda *a, **k: loaded.append(a[0]) or load(*a, **k)
    )
    queue, sources = jobs.connect(), [make_clip(tmp_path / f"{n}.mkv", frames=8) for n in range(2)]
    orders = [jobs.submit(queue, str(s), str(s.with_suffix(".out.mkv")), **QUICK) for s in sources]
    work(jobs, queue)
    for order, source in zip(orders, sources, strict=True):
        result = order.return_value(refresh=True)
        assert (result["status"], result["exit_code"]) == ("finished", 0)
        assert result["report"]["frames_out"] == 8
        assert order.get_meta(refresh=True)["progress"]["frames"] == 8
        assert vsr.verify(source, source.with_suffix(".out.mkv")).lost == ()
    assert len(loaded) == 1


def test_a_file_that_is_no_video_fails_at_once_with_the_reason(jobs: ModuleType, tmp_path: Path) -> None:
    queue = jobs.connect()
    (tmp_path / "poison.mkv").write_bytes(b"not a video" * 99)
    order = jobs.submit(queue, str(tmp_path / "poison.mkv"), str(tmp_path / "out.mkv"), **QUICK)
    later = jobs.submit(
        queue, str(make_clip(tmp_path / "in.mkv", frames=2)), str(tmp_path / "b.mkv"), **QUICK
    )
    work(jobs, queue)
    assert order.get_status(refresh=True) == "failed"
    error = order.get_meta(refresh=True)["error"]
    assert (error["class"], error["exit_code"]) == ("InputError", 3)
    assert error["message"].startswith(f"{tmp_path / 'poison.mkv'}: is text, not a video")
    assert not (tmp_path / "out.mkv").exists()
    assert later.get_status(refresh=True) == "finished"


def test_an_error_that_may_pass_is_tried_three_times(
    jobs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, tried = jobs.connect(), []

    def full(*_: object, **__: object) -> None:
        tried.append(1)
        raise vsr.OutputError("the disk is full")

    monkeypatch.setattr(jobs.vsr, "upscale", full)
    order = jobs.submit(queue, str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"))
    work(jobs, queue)
    assert (len(tried), order.get_status(refresh=True)) == (3, "failed")
    assert order.get_meta(refresh=True)["error"] == {
        "class": "OutputError",
        "exit_code": 4,
        "message": "the disk is full",
    }


def test_a_job_can_be_cancelled_before_and_while_it_runs(jobs: ModuleType, tmp_path: Path) -> None:
    queue, source = jobs.connect(), make_clip(tmp_path / "in.mkv", frames=20)
    waiting = jobs.submit(queue, str(source), str(tmp_path / "a.mkv"), **QUICK)
    running = jobs.submit(queue, str(source), str(tmp_path / "b.mkv"), **QUICK)
    jobs.cancel(waiting)
    queue.connection.set(jobs._key(running.id), 1)  # what `cancel` does to a job that runs
    work(jobs, queue)
    assert waiting.get_status(refresh=True) == "canceled"
    assert running.return_value(refresh=True) == {"status": "cancelled"}
    assert not (tmp_path / "a.mkv").exists()
    assert not (tmp_path / "b.mkv").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_the_film_of_a_worker_that_ends_is_resumed_by_another(
    jobs: ModuleType, server: str, tmp_path: Path, number: signal.Signals
) -> None:
    queue, source = jobs.connect(), make_clip(tmp_path / "in.mkv", frames=200, width=160, height=120)
    order = jobs.submit(queue, str(source), str(tmp_path / "out.mkv"), **QUICK)
    run = subprocess.Popen(
        [sys.executable, DOCS / "job_queue.py"],
        env={**os.environ, "REDIS_URL": server, "PYTHONPATH": f"{DOCS}:{os.environ.get('PYTHONPATH', '')}"},
    )
    wait_for(lambda: len(list(tmp_path.glob(".*.vsr/*.segment"))) >= 3)
    run.send_signal(number)
    run.wait(timeout=60)
    assert not (tmp_path / "out.mkv").exists()
    if number == signal.SIGKILL:
        assert order.get_status(refresh=True) == "started"
        order.started_job_registry.cleanup(
            time.time() + jobs.LOST_SECONDS + 1
        )  # what a worker does in a minute
    assert order.get_status(refresh=True) == "queued"
    work(jobs, queue)
    report = order.return_value(refresh=True)["report"]
    assert report["frames_kept"] >= 10
    assert report["frames_out"] == 200
    assert numbers_of(tmp_path / "out.mkv") == list(range(200))


def test_a_film_that_kills_every_worker_ends_as_failed(jobs: ModuleType, tmp_path: Path) -> None:
    from rq.job import JobStatus

    queue = jobs.connect()
    order = jobs.submit(queue, str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"))
    for _ in range(jobs.ATTEMPTS):
        assert order.get_status(refresh=True) == "queued"
        taken, _ = jobs.rq.Queue.dequeue_any([queue], None, queue.connection, serializer=jobs.JSONSerializer)
        jobs.worker(queue).prepare_execution(taken)  # of a worker that dies here
        taken.set_status(JobStatus.STARTED)
        taken.started_job_registry.cleanup(time.time() + jobs.LOST_SECONDS + 1)
    assert order.get_status(refresh=True) == "failed"
    assert "AbandonedJobError" in order.latest_result().exc_string


def test_a_job_whose_result_had_appeared_before_its_worker_was_killed_is_finished(
    jobs: ModuleType, tmp_path: Path
) -> None:
    queue, source = jobs.connect(), make_clip(tmp_path / "in.mkv", frames=6)
    other = make_clip(tmp_path / "other.mkv", frames=6, first_number=99, width=128, height=96)
    vsr.upscale(source, tmp_path / "out.mkv", **QUICK)
    shutil.copy(other, tmp_path / "taken.mkv")
    orders = {
        name: jobs.submit(queue, str(source), str(tmp_path / name), **QUICK)
        for name in ("out.mkv", "taken.mkv")
    }
    for order in orders.values():
        order.meta["begun"] = True
        order.save_meta()
    unbegun = jobs.submit(queue, str(source), str(tmp_path / "out.mkv"), **QUICK)
    work(jobs, queue)
    assert orders["out.mkv"].return_value(refresh=True) == {"status": "finished", "exit_code": 0}
    assert orders["taken.mkv"].get_status(refresh=True) == "failed"
    assert unbegun.get_meta(refresh=True)["error"]["class"] == "ConfigError"
    assert (tmp_path / "taken.mkv").read_bytes() == other.read_bytes()
