"""Both ways of `make test-container`, as far as they need neither an engine nor root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.container.checks import writes_nowhere_else
from tests.container.dockerfile import BuildError
from tests.container.engine import Engine, working_engine
from tests.container.root import Root
from tests.container.steps import CHECKOUT, built


def program(folder: Path, name: str, line: str) -> None:
    """Write a program that consists of one line of shell."""
    (folder / name).write_text(f"#!/bin/sh\n{line}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_client_without_a_running_daemon_is_not_an_engine(path: Path) -> None:
    assert working_engine() is None
    program(path, "docker", "exit 1")
    assert working_engine() is None
    program(path, "podman", "exit 0")
    assert working_engine() == "podman"
    program(path, "docker", "exit 0")
    assert working_engine() == "docker"


def test_without_an_engine_the_error_says_what_is_missing_and_how_to_get_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match=r"require root\. Run it as root$"):
        built(tmp_path, None, {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(BuildError, match=r"apt-get install debootstrap$"):
        built(tmp_path, None, {})
    with pytest.raises(BuildError, match="neither docker nor podman"):
        built(tmp_path, "engine", {})


def test_an_engine_runs_the_image_without_a_network_and_with_the_requested_user_and_program(
    path: Path,
) -> None:
    program(path, "docker", 'echo "$@"')
    engine = Engine("docker", CHECKOUT, Path("/here"))
    said = engine.call("in.mkv", user="1:2", entrypoint="find", read_only=True).stdout.strip()
    assert said == (
        "run --rm --network none -v /here:/media --user 1:2 --entrypoint find --read-only --tmpfs /tmp "
        f"{engine.tag} in.mkv"
    )


def test_copied_files_cannot_leave_the_root_through_a_link(tmp_path: Path) -> None:
    root = Root(tmp_path, CHECKOUT)
    (root.top / "src").mkdir(parents=True)
    (root.top / "away").symlink_to(tmp_path / "elsewhere")
    (root.top / "within").symlink_to("src")
    root.copy("LICENSE", "/within/")
    assert (root.top / "src/LICENSE").read_bytes() == (CHECKOUT / "LICENSE").read_bytes()
    for target in ("/away/", "/../"):
        with pytest.raises(BuildError, match="leads out of the root"):
            root.copy("LICENSE", target)
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_the_user_may_write_to_is_named(path: Path) -> None:
    program(path, "docker", "echo /tmp; echo /media; echo /home/vsr/x; echo /run/lock")
    engine = Engine("docker", CHECKOUT, Path("/here"))
    assert "nothing but /media" in writes_nowhere_else(engine)
    program(path, "docker", "echo /tmp; echo /mediacentre")
    with pytest.raises(BuildError, match=r"may write to /mediacentre$"):
        writes_nowhere_else(engine)
    program(path, "docker", "echo broken >&2; exit 1")
    with pytest.raises(BuildError, match="the search for writable places failed: broken"):
        writes_nowhere_else(engine)
