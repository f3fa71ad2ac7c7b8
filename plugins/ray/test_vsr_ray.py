"""`--on ray` makes the same file as one process, whatever is lost: a worker, a machine or the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed")

import vsr_ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from tests.media_maker import make_clip  # noqa: E402
from tests.pipeline.job.test_resume import SETTINGS, contents  # noqa: E402
from vsr.errors import ConfigError, DeviceError  # noqa: E402
from vsr.pipeline.job.warm_generator import WarmGenerator  # noqa: E402
from vsr.pipeline.preparation import prepare  # noqa: E402
from vsr.pipeline.run import Progress, run  # noqa: E402
from vsr.pipeline.workers import hosts  # noqa: E402

HERE = Path(__file__).parent
FRAMES = 28
ONE = SETTINGS
RAY = replace(ONE, on="ray", device="cpu:2")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the plugin's entry point known, as `pip install` does."""
    folder = tmp_path_factory.mktemp("site") / "vsr_ray-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: vsr-ray\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text(f"[{hosts.GROUP}]\nray = vsr_ray\n")
    before = os.environ.get("PYTHONPATH", "")
    paths = [str(folder.parent), str(HERE), str(HERE.parent.parent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([*paths, before]))
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        for path in reversed(paths):
            patch.syspath_prepend(path)
        yield


@pytest.fixture(scope="module")
def cluster(installed: None) -> Iterator[Cluster]:
    """Two machines, simulated by Ray on this one: the head has no core, so that workers run elsewhere."""
    machines = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 2**27},
    )
    for _ in range(2):
        machines.add_node(num_cpus=1, object_store_memory=2**27)
    machines.wait_for_nodes()
    ray.init(address=machines.address, log_to_driver=False, configure_logging=False)
    yield machines
    ray.shutdown()
    machines.shutdown()


@pytest.fixture(scope="module")
def warm(cluster: Cluster) -> Iterator[WarmGenerator]:
    kept = WarmGenerator()
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES)


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("whole") / "out.mkv"
    with prepare(source, target, ONE, overwrite=True) as job:
        run(job)
    return target


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_makes_the_same_file_as_one_process(
    workers: int, source: Path, whole: Path, cluster: Cluster, tmp_path: Path
) -> None:
    settings = replace(RAY, device=f"cpu:{workers}")
    with prepare(source, tmp_path / "out.mkv", settings, overwrite=False) as job:
        run(job)
    assert contents(tmp_path / "out.mkv") == contents(whole)


def test_workers_that_are_killed_cost_only_their_segments(
    source: Path, whole: Path, warm: WarmGenerator, tmp_path: Path
) -> None:
    moments = [3, 11]

    def kill(now: Progress) -> None:
        if moments and now.frames >= moments[0]:
            moments.pop(0)
            assert job.crew is not None
            ray.kill(next(iter(job.crew._members.values())).worker.actor)

    with prepare(source, tmp_path / "out.mkv", RAY, overwrite=False, warm=warm) as job:
        run(job, kill)
    assert not moments
    assert contents(tmp_path / "out.mkv") == contents(whole)


def test_a_machine_that_is_lost_costs_only_its_segments(
    source: Path, whole: Path, cluster: Cluster, warm: WarmGenerator, tmp_path: Path
) -> None:
    machines = list(cluster.worker_nodes)

    def lose(now: Progress) -> None:
        if now.frames >= 4 and len(machines) == len(cluster.worker_nodes):
            cluster.remove_node(machines[0], allow_graceful=False)

    with prepare(source, tmp_path / "out.mkv", RAY, overwrite=False, warm=warm) as job:
        run(job, lose)
    assert len(cluster.worker_nodes) < len(machines)
    assert contents(tmp_path / "out.mkv") == contents(whole)
    cluster.add_node(num_cpus=1, object_store_memory=2**27)
    cluster.wait_for_nodes()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_the_same_command_resumes_after_the_driver_was_killed(
    source: Path, whole: Path, cluster: Cluster, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    words = [
        sys.executable,
        "-m",
        "vsr",
        "upscale",
        str(source),
        str(target),
        "--on",
        "ray",
        "--device",
        "cpu:1",
    ]
    words += ["--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--segment", "0.2"]
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as process:
        # The first segment is in the journal when the second one has its name.
        while process.poll() is None and len(list(tmp_path.glob(".*.vsr/*.segment"))) < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resuming after" in done.stderr or process.returncode == 0
    assert contents(target) == contents(whole)


def test_devices_of_a_cluster(cluster: Cluster) -> None:
    assert vsr_ray.devices("", "cpu:3") == ("cpu",) * 3
    assert set(vsr_ray.devices("", "auto")) == {"cpu"}
    with pytest.raises(DeviceError, match="has no GPU"):
        vsr_ray.devices("", "cuda:all")
    with pytest.raises(ConfigError, match="no device of a cluster"):
        vsr_ray.devices("", "cuda:0,cuda:1")


def test_a_place_without_its_plugin_is_named(source: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="workers can run on local"),
        prepare(source, tmp_path / "out.mkv", replace(ONE, on="slurm"), overwrite=False),
    ):
        pass
