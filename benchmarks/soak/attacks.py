"""Runs all attacks, and prints one table of the findings beside the promised limits.

    python -m benchmarks.soak.attacks                       every figure; half an hour on two cores
    python -m benchmarks.soak.attacks --quick               fewer cases, two minutes
    python -m benchmarks.soak.attacks --only kills --kills 500 --seed 7
    python -m benchmarks.soak.attacks --only mutations --out bench    continues after a stop

The attacks are those of tests/faults, with more cases. Each violation of a promise is listed below the table
with the seed or number that reproduces it, and sets the exit code to 1.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import attacks
from tests.faults.inputs.hostile_media import in_mov, png_bomb
from tests.faults.processes.checkpoint_writer import Writers
from tests.faults.processes.fork_server import ForkServer

FULL = {
    "mutations": 476,
    "kills": 100,
    "checkpoint_kills": 50,
    "calls": 0,
    "sizes": 25,
    "frames": 10_000,
    "files": 1000,
    "interrupts": 20,
    "bad_inputs": 9,
}
"""Number of cases of each attack; 0 means all. Each pair of container and mutator comes four times."""
QUICK = {
    "mutations": 119,
    "kills": 12,
    "checkpoint_kills": 10,
    "calls": 40,
    "sizes": 12,
    "frames": 1000,
    "files": 200,
    "interrupts": 4,
    "bad_inputs": 3,
}
MB = 1e6


@dataclass(kw_only=True)
class Row:
    """One figure."""

    what: str
    bar: str
    found: str
    met: bool
    notes: list[str] = field(default_factory=list)
    """Violations of the promise, with what reproduces them."""


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Settings and folders that all figures share."""

    server: ForkServer
    folder: Path
    counts: dict[str, int]
    seed: int
    out: Path | None = None
    """Folder for the table, and for the findings of mutations so far."""

    def fresh(self, name: str) -> Path:
        """Create a new folder."""
        path = self.folder / name
        path.mkdir()
        return path


ROUND = 119
"""Mutated inputs after which the findings are saved: one for each pair of container and mutator."""


def mutations(soak: Soak) -> Row:
    number, first = soak.counts["mutations"], soak.seed * 1_000_000
    saved = None if soak.out is None else soak.out / f"mutations-{soak.seed}.json"
    tally = _saved_tally(saved)
    while tally.cases < number:
        begin = first + tally.cases
        seeds = range(begin, min(begin + ROUND, first + number))
        tally = tally.plus(attacks.mutate(soak.server, soak.fresh(f"mutations-{begin}"), seeds))
        print(f"{tally.cases} of {number} mutated inputs", file=sys.stderr, flush=True)
        if saved is not None:
            saved.write_text(json.dumps(vars(tally)), encoding="utf-8")
    number = tally.cases
    silent = tally.counts["silent"]
    classes = {k.removeprefix("silent: "): n for k, n in tally.counts.items() if k.startswith("silent: ")}
    kinds = ", ".join(f"{name} {n}" for name, n in sorted(classes.items()))
    ends = ", ".join(f"{k} {n}" for k, n in sorted(tally.counts.items()) if k.startswith("exit"))
    return Row(
        what=f"{number} mutated inputs",
        bar="0 crashes, hangs over 20 s, tracebacks, incomplete files; silent loss <= 2 %",
        found=f"{len(tally.wrong)} violations; silent {silent} ({silent / number:.1%}"
        f"{': ' + kinds if kinds else ''}); {ends}; reported although no frame is missing "
        f"{tally.counts['reported, although no frame is missing']}; slowest {tally.worst_seconds:.1f} s",
        met=not tally.wrong and silent <= 0.02 * number,
        notes=tally.wrong,
    )


def _saved_tally(saved: Path | None) -> attacks.Tally:
    """Return the findings of an earlier run of these seeds, which this one continues."""
    if saved is None or not saved.exists():
        return attacks.Tally()
    found = json.loads(saved.read_text(encoding="utf-8"))
    return attacks.Tally(**{**found, "counts": Counter(found["counts"])})


def kills(soak: Soak) -> Row:
    folder, number = soak.fresh("kills"), soak.counts["kills"]
    attacks.film(folder, frames=240)
    expected = attacks.unbroken(soak.server, folder, "out.mkv")
    tally = attacks.kills(soak.server, folder, number, seed=soak.seed, expected=expected)
    left = ", ".join(f"{n} {k}" for k, n in tally.counts.items() if k.startswith("left"))
    return Row(
        what=f"{tally.cases} SIGKILLs at random points, also while resuming",
        bar="0 frames lost or changed, 0 files at the final path, at most 1 segment recomputed each",
        found=f"{len(tally.wrong)} violations; {tally.counts['killed']} hit a running process, "
        f"{tally.counts['killed after the finish']} after the rename; "
        f"{tally.counts['frames resumed']} frames resumed{'; ' + left if left else ''}",
        met=not tally.wrong,
        notes=tally.wrong,
    )


def checkpoint_kills(soak: Soak) -> Row:
    number, rng, wrong, last = soak.counts["checkpoint_kills"], random.Random(soak.seed), list[str](), 0
    with Writers(soak.fresh("checkpoints") / "out.safetensors") as writers:
        for kill in range(number):
            told = max(last, writers.kill_one(after=rng.uniform(0.0, 0.2)))
            last = writers.newest()
            if not told <= last <= told + 1:
                wrong.append(f"kill {kill}: step {told} was saved, but step {last} is resumed")
    return Row(
        what=f"{number} SIGKILLs inside checkpoint writes",
        bar="always a loadable checkpoint, at most one interval old",
        found=f"{len(wrong)} violations; {last} checkpoints written",
        met=not wrong and last > 0,
        notes=wrong,
    )


def calls(soak: Soak) -> Row:
    folder = soak.fresh("calls")
    attacks.film(folder, frames=30)
    expected = attacks.unbroken(soak.server, folder, "out.mkv")
    listed = attacks.nth_calls(soak.server, folder)
    wanted = soak.counts["calls"] or len(listed)
    numbers = [1 + i * len(listed) // wanted for i in range(min(wanted, len(listed)))]
    tally = attacks.nth_call(soak.server, folder, listed, numbers, expected)
    ends = ", ".join(f"{k} {n}" for k, n in sorted(tally.counts.items()) if k.startswith("exit"))
    return Row(
        what=f"N-th failing call, {len(numbers)} of {len(listed)}",
        bar="final path absent, old or complete; a clean rerun succeeds",
        found=f"{len(tally.wrong)} violations; {ends}; {tally.counts['removal failed']} removals, "
        f"{tally.counts['and an error after complete work']} of them with an error after a complete output",
        met=not tally.wrong,
        notes=tally.wrong,
    )


def sizes(soak: Soak) -> Row:
    folder, number = soak.fresh("sizes"), soak.counts["sizes"]
    attacks.film(folder, frames=60)
    expected = attacks.unbroken(soak.server, folder, "out.mkv")
    size = attacks.finished_size(soak.server, folder)
    tally = attacks.file_sizes(soak.server, folder, attacks.sizes_around(size, number), expected)
    return Row(
        what=f"limited file size, {tally.cases} sizes",
        bar="exit 4, final path absent; a clean rerun succeeds",
        found=f"{len(tally.wrong)} violations; {dict(tally.counts)}",
        met=not tally.wrong and tally.counts["exit 4"] == tally.cases,
        notes=tally.wrong,
    )


def _memory(soak: Soak, what: str) -> dict[str, float]:
    number = soak.counts[what]
    words = [
        sys.executable,
        "-m",
        "benchmarks.soak.memory",
        what,
        str(number),
        str(soak.fresh(what)),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def frames(soak: Soak) -> Row:
    found = _memory(soak, "frames")
    number = soak.counts["frames"]
    return Row(
        what=f"memory, frames {number // 10:,} to {number:,}",
        bar="<= 5 MB drift, no frame lost",
        found=f"{found['drift'] / MB:+.1f} MB on {found['settled'] / MB:.0f} MB; "
        f"{found['frames_out']:.0f} of {number} frames in {found['seconds']:.0f} s",
        met=found["drift"] <= 5 * MB and found["frames_out"] == number,
    )


def files(soak: Soak) -> Row:
    found = _memory(soak, "files")
    return Row(
        what=f"{soak.counts['files']} files opened in one process",
        bar="<= 5 MB, descriptors constant",
        found=f"{found['drift'] / MB:+.1f} MB, {found['descriptors']:+.0f} descriptors",
        met=found["drift"] <= 5 * MB and found["descriptors"] == 0,
    )


def bomb(soak: Soak) -> Row:
    folder, side = soak.fresh("bomb"), 16_000
    png = png_bomb(side)
    (folder / "bomb.png").write_bytes(png)
    in_mov(folder / "honest.mov", png, side=side)
    in_mov(folder / "liar.mov", png, side=64)
    base = soak.server.run(["info", "gone.mp4"], folder=folder).memory
    runs = [
        soak.server.run(["upscale", path.name, "out.mkv", "-m", "bicubic"], folder=folder)
        for path in sorted(folder.iterdir())
    ]
    worst = max(run.memory for run in runs) - base
    wrong = [str(run) for run in runs if run.wrong or run.code != 3]
    return Row(
        what=f"an image bomb: {len(png) / MB:.1f} MB, {side}x{side}, in 3 wrappers",
        bar="<= 512 MB over the baseline, one-line error",
        found=f"{worst / MB:.0f} MB over {base / MB:.0f} MB; {len(wrong)} not one line with exit 3",
        met=worst <= 512 * MB and not wrong,
        notes=wrong,
    )


def interrupts(soak: Soak) -> Row:
    folder, number = soak.fresh("interrupts"), soak.counts["interrupts"]
    attacks.film(folder, frames=400)
    tally = attacks.interrupts(soak.server, folder, number, seed=soak.seed)
    return Row(
        what="time to stop after Ctrl-C",
        bar=f"<= 10 s, worst of {number}",
        found=f"{tally.worst_seconds:.2f} s; {dict(tally.counts)}",
        met=not tally.wrong and tally.worst_seconds <= 10,
        notes=tally.wrong,
    )


def bad_inputs(soak: Soak) -> Row:
    """Measure from starting the command, including Python, to its end."""
    folder = soak.fresh("bad")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("words\n" * 99, encoding="ascii")
    (folder / "bad.pth").write_bytes(b"no weights")
    times, wrong = [], []
    for turn in range(soak.counts["bad_inputs"]):
        name = ("empty.mp4", "text.mp4", "gone.mp4")[turn % 3]
        began = time.monotonic()
        words = [sys.executable, "-m", "vsr", "upscale", name, "out.mp4", "-m", "bad.pth"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        times.append(time.monotonic() - began)
        if done.returncode != 3:
            wrong.append(f"{name}: exit {done.returncode}: {done.stderr[-200:]}")
    return Row(
        what="time to a bad-input error",
        bar="<= 3 s, before any weights load",
        found=f"{max(times):.2f} s, worst of {len(times)}, including the start of Python and torch",
        met=not wrong and max(times) <= 3,
        notes=wrong,
    )


FIGURES: tuple[Callable[[Soak], Row], ...] = (
    mutations,
    kills,
    checkpoint_kills,
    calls,
    sizes,
    frames,
    files,
    bomb,
    interrupts,
    bad_inputs,
)


def show(row: Row) -> None:
    print(f"| {row.what} | {row.bar} | {row.found} | {'yes' if row.met else 'NO'} |", flush=True)


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description="Run all attacks.")
    parser.add_argument("--quick", action="store_true", help="Run fewer cases.")
    parser.add_argument(
        "--only", nargs="+", choices=[f.__name__ for f in FIGURES], help="Only these figures."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Folder for the table.")
    for name, number in FULL.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, help=f"Number of cases, default {number}."
        )
    words = parser.parse_args()
    counts = {
        k: n if vars(words)[k] is None else vars(words)[k]
        for k, n in (QUICK if words.quick else FULL).items()
    }
    rows = []
    print("| figure | bar | found | met |\n|---|---|---|---|", flush=True)
    if words.out is not None:
        words.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ForkServer() as server:
        soak = Soak(server=server, folder=Path(folder), counts=counts, seed=words.seed, out=words.out)
        for figure in FIGURES:
            if words.only is None or figure.__name__ in words.only:
                rows.append(figure(soak))
                show(rows[-1])
    for row in rows:
        for note in row.notes:
            print(f"{row.what}: {note}")
    if words.out is not None:
        table = [vars(row) for row in rows]
        (words.out / "soak.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    sys.exit(0 if all(row.met for row in rows) else 1)


if __name__ == "__main__":
    main()
