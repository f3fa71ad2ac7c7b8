"""A worker that upscales the films of a job queue: rq with Redis. docs/job-queue.md explains it.

python docs/job_queue.py                 # REDIS_URL names the server; one worker for each device
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import rq
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

import vsr

QUEUE = "films"
BEAT_SECONDS = 15.0
"""Seconds between two signs of life, and between two looks whether the job was cancelled."""
LOST_SECONDS = 60
"""Seconds without a sign of life after which a job is given to another worker."""
ATTEMPTS = 3
"""How often a job is started at most; one that kills its workers ends as failed."""
FINAL = (vsr.ConfigError, vsr.InputError, vsr.ModelError)
"""Errors that another attempt would repeat. A full disk or a failing device may be better next time."""

logger = logging.getLogger("job_queue")
WARM = vsr.KeptModel()
"""Keeps the network on the device from job to job; it serves one job at a time, as this worker does."""
stop = threading.Event()
"""Ends the job that runs."""


def connect() -> rq.Queue:
    """Return the queue. Its jobs are JSON and not pickles, which could run code."""
    connection = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379"))
    return rq.Queue(QUEUE, connection=connection, serializer=JSONSerializer)


def submit(
    queue: rq.Queue,
    source: str,
    target: str,
    *,
    page: str | None = None,
    job_id: str | None = None,
    meta: dict[str, Any] | None = None,
    **settings: Any,
) -> Job:
    """Put a film into the queue; the web application calls this.

    Args:
        queue: As `connect` returns it.
        source: Path or URL that the worker can read.
        target: Path or URL of the result, which no other job writes.
        page: Path of an HTML page that shows before and after, or None.
        job_id: Of the job, if the application chooses it.
        meta: What the application wants to remember with the job.
        settings: Keywords of `vsr.upscale`.
    """
    return queue.enqueue(
        "job_queue.upscale",
        args=(source, target, settings, page),
        job_id=job_id,
        meta=meta,
        description="upscale",  # not the arguments: a signed URL would be in every log
        job_timeout=-1,
        result_ttl=7 * 86400,
        retry=rq.Retry(max=ATTEMPTS - 1),
    )


def cancel(job: Job) -> None:
    """End a job, whether it waits or runs; finished segments are kept, and no result appears."""
    job.connection.set(_key(job.id), 1, ex=86400)
    if job.get_status() in ("queued", "deferred", "scheduled"):
        job.cancel()


def upscale(source: str, target: str, settings: dict[str, Any], page: str | None = None) -> dict[str, Any]:
    """Do a job: called by the worker. An attempt after the first resumes where that ended."""
    job = rq.get_current_job()
    assert job is not None
    shown = [0.0]

    def show(now: vsr.Progress) -> None:
        if time.monotonic() - shown[0] < 1 and now.frames != now.total:
            return
        shown[0] = time.monotonic()
        done = {"frames": now.frames + now.kept, "total": now.total, "seconds": round(now.seconds, 1)}
        job.meta |= {"begun": True, "progress": done}  # begun: the name of the result was free
        job.save_meta()

    try:
        report = vsr.upscale(source, target, on_progress=show, cancel=stop, warm=WARM, **settings)
    except vsr.CancelledError:
        if not job.connection.exists(_key(job.id)):
            raise  # the worker ends; another one resumes the film
        return {"status": "cancelled"}
    except vsr.VsrError as error:
        if isinstance(error, vsr.ConfigError) and _was_finished(job, source, target, settings):
            return {"status": "finished", "exit_code": 0}
        _note(job, error)
        raise
    if page is not None:
        _compare(source, target, page, settings)
    return {"status": "finished", "exit_code": report.exit_code, "report": report.as_dict()}


def _compare(source: str, target: str, page: str, settings: dict[str, Any]) -> None:
    """Write a page that shows before and after; the result is good without it."""
    allowed = {"allow_network": settings["allow_network"]} if "allow_network" in settings else {}
    try:
        vsr.compare(source, target, output=page, overwrite=True, **allowed)
    except vsr.VsrError as error:
        logger.warning("no page for %s: %s", target, error)


def _was_finished(job: Job, source: str, target: str, settings: dict[str, Any]) -> bool:
    """Return whether an attempt was killed after its result had appeared, before the queue knew."""
    if not job.meta.get("begun"):
        return False
    same = {key: settings[key] for key in ("start", "end", "allow_network") if key in settings}
    try:
        return not vsr.verify(source, target, **same).lost
    except vsr.VsrError:
        return False


def _note(job: Job, error: vsr.VsrError) -> None:
    """Store why a job failed, and whether another attempt makes sense."""
    facts = {"class": type(error).__name__, "exit_code": error.exit_code, "message": str(error)}
    job.meta["error"] = facts
    job.save_meta()
    if isinstance(error, FINAL):
        job.retries_left = 0


def _key(job_id: str) -> str:
    return f"vsr:cancel:{job_id}"


class FilmWorker(rq.SimpleWorker):
    """Runs jobs in its own process, where the network stays loaded, and gives signs of life."""

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return the seconds after which a job without a sign of life is lost."""
        return LOST_SECONDS

    def perform_job(self, job: Job, queue: rq.Queue, execution: Execution) -> bool:
        """Do a job, with signs of life."""
        stop.clear()
        with self._watched(job, execution):
            return super().perform_job(job, queue, execution)

    def handle_warm_shutdown_request(self) -> None:
        """Do not wait for the end of a film: it is resumed by another worker."""
        super().handle_warm_shutdown_request()
        stop.set()

    @contextmanager
    def _watched(self, job: Job, execution: Execution) -> Iterator[None]:
        done = threading.Event()

        def look() -> None:
            if self.connection.exists(_key(job.id)):
                stop.set()

        def watch() -> None:
            while not done.wait(BEAT_SECONDS):
                self.maintain_heartbeats(job, execution)
                look()

        look()
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def worker(queue: rq.Queue) -> FilmWorker:
    """Return a worker that looks for lost jobs every minute."""
    return FilmWorker([queue], serializer=JSONSerializer, maintenance_interval=60, log_job_description=False)


if __name__ == "__main__":
    import job_queue  # the module in which rq calls `upscale`: worker and jobs must share `stop` and `WARM`

    job_queue.worker(job_queue.connect()).work()
