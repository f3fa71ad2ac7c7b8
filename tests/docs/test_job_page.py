"""The page and the HTTP interface of docs/job-queue.md, with a real Redis, server and browser."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vsr
from tests.browser import PATIENCE, chromium
from tests.docs.test_job_queue import QUICK, jobs, server, work
from tests.media_maker import make_clip

__all__ = ["jobs", "server"]  # fixtures
TOKEN = "a token that nobody guesses"
FIXED = {name: value for name, value in QUICK.items() if name != "segment_seconds"}


@dataclass
class Service:
    """The server of docs/job_page.py, and a client of it."""

    port: int
    films: Path
    jobs: ModuleType
    page: ModuleType

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and the body of an answer, which is JSON or bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        words = {"Authorization": f"Bearer {TOKEN}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request(method, path, body, words)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(data) if is_json else data

    def work(self) -> None:
        queue = self.jobs.connect()
        work(self.jobs, queue)
        queue.connection.close()


@pytest.fixture
def service(jobs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    pytest.importorskip("flask", reason="flask is not installed (pip install -e '.[dev]')")
    import job_page  # type: ignore[import-not-found]

    films = tmp_path / "films"
    films.mkdir()
    monkeypatch.setattr(job_page, "EVERY_SECONDS", 0.05)
    queue = jobs.connect()
    running = job_page.server(job_page.app_for(queue, TOKEN, films, **FIXED), port=0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield Service(running.server_port, films, jobs, job_page)
    running.shutdown()
    running.server_close()
    thread.join()
    queue.connection.close()


def test_a_film_goes_in_and_a_verified_one_and_a_comparison_come_out(
    service: Service, tmp_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=6)
    status, job = service.ask("POST", "/jobs?name=holiday.mkv&scale=2", source.read_bytes())
    assert (status, job["name"], job["status"]) == (201, "holiday.mkv", "queued")
    assert service.ask("GET", f"/jobs/{job['id']}/result.mkv")[0] == 404
    service.work()
    (found,) = service.ask("GET", "/jobs")[1]
    assert (found["status"], found["exit_code"], found["compare"]) == ("finished", 0, True)
    assert found["progress"]["frames"] == 6
    status, data = service.ask("GET", f"/jobs/{job['id']}/result.mkv")
    (tmp_path / "out.mkv").write_bytes(data)
    assert vsr.verify(source, tmp_path / "out.mkv").lost == ()
    assert service.ask("DELETE", f"/jobs/{job['id']}")[0] == 204
    assert service.ask("GET", "/jobs")[1] == []
    assert list(service.films.iterdir()) == []


def test_events_tell_each_change(service: Service, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=4).read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", "/events", headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert next_event(answer) == []
    service.ask("POST", "/jobs?name=a.mkv", source)
    assert [job["status"] for job in next_event(answer)] == ["queued"]
    service.work()
    while (seen := next_event(answer))[0]["status"] != "finished":
        pass
    assert seen[0]["progress"]["frames"] == 4
    connection.close()


def next_event(answer: http.client.HTTPResponse) -> Any:
    while True:
        line = answer.readline().decode()
        if line.startswith("data: "):
            return json.loads(line.removeprefix("data: "))


def test_a_waiting_job_is_cancelled_and_a_broken_film_says_why(service: Service, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=4).read_bytes()
    waiting = service.ask("POST", "/jobs?name=a.mkv", source)[1]
    broken = service.ask("POST", "/jobs?name=b.mkv", b"not a video" * 99)[1]
    assert service.ask("DELETE", f"/jobs/{waiting['id']}")[0] == 204
    service.work()
    found = {job["id"]: job for job in service.ask("GET", "/jobs")[1]}
    assert found[waiting["id"]]["status"] == "cancelled"
    assert (found[broken["id"]]["status"], found[broken["id"]]["exit_code"]) == ("failed", 3)
    assert "is text, not a video" in found[broken["id"]]["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/jobs", None, {"Authorization": "Bearer guess"}, 401),
        ("GET", "/events", None, {"Authorization": ""}, 401),
        ("GET", "/jobs", None, {"Authorization": "", "Cookie": f"token={TOKEN}x"}, 401),
        ("POST", "/session", "token=guess", {"Content_Type": "application/x-www-form-urlencoded"}, 401),
        ("POST", "/jobs?name=a.mkv", b"abc", {"Origin": "http://elsewhere.example"}, 403),
        ("POST", "/jobs?name=a.mkv&allow_files=x", b"abc", {}, 400),
        ("POST", "/jobs?name=a.mkv&scale=two", b"abc", {}, 400),
        ("POST", "/jobs?name=a.mkv", b"x" * 200, {}, 413),
        ("POST", "/jobs?name=a.mkv", b"", {}, 413),
        ("GET", "/jobs/none", None, {}, 404),
        ("DELETE", "/jobs/none", None, {}, 404),
        ("GET", "/jobs/none/source.mkv", None, {}, 404),
        ("GET", "/jobs/../../etc/passwd", None, {}, 404),
    ],
)
def test_what_is_refused(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
) -> None:
    monkeypatch.setattr(service.page, "MAX_BYTES", 100)
    found, told = service.ask(method, path, body, **headers)
    assert found == status, told
    assert told["error"]
    assert list(service.films.iterdir()) == []
    assert service.ask("GET", "/jobs")[1] == []


def test_a_full_list_takes_no_more(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.page, "MAX_JOBS", 1)
    assert service.ask("POST", "/jobs?name=a.mkv", b"abc")[0] == 201
    status, told = service.ask("POST", "/jobs?name=b.mkv", b"abc")
    assert (status, told["error"]) == (429, "there are 1 jobs. Remove finished ones first")


def test_the_server_listens_on_the_loopback_interface_only(service: Service) -> None:
    import job_page

    queue = service.jobs.connect()
    running = job_page.server(job_page.app_for(queue, TOKEN, service.films), port=0)
    queue.connection.close()
    assert running.socket.getsockname()[0] == "127.0.0.1"
    running.server_close()


def test_the_page_shows_the_queue_and_before_and_after(service: Service, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.mkv"
    source = make_clip(tmp_path / name, frames=6)
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append("a name was run as a program"), dialog.dismiss()))
        page.goto(service.url)
        page.fill("input[name=token]", TOKEN)
        page.click("text=Log in")
        page.set_input_files("#film", source)
        page.click("#upload button")
        page.wait_for_selector("tr[data-status=queued]")
        assert page.inner_text("tbody td") == name
        service.work()
        page.wait_for_selector("tr[data-status=finished]")
        assert "6 of 6 frames" in page.inner_text("tbody")
        page.click("text=Before and after")
        frame = page.frame_locator("#compare")
        frame.locator("body[data-drawn='0']").wait_for()
        colours = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
        assert frame.locator("#stage canvas").first.evaluate(colours) > 9  # an image is drawn
        with page.expect_download() as download:
            page.click("text=Download")
        download.value.save_as(tmp_path / "out.mkv")
        page.click("text=Remove")
        page.wait_for_selector("tbody tr", state="detached")
        assert wrong == []
    assert vsr.verify(source, tmp_path / "out.mkv").lost == ()
