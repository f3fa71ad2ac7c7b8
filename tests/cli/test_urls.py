"""URLs on the command line: flags, queues, messages; and no credential in anything that is written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.local_servers import ObjectStore, web_server, without_pauses
from tests.media_maker import make_clip
from tests.picture_maker import phone_photograph
from vsr.media.remote import blocks, places
from vsr.media.remote.folder import StoreFolder

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--preset", "ultrafast", "--device", "cpu")


@pytest.fixture(autouse=True)
def _empty_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A command ends its process; here, the next one begins as if it had."""
    without_pauses(monkeypatch)
    monkeypatch.chdir(tmp_path)
    yield
    for path in list(blocks._open):
        blocks.close_blocks(path)
    blocks._holds.clear()
    places._places.clear()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Put three clips into fsspec's memory, one of them in a folder of its own, and return one of them."""
    import fsspec

    system = fsspec.filesystem("memory")
    for number, folder in enumerate(("", "", "disc 2/")):
        clip = make_clip(tmp_path / f"{number}.mkv", frames=3 + number)
        system.pipe_file(f"/rips/{folder}{number}.mkv", clip.read_bytes())
    system.pipe_file("/rips/notes.txt", b"x")
    yield clip
    for path in list(system.store):
        system.store.pop(path)


def in_memory(folder: str = "/") -> list[str]:
    import fsspec

    return sorted(fsspec.filesystem("memory").find(folder))


def test_the_commands_that_read_take_urls(store: ObjectStore, tmp_path: Path, capfd: Capture) -> None:
    source = store.put("in.mkv", make_clip(tmp_path / "in.mkv", frames=4))
    refused = run_cli(capfd, "upscale", source, store.url("out.mkv"), *QUICK)
    assert refused.code == 2
    assert refused.line.endswith("through the network, which is not used without --allow-network")
    done = run_cli(capfd, "upscale", source, store.url("out.mkv"), "--allow-network", *QUICK)
    assert done.code == 0, done.err
    assert f"{source} 64x48" in done.err
    assert f"-> {store.url('out.mkv')} 128x96" in done.err
    result = store.url("out.mkv")
    assert run_cli(capfd, "verify", source, result, "--allow-network").out == "nothing lost\n"
    assert "128x96" in run_cli(capfd, "info", result, "--allow-network").out
    drawn = run_cli(capfd, "compare", source, result, "-o", tmp_path / "both.png", "--allow-network")
    assert (drawn.code, (tmp_path / "both.png").exists()) == (0, True)


def test_a_word_alone_may_be_a_url(memory: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "memory://rips/0.mkv")
    assert done.code == 0, done.err
    assert "/rips/0-2x.mkv" in in_memory()


def test_a_folder_of_a_store_becomes_a_folder_and_the_second_run_does_nothing(
    memory: Path, tmp_path: Path, capfd: Capture
) -> None:
    words = ["upscale", "memory://rips/", "--to", "memory://out", "--work-folder", tmp_path / "work", *QUICK]
    done = run_cli(capfd, *words, "--report", tmp_path / "report.jsonl")
    assert done.code == 0, done.err
    assert in_memory("/out") == ["/out/0-2x.mkv", "/out/1-2x.mkv"]
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [line["source"] for line in lines] == ["memory://rips/0.mkv", "memory://rips/1.mkv"]
    assert [line["target"] for line in lines] == ["memory://out/0-2x.mkv", "memory://out/1-2x.mkv"]
    again = run_cli(capfd, *words, "--recursive")
    assert "3 of 3 files: 1 done, 2 skipped" in again.err
    assert in_memory("/out") == ["/out/0-2x.mkv", "/out/1-2x.mkv", "/out/disc 2/2-2x.mkv"]


def test_a_list_may_name_urls(memory: Path, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "list").write_text("memory://rips/0.mkv\nmemory://rips/disc 2/2.mkv\n")
    done = run_cli(capfd, "upscale", "--files-from", tmp_path / "list", "--to", "memory://out", *QUICK)
    assert done.code == 0, done.err
    assert in_memory("/out") == ["/out/0-2x.mkv", "/out/2-2x.mkv"]


def test_a_result_that_was_replaced_is_not_taken_for_finished(
    memory: Path, tmp_path: Path, capfd: Capture
) -> None:
    import fsspec

    words = [
        "upscale",
        "memory://rips/*.mkv",
        "--to",
        "memory://out/",
        "--work-folder",
        tmp_path / "w",
        *QUICK,
    ]
    assert run_cli(capfd, *words).code == 0
    fsspec.filesystem("memory").pipe_file("/out/1-2x.mkv", b"somebody else's")
    again = run_cli(capfd, *words)
    assert again.code == 2
    assert "memory://out/1-2x.mkv: exists already, and is not a finished result" in again.err
    assert fsspec.filesystem("memory").cat_file("/out/1-2x.mkv") == b"somebody else's"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["memory://nothing/"], "memory://nothing/: no video is in this folder"),
        (
            ["memory://rips/*.avi", "--to", "memory://out"],
            "memory://rips/*.avi: no file matches this pattern",
        ),
        (["http://host/in.mkv"], "http://host/in.mkv: nothing can be written beside it; name an OUTPUT"),
        (["memory://rips/0.mkv", "memory://rips/0.mkv"], "is the input itself"),
        (["memory://rips/0.mkv", "memory://out/0.avi"], "no container has the suffix '.avi'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    memory: Path, capfd: Capture, words: list[str], reason: str
) -> None:
    outcome = run_cli(capfd, "upscale", *words, *QUICK)
    assert outcome.code in (2, 3)
    assert reason in outcome.line


def test_no_credential_is_in_anything_that_is_written(tmp_path: Path, capfd: Capture) -> None:
    """Not in messages, tracebacks, reports, or the names of files, whatever fails."""
    www = tmp_path / "www"
    www.mkdir()
    make_clip(www / "in.mkv", frames=3)
    (www / "text.mkv").write_text("words " * 99)
    everything = ""
    with web_server(www, ranges=True) as server:
        for name, status in (
            ("in.mkv", None),
            ("text.mkv", None),
            ("no.mkv", None),
            ("in.mkv", 403),
            ("in.mkv", 500),
        ):
            server.requests.refuses = lambda method, path, status=status: status
            url = f"{server.url(name)}?X-Amz-Signature=SECRET".replace("//", "//user:SECRET@")
            for command in (
                ["upscale", url, "out.mkv", "-y", "--report", "report.json", *QUICK],
                ["upscale", url, "--to", "out", "--report", "report.json", "-y", *QUICK],
                ["info", url, "--json"],
                ["verify", url, url],
            ):
                outcome = run_cli(capfd, "--debug", *command, "--allow-network")
                everything += outcome.out + outcome.err
    for path in tmp_path.rglob("*"):
        everything += str(path)
        if path.suffix in (".json", ".jsonl", ".tmp"):
            everything += path.read_text(errors="replace")
    assert "there is no such file" in everything
    assert "SECRET" not in everything


def test_no_package_for_urls_is_imported_without_one(tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mkv", frames=2)
    program = (
        "import sys; sys.argv = ['vsr', 'info', 'in.mkv']\n"
        "from vsr.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "import vsr.media.files.output_path\n"
        "print(sorted({'fsspec', 's3fs', 'aiohttp', 'botocore', 'asyncio'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_photograph_in_a_store_gets_its_result_beside_it(
    store: ObjectStore, tmp_path: Path, capfd: Capture
) -> None:
    photo = store.put("album/photo.jpg", phone_photograph(tmp_path / "photo.jpg"))
    flags = ("--allow-network", "--work-folder", tmp_path, *QUICK)
    assert run_cli(capfd, "info", photo, "--allow-network").code == 0
    assert run_cli(capfd, "upscale", photo, *flags).code == 0
    assert store.keys() == ["album/photo-2x.jpg", "album/photo.jpg"]
    assert run_cli(capfd, "upscale", store.url("album/"), "--to", store.url("larger/"), *flags).code == 0
    assert store.keys()[-1] == "larger/photo-2x.jpg"
    assert run_cli(capfd, "upscale", photo, store.url("out.gif"), *flags).code == 0
    assert store.get("out.gif").startswith(b"GIF8")
    assert (places._places, blocks._open, blocks._holds) == ({}, {}, {}), "the next command begins anew"


def test_the_work_folder_of_a_local_result_may_be_in_a_store(
    memory: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    send = StoreFolder.put

    def noted(self: StoreFolder, file: Path, name: str) -> None:
        put.append(f"{self.remote.url}/{name}")
        send(self, file, name)

    monkeypatch.setattr(StoreFolder, "put", noted)
    run = run_cli(capfd, "upscale", memory, "out.mkv", "--work-folder", "memory://parts", *QUICK)
    assert run.code == 0, run.err
    assert (tmp_path / "out.mkv").exists()
    assert len(put) == 1
    assert put[0].startswith("memory://parts/.")
    assert in_memory("/parts") == []
    assert places._parts == {}


def test_results_beside_their_inputs_in_a_store_are_no_inputs_of_the_next_run(
    memory: Path, tmp_path: Path, capfd: Capture
) -> None:
    words = ("upscale", "memory://rips/", "--work-folder", tmp_path / "work", *QUICK)
    assert run_cli(capfd, *words).code == 0
    made = in_memory("/rips")
    assert [name for name in made if "-2x" in name] == ["/rips/0-2x.mkv", "/rips/1-2x.mkv"]
    again = run_cli(capfd, *words)
    assert again.code == 0
    assert "2 of 2 files: 2 skipped" in again.err
    assert "memory://rips/0-2x.mkv and 1 more are results of earlier runs, and left out" in again.err
    assert in_memory("/rips") == made
