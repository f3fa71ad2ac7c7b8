"""Processes that only write checkpoints, and are killed while writing.

with Writers(tmp_path / "out.safetensors") as writers:
    told = writers.kill_one(after=0.05)     # the last step that it reported as saved
    step = writers.newest()                 # the step from which a run would resume
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch

from tests.faults.processes.helper_process import HelperProcess
from vsr.models.archs.compact import CompactConfig
from vsr.training.degrade.degradation import Degradation
from vsr.training.generators import GeneratorSettings
from vsr.training.recipe import Recipe
from vsr.training.run.checkpoint import resume, save_checkpoint
from vsr.training.run.state import State, new_state


def recipe() -> Recipe:
    """Return a recipe with checkpoints of 2 MB, so that most of the time is spent on writing."""
    network = GeneratorSettings(compact=CompactConfig(nf=64, nc=6, scale=2))
    return Recipe(name="kill", generator=network, degrade=Degradation(codecs=()), steps=10**9)


class Writers(HelperProcess):
    """Starts one writer after another on the same run; a context manager."""

    def __init__(self, output: Path) -> None:
        """Start the process that forks the writers."""
        super().__init__("tests.faults.processes.checkpoint_writer", str(output))
        self._output = output
        self._state = new_state(recipe())

    def kill_one(self, *, after: float) -> int:
        """Let a writer resume from the newest checkpoint, and kill it after some seconds of writing.

        Returns:
            The last step that it knew was saved.
        """
        pid = int(self.answer("go"))
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
        return int(self.next_line())

    def newest(self) -> int:
        """Return the step from which a run resumes, with its weights checked; 0 if it starts again."""
        if not resume(self._output, self._state, recipe()):
            return 0
        for value in self._state.network.state_dict().values():
            assert bool((value == self._state.step).all()), "weights of another step"
        return self._state.step


def serve(output: Path) -> None:
    """Fork a writer for each line on stdin; report its process id, and what it had saved after its death."""
    torch.set_num_threads(1)
    state = new_state(recipe())
    for _ in sys.stdin:
        told, tell = os.pipe()
        pid = os.fork()
        if not pid:
            _write_for_ever(output, state, tell)
        os.close(tell)
        os.read(told, 1)  # from here on it only writes
        _say(pid)
        os.waitpid(pid, 0)
        with os.fdopen(told, "rb") as file:
            _say(int([b"0", *file.read().split()][-1]))


def _write_for_ever(output: Path, state: State, tell: int) -> None:
    resume(output, state, recipe())
    os.write(tell, b"\n")
    while True:
        state.step += 1
        with torch.no_grad():
            for value in state.network.parameters():
                value.fill_(state.step)
        save_checkpoint(output, state, recipe())
        os.write(tell, f"{state.step}\n".encode())


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
