"""Whatever fails on a cluster: the same file, or an end with a job that can be resumed; never a wrong file.

These tests take minutes; `make test-chaos` runs them.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")

import vsr
from plugins.ray.conftest import MEMORY
from plugins.ray.faults_for_tests import kill, when
from plugins.ray.test_vsr_ray import Contents, command, upscaled
from tests.local_servers import ObjectStore
from tests.media_maker import Audio, make_clip
from tests.pipeline.job.test_resume import SETTINGS, contents
from vsr.errors import VsrError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"),
]

SEGMENTS, KILLS = 100, 20
LONG = replace(SETTINGS, segment_seconds=Fraction(2, 25))
RAY = replace(LONG, on="ray", device="cpu:2")
IN_STORE = {"on": "ray", "device": "cpu:2", "model": "bicubic", "scale": 2, "preset": "ultrafast"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 100 segments of two frames."""
    return make_clip(tmp_path_factory.mktemp("film") / "in.mkv", frames=2 * SEGMENTS, audio=[Audio()])


@pytest.fixture(scope="module")
def joined(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Return what one process makes of it."""
    target = tmp_path_factory.mktemp("alone") / "out.mkv"
    upscaled(film, target, LONG)
    return contents(target)


def until_it_is_made(target: Path, make: Callable[[], object]) -> int:
    """Give the same command again after each error; returns how often it ended with one."""
    for number in range(10):
        try:
            make()
            return number
        except VsrError:
            assert not target.exists(), "an unfinished result has no name"
    raise AssertionError("ten runs were not enough")


def test_a_worker_is_killed_at_twenty_random_moments_of_a_hundred_segments(
    film: Path, joined: Contents, cluster: Any, tmp_path: Path, at_once: None
) -> None:
    chosen = random.Random(1)
    moments = sorted(chosen.sample(range(2, 2 * SEGMENTS - 4), KILLS))
    struck: list[str] = []

    def attack(state: Any, name: str, message: dict[str, Any]) -> None:
        if moments and state.done.frames >= moments[0]:
            moments.pop(0)
            struck.append(name)
            kill(state.crew, name, whole_actor=chosen.random() < 0.5)

    with when("frame", attack):
        ends = until_it_is_made(tmp_path / "out.mkv", lambda: upscaled(film, tmp_path / "out.mkv", RAY))
    assert len(struck) == KILLS, f"{ends} runs ended early"
    assert contents(tmp_path / "out.mkv") == joined


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_makes_the_same_file_through_a_store(
    workers: int, source: Path, whole: Contents, cluster: Any, store: ObjectStore, tmp_path: Path
) -> None:
    url = store.put("in.mkv", source)
    wishes = {**IN_STORE, "device": f"cpu:{workers}", "segment_seconds": "0.2"}
    added = cluster.add_node(num_cpus=1, object_store_memory=MEMORY) if workers == 3 else None
    try:
        vsr.upscale(url, store.url("out.mkv"), allow_network=True, **wishes)
    finally:
        if added is not None:
            cluster.remove_node(added)
    (tmp_path / "out.mkv").write_bytes(store.get("out.mkv"))
    assert contents(tmp_path / "out.mkv") == whole


def test_the_driver_is_killed_and_another_machine_goes_on_with_what_the_store_has(
    source: Path, whole: Contents, cluster: Any, store: ObjectStore, tmp_path: Path
) -> None:
    words, environment = command(
        cluster, store.put("in.mkv", source), store.url("out.mkv"), "--device", "cpu:1", "--allow-network"
    )
    first = {**environment, "XDG_CACHE_HOME": str(tmp_path / "first")}
    with subprocess.Popen(words, env=first, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any(key.endswith("journal.json") for key in list_of(store)):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    assert "out.mkv" not in list_of(store)
    second = {**environment, "XDG_CACHE_HOME": str(tmp_path / "second")}
    done = subprocess.run(words, env=second, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resuming after" in done.stderr
    (tmp_path / "out.mkv").write_bytes(store.get("out.mkv"))
    assert contents(tmp_path / "out.mkv") == whole
    assert sorted(list_of(store)) == ["in.mkv", "out.mkv"]


def list_of(store: ObjectStore) -> list[str]:
    return store.keys()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 4 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root on Linux can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_machine_whose_disk_is_full_leaves_its_segments_to_the_others(
    film: Path, cluster: Any, store: ObjectStore, small_disk: Path, tmp_path: Path
) -> None:
    """Segments of FFV1 are larger than the disk of one of the three machines."""
    wishes = {**IN_STORE, "encoder": "ffv1", "segment_seconds": "0.08"}
    wishes.pop("preset")
    alone = {name: value for name, value in wishes.items() if name != "on"} | {"device": "cpu"}
    vsr.upscale(film, tmp_path / "alone.mkv", **alone)
    small = cluster.add_node(num_cpus=1, object_store_memory=MEMORY, env_vars={"TMPDIR": str(small_disk)})
    ended: list[str] = []

    def note(state: Any, name: str, message: dict[str, Any]) -> None:
        ended.append(message["text"])

    url = store.put("in.mkv", film)
    try:
        with when("error", note):
            vsr.upscale(
                url,
                tmp_path / "out.mkv",
                allow_network=True,
                work_folder="s3://films/work",
                **{**wishes, "device": "cpu:3"},
            )
    finally:
        cluster.remove_node(small)
    assert any("No space left on device" in text for text in ended), ended
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "alone.mkv")


def test_a_store_that_fails_for_good_ends_the_run_and_the_same_call_goes_on(
    source: Path, whole: Contents, cluster: Any, store: ObjectStore, tmp_path: Path
) -> None:
    url, target = store.put("in.mkv", source), tmp_path / "out.mkv"

    def refuses(method: str, path: str) -> int | None:
        late = store.requests.count("PUT", ".segment") > 3
        return 503 if late and method == "PUT" and ".segment" in path else None

    def make() -> vsr.Report:
        wishes = {**IN_STORE, "segment_seconds": "0.2"}
        return vsr.upscale(url, target, allow_network=True, work_folder="s3://films/work", **wishes)

    store.requests.refuses = refuses
    with pytest.raises(vsr.OutputError, match=r"HTTP status 503|cannot be used now"):
        make()
    assert not target.exists()
    store.requests.refuses = lambda method, path: None
    assert make().frames_kept > 0
    assert contents(target) == whole
