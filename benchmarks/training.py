"""Speed of training, side by side in one run: the step, and the clips and crops that it is fed.

A step is measured alone, on crops drawn beforehand; clips alone, on one thread, as a worker of the pool
makes them; crops alone, as the training thread cuts them out of a full pool. Rounds go through all rows in
turn, so that a machine that slows down slows all of them; each cell is the median with its spread. A step
takes `batch` crops and uses up `fresh / every` clips of its recipe's degradation set: "feeds" is how many
steps the data could feed in the time of one.

On the CPU a step is measured as a run does it, and with torch's own convolutions in fp32 and in bf16.
On a card it is measured twice: as the host does it, and as a CUDA graph that cuts its own crops.

    python benchmarks/training.py --out bench         (VSR_MATERIAL: folder with real pictures)
    python benchmarks/training.py --only cuda --seconds 0.7 --rounds 3
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
from vsr.training.batches.device_buffer import Cut, Shelf
from vsr.training.batches.pool import make_clip, workers_for
from vsr.training.data.datasets import Material
from vsr.training.degrade.clips import degrade_batch
from vsr.training.degrade.degradation import Degradation
from vsr.training.recipe import Recipe, read_degradation, read_recipe
from vsr.training.run import steps as train_steps
from vsr.training.run.loop import material_for
from vsr.training.run.replay import Replay, tuned
from vsr.training.run.state import new_state
from vsr.training.run.steps import train_step

CPU_RECIPES = ("fast-x2", "compact-x2")
THREADS = (1, 2)
CUDA_RECIPES = ("fast-x2", "compact-x2", "compact-x4", "realesrnet")
CARD = torch.device("cuda", 0)
LARGE = (64, 48)
"""Crops, and their side in LR pixels, of another step of the small networks: a card has room for it."""
SETS = ("bicubic", "video", "mild", "real-esrgan")
GOAL = 5
"""Times as fast as the step that the data should be."""

Work = Callable[[], float]
"""Does something for a while and returns how many of it a second."""


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
    """Things a second, where `work` makes `count` of them and is done `number` times."""
    begin = time.perf_counter()
    for _ in range(number):
        work()
    return number * count / (time.perf_counter() - begin)


def rate_for(work: Callable[[], object], seconds: float, finish: Callable[[], object]) -> float:
    """Times a second that `work` is done, for so long; `finish` waits for what it started."""
    begin, number = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        work()
        number += 1
    finish()
    return number / (time.perf_counter() - begin)


def interleaved(works: Mapping[tuple[str, str], Work], rounds: int) -> list[Row]:
    """Go through all `rounds` times after one warm-up each; keys are what it is, and its unit."""
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
"""Of a step on the CPU: precision, and whether convolutions are torch's in any case."""


@contextmanager
def torchs_convolutions(wanted: bool) -> Iterator[None]:
    """Meanwhile none is computed by Winograd's way."""
    if not wanted:
        yield
        return
    with mock.patch.object(train_steps, "quick", return_value=nullcontext()):
        yield


def step_work(recipe: Recipe, material: Material, *, threads: int, steps: int, torchs: bool = False) -> Work:
    """Steps of a recipe's run on the CPU, on crops of a few clips."""
    torch.set_num_threads(threads)
    state = new_state(recipe)
    clips = [make_clip(material, recipe, 0, i) for i in range(4)]
    batches = itertools.cycle([draw_batch(clips, recipe, random.Random(i)) for i in range(4)])

    def work() -> float:
        torch.set_num_threads(threads)
        with torchs_convolutions(torchs):
            return rate(lambda: train_step(state, recipe, next(batches), factor=1e-3), steps)

    return work


def card_work(recipe: Recipe, material: Material, card: torch.device, *, graph: bool, seconds: float) -> Work:
    """Steps of a recipe's run on a card: as the host does them, or replayed, with the cutting of crops."""
    recipe = replace(recipe, pool=replace(recipe.pool, clips=4, fresh=4))
    state, rng = new_state(recipe, device=card), random.Random(0)
    clips = [make_clip(material, recipe, 0, i) for i in range(4)]
    if not graph:
        batches = itertools.cycle([draw_batch(clips, recipe, random.Random(i)).to(card) for i in range(4)])
        return lambda: rate_for(
            lambda: train_step(state, recipe, next(batches), factor=1e-3), seconds, lambda: None
        )  # train_step reads the loss and the norm, so it waits by itself
    shelf, replay = Shelf(clips[0], recipe, card), Replay(state, recipe)
    for clip in clips:
        shelf.put(clip)
    return lambda: rate_for(
        lambda: replay.step(Cut(shelf, shelf.rows(draw(clips, recipe, rng))), 1e-3), seconds, replay.rest
    )


def clip_work(recipe: Recipe, material: Material, number: int) -> Work:
    """Clips, as one thread of the pool makes them: read, cut, degraded, coded."""
    counter = itertools.count()

    def work() -> float:
        torch.set_num_threads(1)
        return rate(lambda: make_clip(material, recipe, next(counter), 0), number)

    return work


def workers_of(recipe: Recipe) -> int:
    """Threads that make clips in a run of the recipe on a card of this machine."""
    return recipe.pool.workers or workers_for(torch.device("cuda"), os.cpu_count() or 1)


def workers_work(recipe: Recipe, material: Material, number: int) -> Work:
    """Clips, by as many threads at once as a run has."""
    counter = itertools.count()

    def work() -> float:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(workers_of(recipe)) as pool:
            begin = time.perf_counter()
            made = [pool.submit(make_clip, material, recipe, next(counter), 0) for _ in range(number)]
            for clip in made:
                clip.result()
            return number / (time.perf_counter() - begin)

    return work


def crop_work(recipe: Recipe, material: Material, number: int) -> Work:
    """Crops, as a step takes them from clips in memory."""
    clips = [make_clip(material, recipe, 0, i) for i in range(4)]
    rng = random.Random(0)

    def work() -> float:
        torch.set_num_threads(1)
        return rate(lambda: draw_batch(clips, recipe, rng), number, recipe.batch)

    return work


def device_work(recipe: Recipe, material: Material, number: int) -> Work:
    """Pictures degraded on the GPU, a batch at a time; `degrade.degrade_batch`."""
    hr = torch.stack([material.draw(random.Random(i)).hr[0] for i in range(recipe.batch)]).cuda()
    rng = random.Random(0)

    def batch() -> None:
        degrade_batch(hr, recipe.degrade, scale=recipe.scale, rng=rng)
        torch.cuda.synchronize()

    return lambda: rate(batch, number, recipe.batch)


def with_set(recipe: Recipe, name: str) -> Recipe:
    """The recipe with another degradation set."""
    return replace(recipe, degrade=from_table(dict(read_degradation(name)), Degradation, where=name))


def pictures(folder: Path) -> Path:
    """The real training pictures if they are there, else clouds with edges, of the same size."""
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
        material, _ = material_for(recipe, [data])
        for threads, (way, (precision, torchs)) in itertools.product(THREADS, WAYS.items()):
            own = replace(recipe, precision=precision)
            work = step_work(own, material, threads=threads, steps=steps, torchs=torchs)
            yield (f"step {name}, CPU, threads {threads}{way}", "it/s"), work
    for name in SETS:
        recipe = with_set(read_recipe(CPU_RECIPES[0]), name)
        material, _ = material_for(recipe, [data])
        yield (f"clips {name}, x2, one thread", "clips/s"), clip_work(recipe, material, clips)
        yield (f"crops {name}, x2, one thread", "crops/s"), crop_work(recipe, material, 5 * steps)


def cuda_works(
    data: Path, names: Sequence[str], *, seconds: float, clips: int
) -> Iterator[tuple[tuple[str, str], Work]]:
    for name in names:
        recipe = read_recipe(name)
        material, _ = material_for(recipe, [data])
        shapes = [(recipe.batch, recipe.patch)] + ([LARGE] if recipe.generator.family == "compact" else [])
        for batch, patch in shapes:
            sized = replace(recipe, batch=batch, patch=patch)
            for graph in (False, True):
                way = "graph" if graph else "eager"
                work = card_work(sized, material, CARD, graph=graph, seconds=seconds)
                yield (f"step {name}, CUDA, {way}, {batch} crops of {patch}", "it/s"), work
        count = workers_of(recipe)
        work = workers_work(recipe, material, clips * count)
        yield (f"clips {name}, its {count} threads", "clips/s"), work
    if "realesrnet" not in names:
        return
    recipe = read_recipe("realesrnet")
    material, _ = material_for(recipe, [data])
    yield ("pictures real-esrgan, x4, CUDA", "pictures/s"), device_work(recipe, material, 2)


def feeds(rows: list[Row]) -> list[list[str]]:
    """For each step, how many times over the clips of each set, and crops, could feed it."""
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
        crops = 0.0 if "graph" in what else min(cut) / (speed * recipe.batch)  # a graph cuts its own
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
    parser.add_argument("--steps", type=int, default=8, help="of a step's round")
    parser.add_argument("--clips", type=int, default=6, help="of a clip's round")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round of a card's step")
    parser.add_argument("--recipes", nargs="+", default=CUDA_RECIPES, help="whose steps a card does")
    parser.add_argument("--only", choices=("cpu", "cuda"), help="leave the other out")
    wish = parser.parse_args()
    keep_freed_memory()  # as the command does
    works: dict[tuple[str, str], Work] = {}
    on_card = wish.only != "cpu" and torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder, tuned(CARD if on_card else torch.device("cpu")):
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
            f"How many times over the data feed a step; at least {GOAL} x is the goal.",
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
