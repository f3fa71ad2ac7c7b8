"""The files of docs/cluster have only fields that exist, fit together, and name commands that exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.docs.cluster_schemas import SBATCH, SBATCH_FLAGS, schema_of
from tests.media_maker import make_clip
from tests.test_docs import check_flags

FOLDER = Path(__file__).parent.parent.parent / "docs" / "cluster"
MANIFESTS = sorted(FOLDER.glob("*.yaml"))
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))
IMAGE = "registry.example/vsr-cluster:1"


def documents(path: Path) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (pip install -e '.[dev]')")
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def wrong(document: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    return [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema_of(document)).iter_errors(document)
    ]


def pods(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document["spec"]
    if document["kind"] == "RayJob":
        groups = [spec["rayClusterSpec"]["headGroupSpec"], *spec["rayClusterSpec"]["workerGroupSpecs"]]
        return [group["template"] for group in groups]
    return [spec["template"]] if document["kind"] == "Job" else []


def test_there_are_files() -> None:
    assert len(MANIFESTS) == 3
    assert len(SCRIPTS) == 3


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_has_only_documented_fields_with_possible_values(path: Path) -> None:
    for document in documents(path):
        assert wrong(document) == []


def test_a_misspelt_field_or_a_pod_with_more_rights_is_found() -> None:
    (job, _) = documents(FOLDER / "rayjob.yaml")
    job["spec"]["shutdownAfterJobFinish"] = True
    job["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "disabled"
    pods(job)[1]["spec"]["securityContext"]["runAsUser"] = 0
    found = "\n".join(wrong(job))
    for words in ("shutdownAfterJobFinish", "'token' was expected", "10001 was expected"):
        assert words in found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_parts_of_a_manifest_fit_together(path: Path) -> None:
    found = documents(path)
    every = [pod for document in found for pod in pods(document)]
    for pod in every:
        (container,) = pod["spec"]["containers"]
        assert container["image"] == IMAGE
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    labels = [pod["metadata"]["labels"] for pod in every]
    for document in found:
        selector = document["spec"].get("podSelector", {}).get("matchLabels") or document["spec"].get(
            "selector"
        )
        assert selector is None or all(selector.items() <= one.items() for one in labels)


def test_the_image_is_built_from_the_dockerfile_and_has_the_version_of_ray() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert f"docker build -t {IMAGE} -f docs/cluster/Dockerfile plugins/ray\n" in text
    assert re.search(r"^FROM vsr:cuda$", text, re.M)
    assert re.findall(r"^COPY (\S+) ", text, re.M) == ["."]  # the plugin
    assert (FOLDER.parent.parent / "plugins" / "ray" / "pyproject.toml").exists()
    base = (FOLDER.parent.parent / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"BASE=(\S+)", text)[1] == re.search(r"--build-arg BASE=(\S+)", base)[1]  # type: ignore[index]
    assert "useradd --create-home --uid 10001 vsr" in base
    version = documents(FOLDER / "rayjob.yaml")[0]["spec"]["rayClusterSpec"]["rayVersion"]
    assert tuple(map(int, version.split("."))) >= (2, 52, 0)  # the first with a token


def calls_of_vsr(path: Path) -> list[list[str]]:
    """Return the arguments of each call of `vsr` in a file."""
    if path.suffix == ".sbatch":
        text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
        lines = [line for line in text.splitlines() if not line.startswith("#")]
    else:
        lines = []
        for document in documents(path):
            lines += [document["spec"].get("entrypoint", "")]
            for pod in pods(document):
                words = pod["spec"]["containers"][0].get("args", [])
                is_script = len(words) == 1 and "\n" in words[0]
                lines += words[0].splitlines() if is_script else [shlex.join(words)]
    found = [re.search(r"(?:^|\s)vsr (.*)", line) for line in lines if line]
    return [shlex.split(match[1]) for match in found if match]


@pytest.mark.parametrize("path", [*MANIFESTS, *SCRIPTS], ids=lambda path: path.name)
def test_the_commands_of_a_file_exist(path: Path) -> None:
    calls = calls_of_vsr(path)
    assert calls
    for words in calls:
        check_flags(words)


def test_as_many_processes_train_as_there_are_gpus() -> None:
    service, job, _ = documents(FOLDER / "train.yaml")
    (container,) = pods(job)[0]["spec"]["containers"]
    args = container["args"]
    assert f"--nproc-per-node={container['resources']['limits']['nvidia.com/gpu']}" in args
    assert f"--nnodes={job['spec']['completions']}" in args
    assert job["spec"]["parallelism"] == job["spec"]["completions"]
    host = f"{job['metadata']['name']}-0.{pods(job)[0]['spec']['subdomain']}"
    assert f"--rdzv-endpoint={host}:{service['spec']['ports'][0]['port']}" in args
    assert pods(job)[0]["spec"]["subdomain"] == service["metadata"]["name"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_of_slurm_parses_and_has_only_documented_options(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    options = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.M)
    assert len(options) == text.count("#SBATCH") >= 5
    for name, value in options:
        assert name in SBATCH_FLAGS if not value else re.fullmatch(SBATCH[name], value), name
    first = text.index("set -euo pipefail")
    assert "#SBATCH" not in text[first:]  # sbatch stops reading them at the first command


def on_a_cluster(folder: Path, **variables: str) -> dict[str, str]:
    """Return an environment with programs of Slurm and Ray, of which `srun` runs its command here."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    programs = {
        "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
        "scontrol": "printf 'node7\\nnode8\\n'",
        "ray": 'printf "%s " ray "$RAY_AUTH_MODE" "$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" "$@" >> "$CALLS"',
        "vsr": f'exec {sys.executable} -m vsr "$@"',
        "python": 'printf "%s " python "$@" >> "$CALLS"',
    }
    for name, body in programs.items():
        (bin_folder / name).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        (bin_folder / name).chmod(0o755)
    path = f"{bin_folder}:{os.environ['PATH']}"
    slurm = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "42"}
    own = {"PATH": path, "CALLS": str(folder / "calls"), "HOME": str(folder)}
    return {**os.environ, **own, **slurm, **variables}


def test_a_task_of_the_array_upscales_its_line_of_the_list_once(tmp_path: Path) -> None:
    films = [make_clip(tmp_path / f"{n}.mkv", frames=3) for n in range(2)]
    (tmp_path / "films.txt").write_text("".join(f"{film}\n" for film in films), encoding="utf-8")
    command = [
        "bash",
        str(FOLDER / "catalogue.sbatch"),
        *(str(tmp_path / n) for n in ("films.txt", "results")),
    ]
    environment = on_a_cluster(tmp_path, SLURM_ARRAY_TASK_ID="2")
    subprocess.run(command, env=environment, check=True, timeout=300)
    (result,) = (tmp_path / "results").glob("[!.]*")
    assert result.name == "1.mkv"
    assert vsr.verify(films[1], result).lost == ()
    written = result.stat().st_mtime_ns
    subprocess.run(command, env=environment, check=True, timeout=300)
    assert result.stat().st_mtime_ns == written


def test_a_pod_upscales_its_line_of_the_list_once(tmp_path: Path) -> None:
    films = [make_clip(tmp_path / f"{n}.mkv", frames=3) for n in range(2)]
    (tmp_path / "films.txt").write_text("".join(f"{film}\n" for film in films), encoding="utf-8")
    (container,) = pods(documents(FOLDER / "catalogue.yaml")[0])[0]["spec"]["containers"]
    script = container["args"][0].replace("/media/", f"{tmp_path}/")
    environment = on_a_cluster(tmp_path, JOB_COMPLETION_INDEX="0")
    for _ in range(2):
        subprocess.run([*container["command"], script], env=environment, check=True, timeout=300)
    (result,) = (tmp_path / "results").glob("[!.]*")
    assert result.name == "0.mkv"
    assert vsr.verify(films[0], result).lost == ()


def test_one_film_runs_on_all_machines_with_a_token_that_only_its_user_reads(tmp_path: Path) -> None:
    command = ["bash", str(FOLDER / "upscale.sbatch"), "/shared/in.mkv", "/shared/out.mkv"]
    subprocess.run(command, env=on_a_cluster(tmp_path), check=True, timeout=60)
    assert (tmp_path / "calls").read_text().split() == shlex.split(
        "ray token 600 symmetric-run --address node7:6379 --min-nodes 2 --include-dashboard=false --"
        " vsr upscale /shared/in.mkv /shared/out.mkv --on ray --device cuda:all --progress plain"
    )
    assert list(tmp_path.glob(".ray-token-*")) == []


def test_training_meets_at_the_first_machine(tmp_path: Path) -> None:
    command = [
        "bash",
        str(FOLDER / "train.sbatch"),
        "esrgan-psnr",
        "/shared/photos",
        "/shared/my.safetensors",
    ]
    subprocess.run(command, env=on_a_cluster(tmp_path, SLURM_GPUS_PER_TASK="4"), check=True, timeout=60)
    words = (tmp_path / "calls").read_text().split()
    assert words[:7] == shlex.split("python -m torch.distributed.run --nnodes 2 --nproc-per-node 4")
    assert words[words.index("--rdzv-endpoint") + 1] == "node7:29500"


def test_the_launcher_of_ray_takes_the_options_of_the_script() -> None:
    pytest.importorskip("ray", reason="ray is not installed (pip install -e '.[dev]')")
    from ray.scripts.scripts import start

    names = {name for option in start.params for name in (*option.opts, *option.secondary_opts)}
    assert "--include-dashboard" in names
