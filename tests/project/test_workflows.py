"""What runs for each change is valid, asks for what exists, and agrees with what the project says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; `make` installs it")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def jobs(name: str = "ci") -> dict[str, Any]:
    return dict(read(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"])


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_every_job_has_a_machine_and_steps_of_one_kind_each() -> None:
    assert jobs().keys() >= {"lint", "test", "wheel", "docs"}
    for name, job in [job for path in WORKFLOWS for job in jobs(path.stem).items()]:
        assert job["runs-on"], name
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), name
            assert "@" in step.get("uses", "@"), name


def test_workflows_ask_make_for_what_it_has() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for name, job in [*jobs().items(), ("pages", jobs("pages")["build"])]:
        asked = re.findall(r"\bmake ([a-z-]+)", commands(job))
        asked += re.findall(r"'([a-z-]+)'", "".join(re.findall(r"make \$\{\{.*?&&(.*?)\}\}", commands(job))))
        assert asked, name
        assert set(asked) <= targets, name


def test_all_tests_run_on_each_python_that_the_project_names() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert jobs()["test"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    (setup,) = (step for step in jobs()["wheel"]["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["with"]["python-version"].split() == named


def test_the_wheel_is_tried_without_constraints() -> None:
    assert "make test-wheel" in commands(jobs()["wheel"])


@pytest.mark.parametrize("path", [ROOT / ".pre-commit-config.yaml", *ROOT.glob(".github/**/*.yml")], ids=str)
def test_files_for_other_programs_are_yaml(path: Path) -> None:
    assert read(path)


def test_every_tool_of_development_is_pinned() -> None:
    pinned = set(
        re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    extras = PROJECT["optional-dependencies"]
    wanted = {re.split(r"[<>=[]", need)[0] for need in (*PROJECT["dependencies"], *extras["dev"])}
    assert wanted <= pinned
