"""The attacks, for tests (few cases) and for `make soak` (all cases). Each returns its findings."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.inputs.mutations import CONTAINERS, frames_of, mutated, originals
from tests.faults.oracle import Contents, contents, pictures_in, remains
from tests.faults.processes.fork_server import Command, ForkServer, Outcome
from tests.media_maker import Audio, make_clip

SEGMENT = 12
"""Frames of a segment in these attacks: half a second at 25 frames a second."""
UPSCALE = ["-m", "bicubic", "--segment", "0.48"]


@dataclass(kw_only=True)
class Tally:
    """The findings of an attack."""

    cases: int = 0
    wrong: list[str] = field(default_factory=list)
    """Violations of a promise, each with the seed or number that reproduces it."""
    counts: Counter[str] = field(default_factory=Counter)
    worst_seconds: float = 0.0
    worst_memory: int = 0

    def see(self, outcome: Outcome, what: str) -> None:
        """Record a run."""
        self.worst_seconds = max(self.worst_seconds, outcome.seconds)
        self.worst_memory = max(self.worst_memory, outcome.memory)
        if outcome.wrong is not None:
            self.wrong.append(f"{what}: {outcome.wrong}")

    def plus(self, other: Tally) -> Tally:
        """Return the findings of both."""
        return Tally(
            cases=self.cases + other.cases,
            wrong=[*self.wrong, *other.wrong],
            counts=self.counts + other.counts,
            worst_seconds=max(self.worst_seconds, other.worst_seconds),
            worst_memory=max(self.worst_memory, other.worst_memory),
        )


def film(folder: Path, *, frames: int) -> Path:
    """Write the clip for interrupted runs, with B-frames and audio."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_clip(folder / "in.mp4", frames=frames, bframes=2, audio=[Audio()])


def unbroken(server: ForkServer, folder: Path, target: str) -> Contents:
    """Return the contents of an undisturbed run's output, which is then removed."""
    outcome = server.run(["upscale", "in.mp4", target, *UPSCALE], folder=folder, seconds=300)
    assert outcome.code == 0, outcome
    found = contents(folder / target)
    clear(folder)
    return found


def finished_size(server: ForkServer, folder: Path) -> int:
    """Return the size in bytes of a run's output."""
    outcome = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder)
    assert outcome.code == 0, outcome
    size = (folder / "out.mkv").stat().st_size
    clear(folder)
    return size


def clear(folder: Path) -> None:
    """Remove all files except the input."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "in.mp4":
            path.unlink()


def two_films(folder: Path, frames: int) -> Path:
    """Write the same film under two names into a folder, and return it."""
    film(folder, frames=frames)
    shutil.copy(folder / "in.mp4", folder / "two.mp4")
    return folder


def clear_all_but(folder: Path, *kept: str) -> None:
    """Remove what `remains` finds."""
    for name in remains(folder, *kept):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def mutate(
    server: ForkServer, folder: Path, seeds: Iterable[int], containers: Sequence[str] = CONTAINERS
) -> Tally:
    """Damage inputs: a run must end with a one-line error, or with a complete
    file and a report of the damage (T2)."""
    tally = Tally()
    whole = {name: path.read_bytes() for name, path in originals(folder).items()}
    for path in folder.iterdir():
        path.unlink()
    for seed in seeds:
        container, mutator, data = mutated(seed, whole, containers)
        source = f"in.{container}"
        (folder / source).write_bytes(data)
        outcome = server.run(["upscale", source, "out.mkv", "-m", "bicubic"], folder=folder, memory=6 * 2**30)
        name = f"seed {seed} ({container}, {mutator})"
        tally.cases += 1
        tally.see(outcome, name)
        _judge_mutated(tally, outcome, folder, name, f"{container} {mutator}")
        for left in remains(folder):
            shutil.rmtree(folder / left) if (folder / left).is_dir() else (folder / left).unlink()
    return tally


def _judge_mutated(tally: Tally, outcome: Outcome, folder: Path, name: str, kind: str) -> None:
    target = folder / "out.mkv"
    tally.counts[f"exit {outcome.code}"] += 1
    if outcome.code not in (0, 3, 10):
        tally.wrong.append(f"{name}: exit {outcome.code}: {outcome.err[-200:]}")
    if target.exists() != (outcome.code in (0, 10)):
        tally.wrong.append(f"{name}: exit {outcome.code}, and the output {target.exists() = }")
    if not target.exists():
        return
    if remains(folder, f"in.{name.split('(')[1].split(',')[0]}", "out.mkv"):
        tally.wrong.append(f"{name}: finished, but left {remains(folder)}")
    found, whole = pictures_in(target), frames_of(kind.split()[0])
    told = re.search(r"(\d+) frames in", outcome.err)
    if told is not None and int(told[1]) != found:
        tally.wrong.append(f"{name}: incomplete, {found} frames of {told[1]}")
    if outcome.code == 0 and found < whole and "cannot be checked" in outcome.err:
        tally.counts["doubted"] += 1
    elif outcome.code == 0 and found < whole:
        tally.counts["silent"] += 1
        tally.counts[f"silent: {kind}"] += 1
    if outcome.code == 10 and found >= whole:
        tally.counts["reported, although no frame is missing"] += 1


def nth_calls(server: ForkServer, folder: Path) -> list[str]:
    """Return the calls of an undisturbed run in order, with name and file."""
    log = folder / "calls.txt"
    outcome = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder, fail_at=0, calls=str(log))
    assert outcome.code == 0, outcome
    calls = [line.split("\t", 1)[1] for line in log.read_text().splitlines()]
    clear(folder)
    return calls


def nth_call(
    server: ForkServer, folder: Path, calls: Sequence[str], numbers: Iterable[int], expected: Contents
) -> Tally:
    """Let the N-th call fail: the output must be absent or complete, and
    the same command must then succeed (T6).

    If removing a file fails, the file may remain, and the run may report
    an error although the output is complete.
    """
    tally = Tally()
    for number in numbers:
        clear(folder)
        name = f"call {number}, {calls[number - 1]}"
        outcome = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder, fail_at=number)
        tally.cases += 1
        tally.counts[f"exit {outcome.code}"] += 1
        removal = calls[number - 1].startswith(("unlink", "rmdir"))
        if removal:
            tally.counts["removal failed"] += 1
            tally.counts["and an error after complete work"] += (
                outcome.code != 0 and (folder / "out.mkv").exists()
            )
        else:
            tally.see(outcome, name)
        _judge_ended(tally, server, folder, name, outcome, expected, removal=removal)
    clear(folder)
    return tally


def file_sizes(server: ForkServer, folder: Path, sizes: Iterable[int], expected: Contents) -> Tally:
    """Limit the size of files, like a full disk: exit code 4, and the same command must then succeed (T4)."""
    tally = Tally()
    for size in sizes:
        clear(folder)
        name = f"file size {size}"
        outcome = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder, file_size=size)
        tally.cases += 1
        tally.see(outcome, name)
        tally.counts[f"exit {outcome.code}"] += 1
        if outcome.code not in (0, 4):
            tally.wrong.append(f"{name}: exit {outcome.code}: {outcome.err[-200:]}")
        _judge_ended(tally, server, folder, name, outcome, expected)
    clear(folder)
    return tally


def _judge_ended(
    tally: Tally,
    server: ForkServer,
    folder: Path,
    name: str,
    outcome: Outcome,
    expected: Contents,
    *,
    removal: bool = False,
) -> None:
    """Check that the output is absent or complete; if absent or reported
    as damaged, a clean run must make it."""
    target = folder / "out.mkv"
    if not removal and target.exists() != (outcome.code in (0, 10)):
        tally.wrong.append(f"{name}: exit {outcome.code}, and the output {target.exists() = }")
    if outcome.code == 10 and target.exists():  # a read error, which was reported as damage
        target.unlink()
    if not target.exists():
        again = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder)
        if again.code != 0:
            tally.wrong.append(f"{name}: the clean rerun ended with {again.code}: {again.err[-200:]}")
            return
    if contents(target) != expected:
        tally.wrong.append(f"{name}: exit {outcome.code}, and the result differs")
    if not removal and (left := remains(folder, "in.mp4", "out.mkv")):
        tally.wrong.append(f"{name}: finished, but left {left}")


def kills(server: ForkServer, folder: Path, number: int, *, seed: int, expected: Contents) -> Tally:
    """Send SIGKILL at random points, also while resuming, until a run is left to finish (T7)."""
    tally, rng = Tally(), random.Random(seed)
    command = Command(words=["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=str(folder))
    whole = server.run(list(command.words), folder=folder, seconds=300).seconds
    clear(folder)
    while tally.cases < number:
        for number_of_run in range(rng.choice((1, 1, 2, 3))):
            pid = server.start(command)
            time.sleep(rng.uniform(0.0, 1.0) * whole)
            _kill(pid)
            outcome = server.wait(pid, seconds=20)
            tally.cases += 1
            if outcome.code is not None:
                tally.counts["ended before the kill"] += 1
                if number_of_run == 0:
                    whole = min(whole, outcome.seconds)  # a kill at this time is too late
                break
            tally.counts["killed"] += 1
            _judge_killed(tally, folder)
        _go_on(tally, server, folder, expected, f"seed {seed}, kill {tally.cases}")
    return tally


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _judge_killed(tally: Tally, folder: Path) -> None:
    """Check after a kill that the final name is absent, unless the kill came after the last step."""
    if (folder / "out.mkv").exists():
        tally.counts["killed after the finish"] += 1


def segments_in(folder: Path) -> int:
    """Return the number of finished segments in the work folder."""
    return len(list(folder.glob(".*.vsr/*.segment")))


def _go_on(tally: Tally, server: ForkServer, folder: Path, expected: Contents, name: str) -> None:
    finished = segments_in(folder)
    if not (folder / "out.mkv").exists():
        outcome = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder, seconds=300)
        tally.see(outcome, name)
        if outcome.code != 0:
            tally.wrong.append(f"{name}: resuming ended with {outcome.code}: {outcome.err[-200:]}")
        kept = re.search(r"resuming after (\d+) frames", outcome.err)
        frames = 0 if kept is None else int(kept[1])
        tally.counts["frames resumed"] += frames
        if frames < min((finished - 1) * SEGMENT, len(expected.pictures)):
            tally.wrong.append(f"{name}: {finished} segments were finished, {frames} frames were kept")
    if not (folder / "out.mkv").exists() or contents(folder / "out.mkv") != expected:
        tally.wrong.append(f"{name}: the result differs from that of an uninterrupted run")
    if remains(folder, "in.mp4", "out.mkv"):  # killed between the rename and the removal of the work folder
        again = server.run(["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=folder)
        tally.counts["left a work folder, which the same command removed"] += 1
        left = remains(folder, "in.mp4", "out.mkv")
        if again.code != 0 or left:
            tally.wrong.append(f"{name}: the same command ended with {again.code}, and left {left}")
    clear(folder)


def interrupts(server: ForkServer, folder: Path, number: int, *, seed: int) -> Tally:
    """Interrupt at random points; measure the time to the end, and check that the final name is absent."""
    tally, rng = Tally(), random.Random(seed)
    command = Command(words=["upscale", "in.mp4", "out.mkv", *UPSCALE], folder=str(folder))
    while tally.cases < number:
        pid = server.start(command)
        time.sleep(rng.uniform(0.15, 0.6))
        asked = time.monotonic()
        os.kill(pid, signal.SIGINT)
        outcome = server.wait(pid, seconds=30)
        tally.cases += 1
        tally.counts[f"exit {outcome.code}"] += 1
        if outcome.wrong is not None:
            tally.wrong.append(f"interrupt {tally.cases}: {outcome.wrong}")
        tally.worst_seconds = max(tally.worst_seconds, time.monotonic() - asked)
        if outcome.code != 0 and (folder / "out.mkv").exists():
            tally.wrong.append(f"interrupt {tally.cases}: a file has the final name")
        clear(folder)
    return tally


def sizes_around(size: int, number: int) -> Iterator[int]:
    """Yield limits that a file of `size` bytes reaches at its
    beginning, on its way, and in its last block."""
    yield from (0, 1, 512, 4096, size - 4096, size - 1024, size - 64, size - 1)
    for step in range(1, number - 7):
        yield size * step // (number - 7)
