"""Speed of training in one run: the step, and the clips and crops for it.

A step is measured alone, on crops drawn before; clips alone, on one thread, as a worker of the pool makes
them; crops alone, as the training thread cuts them from a full pool. Rounds go through all rows in turn, so
that a change of the machine's speed affects all of them. Each cell is the median with its spread. A step
takes `batch` crops and uses up `fresh / every` clips of its recipe's degradation. "feeds" is the number of
steps for which the data suffice in the time of one step.

On the CPU, a step is measured as in a run, and with torch's own convolutions in fp32 and in bf16. On a GPU,
it is measured as the host runs it, and as a CUDA graph that cuts its own crops.

    python -m benchmarks.speed.training --out bench         (VSR_MATERIAL: folder with real images)
    python -m benchmarks.speed.training --only cuda --seconds 0.7 --rounds 3
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from unittest import mock

import torch

from vsr.engine.allocator import keep_freed_memory
from vsr.media.png import save_png
from vsr.settings.toml import from_table
from vsr.training.batches.crops import draw, draw_batch
from vsr.training.batches.device_buffer import BufferedBatch, ClipBuffer
from vsr.training.batches.pool import make_clip, workers_for
from vsr.training.data.datasets import Dataset
from vsr.training.degrade.clips import degrade_batch
from vsr.training.degrade.degradation import Degradation
from vsr.training.recipe import Recipe, read_degradation, read_recipe
from vsr.training.run import steps as train_steps
from vsr.training.run.loop import datasets_for
from vsr.training.run.replay import Replay, fast_cuda_settings
from vsr.training.run.state import new_state
from vsr.training.run.steps import train_step

CPU_RECIPES = ("fast-x2", "compact-x2")
THREADS = (1, 2)
CUDA_RECIPES = ("fast-x2", "compact-x2", "compact-x4", "realesrnet")
GPU = torch.device("cuda", 0)
LARGE = (64, 48)
"""Number of crops, and their side in LR pixels, of a larger step of the
small networks, which fits into a GPU."""
SETS = ("bicubic", "video", "mild", "real-esrgan")
GOAL = 5
"""Required speed of the data, as a multiple of the step's speed."""

Work = Callable[[], float]
"""Does something for a while, and returns its rate per second."""


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    unit: str
    rates: list[float]

    @property
    def middle(self) -> float:
        return statistics.median(self.rates)

    def cells(self) -> list[str]:
        spread = f"{min(self.rates):.2f} to {max(self.rates):.2f}"
        return [self.what, f"{self.middle:.2f}", self.unit, spread]


def rate(work: Callable[[], object], number: int, count: int = 1) -> float:
    """Return the rate per second, if `work` makes `count` items and runs `number` times."""
    begin = time.perf_counter()
    for _ in range(number):
        work()
    return number * count / (time.perf_counter() - begin)


def rate_for(work: Callable[[], object], seconds: float, finish: Callable[[], object]) -> float:
    """Return how often a second `work` runs during `seconds`;
    `finish` waits for the work that it launched."""
    begin, number = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        work()
        number += 1
    finish()
    return number / (time.perf_counter() - begin)


def interleaved(works: Mapping[tuple[str, str], Work], rounds: int) -> list[Row]:
    """Run all works in turn for `rounds` after one warm-up each; keys are the name and the unit."""
    for work in works.values():
        work()
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            rates[key].append(work())
    return [Row(*key, found) for key, found in rates.items()]


WAYS: Mapping[str, tuple[Literal["auto", "fp32", "bf16"], bool]] = {
    "": ("auto", False),
    ", torch in fp32": ("fp32", True),
    ", torch in bf16": ("bf16", True),
}
"""For a step on the CPU: the precision, and whether torch computes all convolutions."""


@contextmanager
def torchs_convolutions(wanted: bool) -> Iterator[None]:
    """Exclude Winograd convolutions in the context."""
    if not wanted:
        yield
        return
    with mock.patch.object(train_steps, "fast_convolutions", return_value=nullcontext()):
        yield


def step_work(recipe: Recipe, dataset: Dataset, *, threads: int, steps: int, torchs: bool = False) -> Work:
    """Return steps of a recipe's run on the CPU, on crops of a few clips."""
    torch.set_num_threads(threads)
    state = new_state(recipe)
    clips = [make_clip(dataset, recipe, 0, i) for i in range(4)]
    batches = itertools.cycle([draw_batch(clips, recipe, random.Random(i)) for i in range(4)])

    def work() -> float:
        torch.set_num_threads(threads)
        with torchs_convolutions(torchs):
            return rate(lambda: train_step(state, recipe, next(batches), factor=1e-3), steps)

    return work


def gpu_work(recipe: Recipe, dataset: Dataset, gpu: torch.device, *, graph: bool, seconds: float) -> Work:
    """Return steps of a recipe's run on a GPU: run by the host, or
    replayed including the cutting of crops."""
    recipe = replace(recipe, pool=replace(recipe.pool, clips=4, fresh=4))
    state, rng = new_state(recipe, device=gpu), random.Random(0)
    clips = [make_clip(dataset, recipe, 0, i) for i in range(4)]
    if not graph:
        batches = itertools.cycle([draw_batch(clips, recipe, random.Random(i)).to(gpu) for i in range(4)])
        return lambda: rate_for(
            lambda: train_step(state, recipe, next(batches), factor=1e-3), seconds, lambda: None
        )  # train_step reads the loss and the norm, which synchronises
    buffer, replay = ClipBuffer(clips[0], recipe, gpu), Replay(state, recipe)
    for clip in clips:
        buffer.add(clip)
    return lambda: rate_for(
        lambda: replay.step(BufferedBatch(buffer, buffer.rows(draw(clips, recipe, rng))), 1e-3),
        seconds,
        replay.wait,
    )


def clip_work(recipe: Recipe, dataset: Dataset, number: int) -> Work:
    """Return the making of clips on one thread of the pool: reading, cutting, degrading, coding."""
    counter = itertools.count()

    def work() -> float:
        torch.set_num_threads(1)
        return rate(lambda: make_clip(dataset, recipe, next(counter), 0), number)

    return work


def workers_of(recipe: Recipe) -> int:
    """Return the number of threads that make clips in a run of the recipe on a GPU of this machine."""
    return recipe.pool.workers or workers_for(torch.device("cuda"), os.cpu_count() or 1)


def workers_work(recipe: Recipe, dataset: Dataset, number: int) -> Work:
    """Return the making of clips on as many threads as a run has."""
    counter = itertools.count()

    def work() -> float:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(workers_of(recipe)) as pool:
            begin = time.perf_counter()
            made = [pool.submit(make_clip, dataset, recipe, next(counter), 0) for _ in range(number)]
            for clip in made:
                clip.result()
            return number / (time.perf_counter() - begin)

    return work


def crop_work(recipe: Recipe, dataset: Dataset, number: int) -> Work:
    """Return the cutting of crops for a step from clips in memory."""
    clips = [make_clip(dataset, recipe, 0, i) for i in range(4)]
    rng = random.Random(0)

    def work() -> float:
        torch.set_num_threads(1)
        return rate(lambda: draw_batch(clips, recipe, rng), number, recipe.batch)

    return work


def device_work(recipe: Recipe, dataset: Dataset, number: int) -> Work:
    """Return the degradation of images on the GPU, one batch at a time, with `clips.degrade_batch`."""
    hr = torch.stack([dataset.draw(random.Random(i)).hr[0] for i in range(recipe.batch)]).cuda()
    rng = random.Random(0)

    def batch() -> None:
        degrade_batch(hr, recipe.degrade, scale=recipe.scale, rng=rng)
        torch.cuda.synchronize()

    return lambda: rate(batch, number, recipe.batch)


def with_set(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe with another degradation."""
    return replace(recipe, degrade=from_table(dict(read_degradation(name)), Degradation, where=name))


def pictures(folder: Path) -> Path:
    """Return the real training images if available, otherwise clouds with edges of the same size."""
    given = os.environ.get("VSR_MATERIAL")
    if given and Path(given, "data", "train").is_dir():
        return Path(given, "data", "train")
    generator = torch.Generator().manual_seed(0)
    for i in range(16):
        image = torch.zeros(1, 3, 512, 512)
        for octave in range(2, 9):
            noise = torch.rand(1, 3, 2**octave, 2**octave, generator=generator) - 0.5
            image += torch.nn.functional.interpolate(noise, (512, 512), mode="bicubic") / octave
        image = torch.where(image > 0.2, 1 - image, image)
        save_png((image[0] + 0.5).clamp(0, 1), folder / f"picture{i:02d}.png")
    return folder


def cpu_works(data: Path, *, steps: int, clips: int) -> Iterator[tuple[tuple[str, str], Work]]:
    for name in CPU_RECIPES:
        recipe = read_recipe(name)
        dataset, _ = datasets_for(recipe, [data])
        for threads, (way, (precision, torchs)) in itertools.product(THREADS, WAYS.items()):
            own = replace(recipe, precision=precision)
            work = step_work(own, dataset, threads=threads, steps=steps, torchs=torchs)
            yield (f"step {name}, CPU, threads {threads}{way}", "it/s"), work
    for name in SETS:
        recipe = with_set(read_recipe(CPU_RECIPES[0]), name)
        dataset, _ = datasets_for(recipe, [data])
        yield (f"clips {name}, x2, one thread", "clips/s"), clip_work(recipe, dataset, clips)
        yield (f"crops {name}, x2, one thread", "crops/s"), crop_work(recipe, dataset, 5 * steps)


def cuda_works(
    data: Path, names: Sequence[str], *, seconds: float, clips: int
) -> Iterator[tuple[tuple[str, str], Work]]:
    for name in names:
        recipe = read_recipe(name)
        dataset, _ = datasets_for(recipe, [data])
        shapes = [(recipe.batch, recipe.patch)] + ([LARGE] if recipe.generator.family == "compact" else [])
        for batch, patch in shapes:
            sized = replace(recipe, batch=batch, patch=patch)
            for graph in (False, True):
                way = "graph" if graph else "eager"
                work = gpu_work(sized, dataset, GPU, graph=graph, seconds=seconds)
                yield (f"step {name}, CUDA, {way}, {batch} crops of {patch}", "it/s"), work
        count = workers_of(recipe)
        work = workers_work(recipe, dataset, clips * count)
        yield (f"clips {name}, its {count} threads", "clips/s"), work
    if "realesrnet" not in names:
        return
    recipe = read_recipe("realesrnet")
    dataset, _ = datasets_for(recipe, [data])
    yield ("pictures real-esrgan, x4, CUDA", "pictures/s"), device_work(recipe, dataset, 2)


def feeds(rows: list[Row]) -> list[list[str]]:
    """Return for each step how many times the clips of each set, and the crops, would suffice for it."""
    found = {row.what: row.middle for row in rows}
    table = []
    for what, speed in found.items():
        if not what.startswith("step ") or "torch" in what:
            continue
        recipe = read_recipe(what.split()[1].rstrip(","))
        taken, count = speed * recipe.pool.fresh / recipe.pool.every, workers_of(recipe)
        threads = count if "CUDA" in what else recipe.pool.workers or 1
        clips = [found.get(f"clips {name}, x2, one thread", 0.0) * threads / taken for name in SETS]
        own = found.get(f"clips {recipe.name}, its {count} threads", 0.0) / taken
        cut = [found.get(f"crops {name}, x2, one thread", 0.0) for name in SETS]
        crops = 0.0 if "graph" in what else min(cut) / (speed * recipe.batch)  # a graph cuts its own crops
        cells = [f"{times:.1f} x" if times else "" for times in (*clips, own, crops)]
        table.append([what.removeprefix("step "), *cells])
    return table


def markdown(head: list[str], cells: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for training.json and training.md")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps in a round")
    parser.add_argument("--clips", type=int, default=6, help="clips in a round")
    parser.add_argument("--seconds", type=float, default=1.0, help="time of a round of steps on a GPU")
    parser.add_argument("--recipes", nargs="+", default=CUDA_RECIPES, help="recipes whose steps run on a GPU")
    parser.add_argument("--only", choices=("cpu", "cuda"), help="measure only this device")
    wish = parser.parse_args()
    keep_freed_memory()  # as the command line does
    works: dict[tuple[str, str], Work] = {}
    on_card = wish.only != "cpu" and torch.cuda.is_available()
    with (
        tempfile.TemporaryDirectory() as folder,
        fast_cuda_settings(GPU if on_card else torch.device("cpu")),
    ):
        data = pictures(Path(folder))
        if wish.only != "cuda":
            works |= dict(cpu_works(data, steps=wish.steps, clips=wish.clips))
        if on_card:
            works |= dict(cuda_works(data, wish.recipes, seconds=wish.seconds, clips=wish.clips))
        rows = interleaved(works, wish.rounds)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    text = "\n\n".join(
        [
            f"{device}, {os.cpu_count()} cores, torch {torch.__version__}, {wish.rounds} rounds",
            markdown(["what", "median", "unit", "spread"], [row.cells() for row in rows]),
            f"How many times the data suffice for a step; the goal is at least {GOAL} x.",
            markdown(["step", *(f"clips {name}" for name in SETS), "clips, its own", "crops"], feeds(rows)),
        ]
    )
    print(text)
    if wish.out is not None:
        wish.out.mkdir(parents=True, exist_ok=True)
        (wish.out / "training.md").write_text(text + "\n", encoding="utf-8")
        found = {row.what: {"unit": row.unit, "rates": row.rates} for row in rows}
        (wish.out / "training.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
