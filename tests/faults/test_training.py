"""Training faults (rows F) that require a process to die; the others are tested in tests/training."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.processes.checkpoint_writer import Writers, recipe
from vsr.training.run.checkpoint import checkpoint_folder, checkpoints, save_checkpoint
from vsr.training.run.state import new_state

KILLS = 8


def test_f1_a_kill_during_the_write_of_a_checkpoint_costs_at_most_one_interval(tmp_path: Path) -> None:
    output, rng = tmp_path / "out.safetensors", random.Random(1)
    with Writers(output) as writers:
        told, longest = 0, 0.2
        for _ in range(KILLS):
            before = told
            told = max(told, writers.kill_one(after=rng.uniform(0.0, longest)))
            longest *= 1 if told > before else 2  # a write takes longer on this machine
            found = writers.newest()
            assert told <= found <= told + 1  # it can be killed between the rename and its report
            told = found
        assert told, "this machine is too slow to kill a process while it writes"
    left = {path.name for path in checkpoint_folder(output).iterdir()}
    assert len(checkpoints(output)) <= recipe().checkpoints + 1
    assert len(left) <= recipe().checkpoints + 1 + KILLS


def test_f1_a_checkpoint_is_on_the_disk_before_an_older_one_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power may fail at any time, so the file is written, synced and renamed, the
    folder is synced, then the oldest goes."""
    calls: list[str] = []
    state, settings = new_state(recipe()), recipe()
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def noted(name: str):
        def call(first, *rest, **named):
            what = Path(f"/proc/self/fd/{first}").readlink() if name == "fsync" else Path(first)
            calls.append(f"{name} {what.suffix}")
            return real[name](first, *rest, **named)

        return call

    for step in range(1, settings.checkpoints + 2):
        state.step = step
        if step > settings.checkpoints:
            for name in real:
                monkeypatch.setattr(os, name, noted(name))
        save_checkpoint(tmp_path / "out.safetensors", state, settings)
    assert calls[0] == "unlink .tmp"  # an old file of the temporary name, before the new one
    removed = ["unlink .safetensors", "unlink .json"]  # the oldest, and the note of a first run
    assert calls[1:] == ["fsync .tmp", "replace .tmp", "fsync .checkpoints", *removed]
