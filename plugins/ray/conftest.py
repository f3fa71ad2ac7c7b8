"""A Ray cluster of several machines, simulated by Ray on this one, and an S3 server that they all reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.local_servers import ObjectStore, object_store
from tests.media_maker import Audio, make_clip
from tests.pipeline.job.test_resume import SETTINGS, contents
from vsr.pipeline.crew import hosts
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import run

HERE = Path(__file__).parent
FRAMES = 28
MEMORY = 2**27
"""Bytes of Ray's object store on each machine, of which vsr uses nothing."""


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
        patch.setenv(
            "RAY_AUTH_MODE", "disabled"
        )  # else a token of the user would be asked for by one side only
        patch.setenv("RAY_worker_niceness", "0")  # else other programs of a busy machine come first
        for path in reversed(paths):
            patch.syspath_prepend(path)
        yield


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the driver hear of each frame at once, so that a test can strike at a certain frame."""
    import vsr_ray

    monkeypatch.setattr(vsr_ray, "_GATHERED", 0.0)


@pytest.fixture(scope="module")
def shared_store() -> Iterator[ObjectStore]:
    """Return an S3 server that was there before the cluster, so that all machines know its address."""
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as found:
        yield found


@pytest.fixture
def store(shared_store: ObjectStore) -> Iterator[ObjectStore]:
    """Return the S3 server, empty and without faults."""
    shared_store.requests.seen.clear()
    yield shared_store
    shared_store.requests.refuses = lambda method, path: None
    shared_store.requests.before = lambda method, path: None
    for key in shared_store.keys():  # noqa: SIM118, it is no dictionary
        shared_store.client.delete_object(Bucket="films", Key=key)


def _head() -> Any:
    """Start a cluster. Ray allows 30 seconds for that, which is not always enough on a busy machine."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
    for _ in range(2):
        with suppress(Exception):
            return Cluster(initialize_head=True, head_node_args=options)
    return Cluster(initialize_head=True, head_node_args=options)


@pytest.fixture(scope="module")
def cluster(installed: None, shared_store: ObjectStore) -> Iterator[Any]:
    """Two machines, simulated by Ray on this one: the head has no core, so that workers run elsewhere."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    machines = _head()
    try:
        for _ in range(2):
            machines.add_node(num_cpus=1, object_store_memory=MEMORY)
        machines.wait_for_nodes()
        ray.init(address=machines.address, log_to_driver=False, configure_logging=False)
        yield machines
    finally:
        ray.shutdown()
        machines.shutdown()


@pytest.fixture(scope="module")
def warm(cluster: Any) -> Iterator[WarmGenerator]:
    """Workers that the tests share, because a process takes seconds to start."""
    kept = WarmGenerator()
    yield kept
    kept.close()


@pytest.fixture
def free_cores(warm: WarmGenerator) -> None:
    """End the shared workers, whose machines have no core for others."""
    warm.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES, audio=[Audio()])


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """Return what one process makes of the clip."""
    target = tmp_path_factory.mktemp("whole") / "out.mkv"
    with prepare(source, target, replace(SETTINGS), overwrite=True) as job:
        run(job)
    return contents(target)
