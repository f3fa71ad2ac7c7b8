"""`make test-wheel` tests what it can, and prints what it skips."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.project import wheel


def fake(path: Path, *, code: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_a_shim_that_fails_is_skipped_for_the_interpreter_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "shims" / "python3.13", code=127)
    good = fake(tmp_path / "versions" / "3.13.0" / "bin" / "python3.13", code=0)
    monkeypatch.setenv("PATH", str(tmp_path / "shims"), prepend=":")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    found = wheel.interpreter(13)
    assert found is not None
    assert found.path == str(good)
    assert wheel.interpreter(99) is None


@pytest.mark.parametrize(
    ("minor", "free_gib", "late", "words"),
    [
        (11, 5, False, None),
        (13, 5, False, "the disk has 5 GiB free, but 12 are needed"),
        (13, 50, False, None),
        (13, 50, True, "the time for all environments is over"),
    ],
)
def test_an_environment_is_skipped_with_the_reason_without_disk_space_or_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minor: int, free_gib: int, late: bool, words: str | None
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=free_gib << 30)
    monkeypatch.setattr(wheel.shutil, "disk_usage", lambda _: free)
    reason = wheel.why_not(wheel.Interpreter(minor, sys.executable), tmp_path, 10, clock=lambda: 11.0 * late)
    assert reason == words


def test_only_torchs_version_is_chosen_and_only_where_a_small_build_exists() -> None:
    (line,) = wheel.torch_for(wheel.Interpreter(11, "python"))
    assert line.startswith("torch==")
    assert wheel.torch_for(wheel.Interpreter(12, "python")) == []


def test_a_failed_command_ends_the_test_with_its_output() -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        wheel.run([sys.executable, "-c", "raise SystemExit('no such thing')"])
