"""Ten minutes of training on a GPU: compact-x4, its crisp partner and
rrdb-lite-x4, then tests and measurements.

Each part is a separate process with its share of the time and a limit, so that a part that fails or
hangs does not affect the others. Finished results are under `--out` when the next part begins. Batches
are as large as the GPU's memory permits, schedules are compressed to the available minutes, and the
crisp network starts from the new compact-x4.

    python -m benchmarks.training.gpu_training --pack 40 data train train2
    python -m benchmarks.training.gpu_training --data data --vgg vgg19.safetensors --out out --minutes 9.5
    python -m benchmarks.training.gpu_training --data data --vgg vgg19.safetensors --out out --quick


The first writes 40 MB of images of both folders into `data/`. `--pack` takes the held-out images first, then
one tile of each photograph, then more tiles, and keeps the tables of sources and of held-out files. `--quick`
does a few steps of each part on a CPU, to show that everything works.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.training.data.image_folder import HOLDOUT, SOURCES, find_images
from vsr.training.degrade.degradation import Augmentation, CodecRange
from vsr.training.recipe import PoolSettings, Recipe, read_recipe

SLACK = 20.0
"""Seconds beyond its share after which a part is ended, for opening its data and writing its result."""
LARGE = {"compact-x4": (64, 48), "compact-x4-crisp": (32, 32), "rrdb-lite-x4": (32, 48)}
"""Crops of a step, and their side in LR pixels."""
RATES = {"compact-x4": 1e-3, "compact-x4-crisp": 4e-4, "rrdb-lite-x4": 1.5e-3}
MUON = {"compact-x4": 10.0}
"""Learning rate of orthogonal updates where they were tested: Compacts with pixel losses."""
STEPS = 60_000
"""More steps than the time permits, so that `--minutes` determines the length of the schedule."""


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    share: float
    """Share of the minutes; parts on one line of `PLAN` run at the same time."""


PLAN: tuple[tuple[Part, ...], ...] = (
    (Part("compact-x4", 0.45), Part("rrdb-lite-x4", 0.45)),
    (Part("compact-x4-crisp", 0.3),),
    (Part("tests", 0.15),),
    (Part("networks", 0.1),),
)
"""Two trainings at the same time use a GPU well, since neither uses all of it:
measured on an H100 with two Compacts."""


def on_a_gpu(name: str) -> Recipe:
    """Return a recipe for training on a GPU: large batches, and
    photographs that are rotated and downscaled."""
    recipe = read_recipe(name)
    batch, patch = LARGE[name]
    codec = CodecRange(encoder="libx264", quality=(15, 31), presets=("veryfast", "medium", "medium"))
    vary = Augmentation(probability=0.6, rotation=45.0, reduction=(0.6, 1.0), channels=0.25)
    degrade = replace(
        recipe.degrade, size=384, clean=0.2, clean_yuv=0.5, soft_chroma=0.5, codecs=(codec,), vary=vary
    )
    return replace(
        recipe,
        batch=batch,
        patch=patch,
        steps=STEPS,
        validate_every=2_000,
        degrade=degrade,
        adam=replace(recipe.adam, lr=RATES[name], muon=MUON.get(name, 0.0)),
        pool=PoolSettings(clips=512, kept=3, fresh=16, every=20),
    )


def tiny(recipe: Recipe) -> Recipe:
    """Reduce a recipe so that a CPU finishes it in seconds."""
    pool = PoolSettings(clips=4, kept=2, fresh=2, every=2)
    return replace(recipe, batch=2, patch=24, steps=3, validate_every=3, pool=pool)


def train_one(name: str, asked: argparse.Namespace) -> None:
    """Train one network, in a process of its own."""
    import torch

    from vsr.models.load import load_generator
    from vsr.training.run.loop import train

    recipe = tiny(on_a_gpu(name)) if asked.quick else on_a_gpu(name)
    target = asked.out / f"{name}.safetensors"
    origin = asked.out / "compact-x4.safetensors"
    start = str(origin) if name == "compact-x4-crisp" and origin.is_file() else _start(name)
    weights = load_generator(start, fold=False).network.state_dict()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures = train(
        recipe,
        data=asked.data,
        output=target,
        minutes=asked.minutes,
        start=weights,
        device=device,
        vgg=asked.vgg if recipe.losses.perceptual else None,
    )
    print(name, "from", start, *(f"{key} {value:+.3f}" for key, value in figures.items()), flush=True)


def _start(name: str) -> str:
    """Return the name of the included model to start from; a crisp partner starts from the faithful one."""
    return name.removesuffix("-crisp")


def command(part: Part, asked: argparse.Namespace, minutes: float) -> list[str]:
    """Return the command of a part."""
    if part.name == "tests":
        return [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "needs_cuda",
            *(["--collect-only"] if asked.quick else []),
        ]
    if part.name == "networks":
        small = ["--device", "cpu", "--size", "96", "64"] if asked.quick else []
        return [sys.executable, "-m", "benchmarks.speed.gpu", "--out", str(asked.out), *small]
    words = [
        sys.executable,
        "-m",
        "benchmarks.training.gpu_training",
        "--one",
        part.name,
        "--out",
        str(asked.out),
    ]
    words += itertools.chain.from_iterable(("--data", str(folder)) for folder in asked.data)
    words += ["--vgg", str(asked.vgg), "--minutes", f"{minutes:.3f}"]
    return words + (["--quick"] if asked.quick else [])


def run_line(line: Sequence[Part], asked: argparse.Namespace) -> Iterator[str]:
    """Run parts at the same time, and yield one line of the table for each when it ends."""
    running = []
    for part in line:
        minutes = part.share * asked.minutes
        log = (asked.out / f"{part.name}.log").open("w", encoding="utf-8")
        environment = {**os.environ, "VSR_REQUIRE_CUDA": "" if asked.quick else "1"}
        began = time.monotonic()
        process = subprocess.Popen(
            command(part, asked, minutes - SLACK / 60 if minutes > 1 else minutes),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        running.append((part, process, began, began + (60 * minutes + SLACK if not asked.quick else 600)))
        log.close()
    for part, process, began, until in running:
        try:
            process.wait(max(1.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()  # training saves a checkpoint; tests and benchmarks end
            process.wait()
        words = (asked.out / f"{part.name}.log").read_text(encoding="utf-8").strip().splitlines()
        last = words[-1] if words else "no output"
        yield f"{part.name}: exit {process.returncode}, {time.monotonic() - began:.0f} s: {last}"


def pack(megabytes: float, target: Path, folders: Sequence[Path]) -> None:
    """Copy images of several folders into one, up to a size, beginning with one tile of each photograph.

    Held-out images come first, because validation requires them.
    """
    target.mkdir(parents=True)
    rows, held_out, left = list[dict[str, str]](), list[str](), megabytes * 1e6
    turns: dict[int, list[tuple[Path, dict[str, str]]]] = {}
    for folder in folders:
        table = {row["file"]: row for row in _rows(folder / SOURCES)}
        out = {row["file"] for row in _rows(folder / HOLDOUT)}
        seen: dict[str, int] = {}
        for picture in find_images(folder):
            turn = seen[picture.photograph] = seen.get(picture.photograph, -1) + 1
            turn = -1 if picture.path.name in out else turn
            turns.setdefault(turn, []).append((picture.path, table.get(picture.path.name, {})))
        held_out += sorted(out)
    for path, row in (entry for turn in sorted(turns) for entry in turns[turn]):
        if path.stat().st_size > left:
            continue
        left -= path.stat().st_size
        shutil.copyfile(path, target / path.name)
        rows.append({"file": path.name, **row})
    names = list(dict.fromkeys(key for row in rows for key in row))
    _write(target / SOURCES, names, rows)
    _write(target / HOLDOUT, ["file"], [{"file": name} for name in held_out if (target / name).is_file()])
    print(f"{len(rows)} images, {megabytes - left / 1e6:.1f} MB in {target}")


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _write(path: Path, names: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]  # unchanged, including quotes
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--vgg", type=Path)
    parser.add_argument("--out", type=Path, default=Path("card"))
    parser.add_argument("--minutes", type=float, default=9.5, help="minutes for all parts together")
    parser.add_argument("--quick", action="store_true", help="a few steps of each part, on a CPU")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--pack", type=float, metavar="MB", help="combine folders into one: TARGET FOLDER...")
    parser.add_argument("folders", nargs="*", type=Path)
    asked = parser.parse_args()
    if asked.pack is not None:
        pack(asked.pack, asked.folders[0], asked.folders[1:])
        return
    if not asked.data or asked.vgg is None:
        parser.error("--data and --vgg are required")
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.one:
        train_one(asked.one, asked)
        return
    for line in PLAN:
        for words in run_line(line, asked):
            print(words, flush=True)


if __name__ == "__main__":
    main()
