"""A page and an HTTP interface for the queue of job_queue.py. docs/job-queue.md explains them.

TOKEN=... python docs/job_page.py        # http://127.0.0.1:8000; FILMS names the folder of the files
"""

from __future__ import annotations

import hmac
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask
import job_queue
import redis
import rq
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, make_server

PAGE = Path(__file__).with_suffix(".html")
LIST = "vsr:jobs"
"""Redis list of the jobs, newest first."""
MAX_BYTES = 20 << 30
"""Largest upload. The free space of the disk limits it, too."""
MAX_JOBS = 200
"""Jobs in the list, finished ones included, beyond which no new one is accepted."""
EVERY_SECONDS = 0.5
"""Between two looks at the queue for a reader of the events."""
SETTINGS = {"scale": int, "model": str, "crf": int, "preset": str}
"""Keywords of `vsr.upscale` that a user may choose. Others name files, devices or the network."""
_FINISHED = ("finished", "failed", "canceled", "stopped")
_COPY = 1 << 20


def app_for(queue: rq.Queue, token: str, films: Path, **fixed: Any) -> flask.Flask:
    """Return the web application.

    Args:
        queue: As `job_queue.connect` returns it.
        token: Whoever knows it may do everything.
        films: Folder for the files, which the workers reach by the same path.
        fixed: Keywords of `vsr.upscale` for every job.
    """
    app = flask.Flask(__name__, static_folder=None)

    @app.before_request
    def check() -> Any:
        origin = flask.request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != flask.request.host:
            flask.abort(403, "a page of another site has no business here")
        given = flask.request.authorization
        known = given.token if given and given.type == "bearer" else flask.request.cookies.get("token")
        if not hmac.compare_digest((known or "").encode(), token.encode()):
            return None if flask.request.path in ("/", "/session") else flask.abort(401, "the token is wrong")
        return None

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Any:
        return {"error": error.description}, error.code

    @app.get("/")
    def page() -> Any:
        return PAGE.read_text(encoding="utf-8")

    @app.post("/session")
    def log_in() -> Any:
        given = flask.request.form.get("token", "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            flask.abort(401, "the token is wrong")
        answer = flask.redirect("/", 303)
        answer.set_cookie("token", given, httponly=True, samesite="Strict", secure=flask.request.is_secure)
        return answer

    @app.get("/jobs")
    def jobs() -> Any:
        return summaries(queue, films)

    @app.get("/events")
    def events() -> Any:
        return flask.Response(
            changes(queue, films), mimetype="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @app.post("/jobs")
    def submit() -> Any:
        number, name = uuid.uuid4().hex, flask.request.args.get("name", "")[:200]
        settings = _settings(flask.request.args)
        if queue.connection.llen(LIST) >= MAX_JOBS:
            flask.abort(429, f"there are {MAX_JOBS} jobs. Remove finished ones first")
        folder = films / number
        source = folder / f"source{_suffix(name)}"
        _receive(source)
        job = job_queue.submit(
            queue,
            str(source),
            str(folder / "result.mkv"),
            page=str(folder / "compare.html"),
            job_id=number,
            meta={"name": name},
            **settings,
            **fixed,
        )
        queue.connection.lpush(LIST, number)
        return summary(job, films), 201

    @app.get("/jobs/<number>")
    def one(number: str) -> Any:
        return summary(_job(queue, number), films)

    @app.delete("/jobs/<number>")
    def end(number: str) -> Any:
        job = _job(queue, number)
        if job.get_status() not in _FINISHED:
            job_queue.cancel(job)
        else:
            shutil.rmtree(films / job.id, ignore_errors=True)
            queue.connection.lrem(LIST, 0, job.id)
            job.delete()
        return "", 204

    @app.get("/jobs/<number>/<any('result.mkv', 'compare.html'):name>")
    def file(number: str, name: str) -> Any:
        is_film = name.endswith(".mkv")
        answer = flask.send_from_directory(films / _job(queue, number).id, name, as_attachment=is_film)
        if not is_film:  # made from names and frames of strangers, so that it gets no rights here
            answer.headers["Content-Security-Policy"] = "sandbox allow-scripts"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return app


def summaries(queue: Any, films: Path) -> list[dict[str, Any]]:
    """Return what the page shows of all jobs, newest first."""
    numbers = [number.decode() for number in queue.connection.lrange(LIST, 0, MAX_JOBS)]
    found = Job.fetch_many(numbers, connection=queue.connection, serializer=JSONSerializer)
    return [summary(job, films) for job in found if job is not None]


def summary(job: Job, films: Path) -> dict[str, Any]:
    """Return what the page shows of a job."""
    meta, status, result = job.get_meta(), str(job.get_status().value), job.return_value() or {}
    failed = meta.get("error") or ({"message": "its workers were lost"} if status == "failed" else {})
    return {
        "id": job.id,
        "name": meta.get("name", ""),
        "status": "cancelled" if status == "canceled" else result.get("status", status),
        "progress": meta.get("progress"),
        "error": failed.get("message"),
        "exit_code": failed.get("exit_code", result.get("exit_code")),
        "compare": (films / job.id / "compare.html").exists(),
    }


def changes(queue: Any, films: Path) -> Iterator[str]:
    """Yield all jobs as a server-sent event whenever something has changed."""
    last, quiet = "", 0
    while True:
        try:
            now = json.dumps(summaries(queue, films))
        except redis.ConnectionError:
            return  # the page asks again by itself
        quiet = 0 if now != last else quiet + 1
        if now != last:
            yield f"data: {now}\n\n"
        elif quiet % 30 == 0:
            yield ": still here\n\n"  # fails if the reader has gone, which ends this
        last = now
        time.sleep(EVERY_SECONDS)


def _job(queue: Any, number: str) -> Job:
    try:
        return Job.fetch(number, connection=queue.connection, serializer=JSONSerializer)
    except NoSuchJobError:
        flask.abort(404, "there is no such job")


def _settings(given: Any) -> dict[str, Any]:
    """Return the settings of a query; others than those of `SETTINGS` are refused."""
    try:
        return {name: SETTINGS[name](value) for name, value in given.items() if name != "name"}
    except (KeyError, ValueError) as error:
        flask.abort(400, f"not possible: {error}. Settings are {', '.join(SETTINGS)}")


def _suffix(name: str) -> str:
    suffix = Path(name).suffix
    return suffix if len(suffix) <= 6 and suffix[1:].isalnum() else ""


def _receive(path: Path) -> None:
    """Write the body of the request to a file, piece by piece; an incomplete one is removed."""
    length = flask.request.content_length
    if length is None:
        flask.abort(411, "the length of the upload is missing")
    if not 0 < length <= min(MAX_BYTES, shutil.disk_usage(path.parent.parent).free // 4):
        flask.abort(413, f"{length} bytes are too many: the limit is {MAX_BYTES}, and a quarter of the disk")
    path.parent.mkdir()
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(flask.request.stream, file, _COPY)
        if path.stat().st_size != length:
            flask.abort(400, "the upload broke off")
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


def server(app: flask.Flask, port: int = 8000) -> BaseWSGIServer:
    """Return a server on the loopback interface, with a thread for each request."""
    return make_server("127.0.0.1", port, app, threaded=True)


if __name__ == "__main__":
    folder = Path(os.environ.get("FILMS", "films")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    server(app_for(job_queue.connect(), os.environ["TOKEN"], folder)).serve_forever()
