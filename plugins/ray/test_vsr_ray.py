"""`--on ray` makes the same file as one process, whatever is lost: a worker, a machine or the driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

ray = pytest.importorskip("ray", reason="Ray is not installed")

import vsr_ray  # noqa: E402

import vsr  # noqa: E402
from plugins.ray.conftest import FRAMES, MEMORY  # noqa: E402
from plugins.ray.faults_for_tests import kill, process_of, when  # noqa: E402
from tests.local_servers import ObjectStore  # noqa: E402
from tests.media_maker import make_clip  # noqa: E402
from tests.pipeline.job.test_resume import LENGTH, SETTINGS, contents  # noqa: E402
from vsr.errors import ConfigError, DeviceError, VsrError  # noqa: E402
from vsr.models.archs.compact import Compact, CompactConfig  # noqa: E402
from vsr.pipeline.crew.crew import Crew  # noqa: E402
from vsr.pipeline.job.report import Report  # noqa: E402
from vsr.pipeline.job.warm_generator import WarmGenerator  # noqa: E402
from vsr.pipeline.preparation import prepare  # noqa: E402
from vsr.pipeline.run import KeptModel, Progress, run  # noqa: E402
from vsr.pipeline.workers import many_devices  # noqa: E402
from vsr.settings.schema import UpscaleSettings  # noqa: E402

ONE = SETTINGS
RAY = replace(ONE, on="ray", device="cpu:2")
Contents = list[tuple[object, ...]]
FLAGS = ["--on", "ray", "--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--segment", "0.2"]


def upscaled(
    source: Path,
    target: Path,
    settings: UpscaleSettings = RAY,
    warm: WarmGenerator | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    with prepare(source, target, settings, overwrite=False, warm=warm) as job:
        run(job, on_progress)
        return job.report


def command(cluster: Any, *words: object) -> tuple[list[str], dict[str, str]]:
    """Return the command `vsr upscale` on the cluster, and its environment."""
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    return [sys.executable, "-m", "vsr", "upscale", *map(str, words), *FLAGS], environment


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_makes_the_same_file_as_one_process(
    workers: int, source: Path, whole: Contents, cluster: Any, tmp_path: Path
) -> None:
    upscaled(source, tmp_path / "out.mkv", replace(RAY, device=f"cpu:{workers}"))
    assert contents(tmp_path / "out.mkv") == whole


def test_machines_without_a_common_disk_work_through_a_store_that_fails_every_fifth_request(
    source: Path, whole: Contents, warm: WarmGenerator, store: ObjectStore, tmp_path: Path
) -> None:
    url, kept = store.put("in.mkv", source), KeptModel()
    kept._generator = warm
    store.requests.refuses = lambda method, path: 503 if len(store.requests.seen) % 5 == 0 else None
    settings = {"on": "ray", "device": "cpu:2", "model": "bicubic", "scale": 2, "preset": "ultrafast"}
    vsr.upscale(url, store.url("out.mkv"), allow_network=True, warm=kept, segment_seconds="0.2", **settings)
    store.requests.refuses = lambda method, path: None
    (tmp_path / "out.mkv").write_bytes(store.get("out.mkv"))
    assert contents(tmp_path / "out.mkv") == whole
    made = {path for method, path in store.requests.seen if method == "PUT" and ".segment" in path}
    assert len(made) == -(-FRAMES // LENGTH)
    assert all("/films/." in path for path in made), "beside the result, as with local files"


def test_paths_and_ranges_travel_and_never_frames(
    source: Path, whole: Contents, warm: WarmGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    travelled: list[str] = []
    tell, handle = vsr_ray._RemoteWorker.tell, many_devices._handle

    def told(self: vsr_ray._RemoteWorker, message: Mapping[str, Any]) -> None:
        travelled.append(json.dumps(message))
        tell(self, message)

    def handled(state: Any, name: str, message: Any) -> None:
        if name:
            travelled.append(json.dumps(message))
        handle(state, name, message)

    monkeypatch.setattr(vsr_ray._RemoteWorker, "tell", told)
    monkeypatch.setattr(many_devices, "_handle", handled)
    upscaled(source, tmp_path / "out.mkv", warm=warm)
    segments = [line for line in travelled if '"task"' not in line]
    frame = 2 * 64 * 2 * 48 * 3 // 2
    assert len(segments) > FRAMES
    assert sum(map(len, segments)) < frame, "all messages of the film together"


def test_workers_that_are_killed_cost_only_their_segments(
    source: Path, whole: Contents, warm: WarmGenerator, tmp_path: Path, at_once: None
) -> None:
    moments = [3, 11]

    def attack(state: Any, name: str, message: dict[str, Any]) -> None:
        if moments and message["frame"] >= moments[0]:
            kill(state.crew, name, whole_actor=moments.pop(0) == 3)

    with when("frame", attack):
        upscaled(source, tmp_path / "out.mkv", warm=warm)
    assert not moments
    assert contents(tmp_path / "out.mkv") == whole


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_only_its_segments(
    source: Path, whole: Contents, cluster: Any, warm: WarmGenerator, tmp_path: Path
) -> None:
    lost: list[str] = []

    def lose(state: Any, name: str, message: dict[str, Any]) -> None:
        if not lost and message["frame"] >= 4:
            lost.append(name)
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    with when("frame", lose):
        upscaled(source, tmp_path / "out.mkv", warm=warm)
    assert lost
    assert contents(tmp_path / "out.mkv") == whole
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    cluster.wait_for_nodes()


@pytest.mark.slow
def test_a_segment_that_ends_three_workers_ends_the_run_after_all_others(
    source: Path, whole: Contents, warm: WarmGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is ended as it is told of the segment; at its first frame it may have finished all of them."""
    tell = Crew.tell

    def poisoned(self: Crew, name: str, message: Mapping[str, Any]) -> None:
        tell(self, name, message)
        if message.get("segment") == 2:
            kill(self, name, whole_actor=False)

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "tell", poisoned)
        with pytest.raises(VsrError, match="frames 10 to 14") as told:
            upscaled(source, tmp_path / "out.mkv", warm=warm)
    assert told.value.exit_code == 1
    assert not (tmp_path / "out.mkv").exists()
    assert upscaled(source, tmp_path / "out.mkv", ONE).frames_kept == FRAMES - LENGTH
    assert contents(tmp_path / "out.mkv") == whole


def test_a_worker_with_other_weights_refuses_the_job(
    source: Path, warm: WarmGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, file = Compact(CompactConfig(nf=8, nc=1, scale=2)), tmp_path / "net.safetensors"
    begin = Crew.begin

    def changed(self: Crew, task: Any) -> None:
        save_file({name: torch.ones_like(t) for name, t in network.state_dict().items()}, file)
        begin(self, task)

    save_file(network.state_dict(), file)
    monkeypatch.setattr(Crew, "begin", changed)
    with pytest.raises(ConfigError, match=r"a worker on cpu has weights [0-9a-f]{16}, not [0-9a-f]{16} as"):
        upscaled(source, tmp_path / "out.mkv", replace(RAY, model=str(file), scale=None), warm)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.slow
def test_a_worker_that_waits_for_a_machine_gets_segments_when_an_autoscaler_starts_one(
    cluster: Any, free_cores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The film is long enough that some segments are left when it starts."""
    source = make_clip(tmp_path / "in.mkv", frames=15 * LENGTH)
    upscaled(source, tmp_path / "alone.mkv", ONE)
    heard: set[str] = set()
    given: set[str] = set()
    added: list[Any] = []
    hear, tell = Crew._hear, Crew.tell

    def told(self: Crew, name: str, message: Mapping[str, Any]) -> None:
        tell(self, name, message)
        if message.get("segment") is not None:
            given.add(name)

    monkeypatch.setattr(Crew, "tell", told)
    monkeypatch.setattr(
        Crew, "_hear", lambda self, name, message: (heard.add(name), hear(self, name, message))[1]
    )

    def wait_for(workers: int) -> None:
        end = time.monotonic() + 300
        while len(heard) < workers and time.monotonic() < end:
            time.sleep(0.05)
        assert len(heard) == workers

    def start_a_machine(state: Any, name: str, message: dict[str, Any]) -> None:
        if not added:
            wait_for(2)  # there are two cores, and three workers
            added.append(cluster.add_node(num_cpus=1, object_store_memory=MEMORY))
            wait_for(3)

    try:
        with when("made", start_a_machine):
            upscaled(source, tmp_path / "out.mkv", replace(RAY, device="cpu:3"))
    finally:
        for node in added:
            cluster.remove_node(node)
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "alone.mkv")
    assert len(given) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_the_last_segment_of_a_machine_that_hangs_is_made_by_another_one(
    source: Path, whole: Contents, cluster: Any, free_cores: None, tmp_path: Path, at_once: None
) -> None:
    stopped: list[int] = []

    def hang(state: Any, name: str, message: dict[str, Any]) -> None:
        if not stopped:
            stopped.append(process_of(state.crew, name))
            os.kill(stopped[0], signal.SIGSTOP)

    try:
        with when("frame", hang):
            upscaled(source, tmp_path / "out.mkv")
    finally:
        for process in stopped:
            os.kill(process, signal.SIGKILL)
    assert contents(tmp_path / "out.mkv") == whole


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.slow
def test_the_same_command_resumes_after_the_driver_was_killed(
    source: Path, whole: Contents, cluster: Any, free_cores: None, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    words, environment = command(cluster, source, target, "--device", "cpu:1")
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as process:
        # The first segment is in the journal when the second one has its name.
        while process.poll() is None and len(list(tmp_path.glob(".*.vsr/*.segment"))) < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resuming after" in done.stderr or process.returncode == 0
    assert contents(target) == whole


@pytest.mark.slow
def test_a_folder_of_a_store_is_upscaled_file_by_file_and_finished_results_are_skipped(
    source: Path, whole: Contents, cluster: Any, free_cores: None, store: ObjectStore, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        store.put(f"rips/{name}.mkv", source)
    words, environment = command(
        cluster, "s3://films/rips/", "--to", "s3://films/up/", "--allow-network", "--device", "cpu:2"
    )
    for said in ("2 done", "2 skipped"):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stderr + done.stdout
    names = [key for key in store.keys() if not key.startswith("rips/")]  # noqa: SIM118
    assert len(names) == 2, names
    for name in names:
        (tmp_path / "out.mkv").write_bytes(store.get(name))
        assert contents(tmp_path / "out.mkv") == whole


def test_devices_of_a_cluster(cluster: Any) -> None:
    assert vsr_ray.devices("", "cpu:3") == ("cpu",) * 3
    assert vsr_ray.devices("", "gpu:8") == ("cuda:0",) * 8
    assert set(vsr_ray.devices("", "auto")) == {"cpu"}
    with pytest.raises(DeviceError, match="has no GPU"):
        vsr_ray.devices("", "cuda:all")
    with pytest.raises(ConfigError, match="no device of a cluster"):
        vsr_ray.devices("", "cuda:0,cuda:1")


@pytest.mark.parametrize(
    ("device", "threads", "reserved"),
    [("cpu", 3, {"num_cpus": 3}), ("cpu", 0, {"num_cpus": 1}), ("cuda:0", 0, {"num_cpus": 1, "num_gpus": 1})],
)
def test_a_worker_reserves_its_cores_and_its_gpu(
    device: str, threads: int, reserved: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray then finds a machine for it, or an autoscaler starts one."""
    wanted: dict[str, Any] = {}

    class Remote:
        def options(self, **options: Any) -> Any:
            wanted.update(options)
            return SimpleNamespace(remote=lambda *rest: None)

    monkeypatch.setattr(ray, "remote", lambda relay: Remote())
    monkeypatch.setattr(vsr_ray._RemoteWorker, "_listen", lambda self: None)
    vsr_ray._RemoteWorker("w1", device, threads, lambda message: None, gathering=1.0)
    assert {name: number for name, number in wanted.items() if name.startswith("num_")} == reserved


@pytest.mark.parametrize("number", [1, 40, 200, 1000])
def test_workers_that_show_progress_call_the_driver_at_most_fifty_times_a_second(number: int) -> None:
    start = vsr_ray.crew("", ["cpu"] * number)._start_worker
    assert isinstance(start, partial)
    assert number / start.keywords["gathering"] <= 50


def test_a_cluster_that_cannot_be_reached_is_an_error_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises a plain exception where a machine is too busy to start it in 30 seconds."""

    def init(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        DeviceError,
        match=r"^a Ray cluster cannot be reached \(The current node timed out during startup\.\)$",
    ):
        vsr_ray.devices("", "cpu:2")


def test_a_place_without_its_plugin_is_named(source: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="workers can run on local"),
        prepare(source, tmp_path / "out.mkv", replace(ONE, on="slurm"), overwrite=False),
    ):
        pass
