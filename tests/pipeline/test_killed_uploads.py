"""A run is killed when its result is in a store and its work folder is still there, here or in the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import vsr
from tests.local_servers import BUCKET, ObjectStore, environment
from tests.media_maker import Audio, make_clip
from tests.pipeline.fetched import assert_is_result

FRAMES = 12
SETTINGS = {"model": "bicubic", "segment_seconds": "0.2", "encoder": "ffv1", "device": "cpu"}
WORDS = ("--allow-network", "-m", "bicubic", "--segment", "0.2", "--encoder", "ffv1", "--device", "cpu")
WORK = {"on this disk": "work", "in the store": f"s3://{BUCKET}/work"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES, codec="ffv1", audio=[Audio()])


def run(
    store: ObjectStore, folder: Path, *words: str, kill_at: str = "", cache: str = "cache"
) -> subprocess.CompletedProcess[str]:
    """Run `vsr upscale` on in.mkv of the store; it kills itself when it calls a function."""
    argv = ["vsr", "upscale", store.url("in.mkv"), *words, *WORDS]
    lines = ["import sys", f"sys.argv = {argv!r}", "from vsr.__main__ import main", "main()"]
    if kill_at:
        strike = f"signal_at.install({kill_at!r}, 1, 0, {int(signal.SIGKILL)})"
        lines[2:2] = ["from tests.faults.processes import signal_at", strike]
    roots = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    variables = {"XDG_CACHE_HOME": str(folder / cache), "PYTHONPATH": os.pathsep.join(roots)}
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**os.environ, **environment(store.endpoint), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def left(store: ObjectStore, folder: Path) -> list[str]:
    """Return what is left of the work, in the store and on this disk."""
    files = [path.name for path in folder.rglob(".*.vsr/*")]
    keys = store.keys()
    return files + [key for key in keys if key not in ("in.mkv", "out.mkv")]


@pytest.mark.parametrize("where", WORK)
def test_the_same_command_finds_the_result_and_removes_what_is_left(
    where: str, store: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    store.put("in.mkv", clip)
    out = store.url("out.mkv")
    words = (out, "--work-folder", WORK[where], "--report", "report.json")
    killed = run(store, tmp_path, *words, kill_at="_check_sent_size")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    made = store.get("out.mkv")
    assert any(name.endswith(".segment") for name in left(store, tmp_path))
    other = run(store, tmp_path, out, "--scale", "3", "--work-folder", "work-2")
    assert (other.returncode, "out.mkv: exists already" in other.stderr) == (2, True), other
    cache = "another machine" if where == "in the store" else "cache"
    again = run(store, tmp_path, *words, cache=cache)
    assert (again.returncode, "out.mkv: already finished" in again.stderr) == (0, True), again
    assert left(store, tmp_path / cache) == []
    assert store.get("out.mkv") == made
    assert_is_result(made, clip, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["frames_out"] == FRAMES


def test_a_queue_finds_it_too(store: ObjectStore, clip: Path, tmp_path: Path) -> None:
    store.put("in.mkv", clip)
    words = ("--to", store.url(""), "--name", "out.mkv", "--work-folder", "work", "--report", "rows.jsonl")
    killed = run(store, tmp_path, *words, kill_at="_check_sent_size")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    made = store.get("out.mkv")
    again = run(store, tmp_path, *words)
    assert (again.returncode, "in.mkv: already finished" in again.stderr) == (0, True), again
    assert (store.get("out.mkv"), left(store, tmp_path / "work")) == (made, [])
    (row,) = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert json.loads(row)["report"]["frames_out"] == FRAMES


def test_a_program_finds_it_too(store: ObjectStore, clip: Path, tmp_path: Path) -> None:
    source, out = store.put("in.mkv", clip), store.url("out.mkv")
    killed = run(store, tmp_path, out, "--work-folder", "work", kill_at="_check_sent_size")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    made = store.get("out.mkv")
    report = vsr.upscale(source, out, work_folder=tmp_path / "work", allow_network=True, **SETTINGS)
    assert (report.frames_out, report.exit_code, report.status) == (FRAMES, 0, "complete")
    assert report.as_dict()["model"]["name"] == "bicubic"
    assert (store.get("out.mkv"), left(store, tmp_path)) == (made, [])
