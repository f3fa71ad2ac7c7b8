"""Post-processes a trained Compact, see `vsr.training.finish`: exact chroma and no grid.

    python -m benchmarks.training.finish fast-x4 --partner fast-x4-crisp --data train -o new.safetensors

LR is made from the data according to a recipe (`--recipe`, by default that of the name, otherwise `fast-x4`):
half of the crops are clean with soft chroma, half are coded. The metadata of the weight file are kept.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open

from vsr.models.archs.compact import Compact
from vsr.models.catalog import MODELS
from vsr.models.load import load_generator
from vsr.training.batches.crops import Batch, draw_batch
from vsr.training.batches.pool import make_clip
from vsr.training.data.datasets import Dataset
from vsr.training.finish import SHARE, finished
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run.checkpoint import write_tensors
from vsr.training.run.loop import datasets_for

CLIPS = 40
"""Number of crops of clean LR, and of coded LR."""
CROPS = 4
"""Crops of a batch."""
SIDE = 64
"""Side of a crop in LR pixels."""


def crops(known: Dataset, recipe: Recipe, *, clean: float, soft: float) -> list[Batch]:
    """Return batches of crops, the same in each call."""
    degrade = replace(recipe.degrade, clean=clean, soft_chroma=soft)
    recipe = replace(recipe, degrade=degrade, batch=CROPS, patch=SIDE, seed=7)
    found = []
    for i in range(CLIPS):
        clip = make_clip(known, recipe, 0, i)
        found.append(draw_batch([clip], recipe, random.Random(f"finish/{i}")))
    return found


def compact(name: str) -> Compact:
    """Return the network of a name or a file, without a partner."""
    network = load_generator(name, fold=False).network
    if not isinstance(network, Compact):
        raise SystemExit(f"{name} is a {type(network).__name__}, but a Compact is required")
    return network


def finish(
    name: str,
    partner: str | None,
    recipe: Recipe,
    data: Sequence[Path],
    target: Path,
    *,
    even: bool,
    share: float,
) -> None:
    """Write the post-processed network of a name or a file."""
    network = compact(name)
    known, _ = datasets_for(recipe, data)
    made = finished(
        network,
        crops(known, recipe, clean=1.0, soft=1.0),
        crops(known, recipe, clean=0.0, soft=0.5),
        partner=compact(partner) if partner else None,
        even=even,
        share=share,
    )
    path = MODELS[name].path if name in MODELS else Path(name)
    assert path is not None
    with safe_open(path, "pt") as file:
        head = dict(file.metadata() or {})
    tensors = {key: value.contiguous() for key, value in made.state_dict().items()}
    write_tensors(target, tensors, {**head, "finished": "vsr.training.finish"})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="name of a model, or a weight file")
    parser.add_argument("--partner", help="model with which --strength interpolates it")
    parser.add_argument("--even", action="store_true", help="also remove the grid, for crisp networks")
    parser.add_argument("--share", type=float, default=SHARE, help="weight of the solution from all features")
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--recipe")
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    recipe = read_recipe(asked.recipe or (asked.name if asked.name in MODELS else "fast-x4"))
    finish(asked.name, asked.partner, recipe, asked.data, asked.output, even=asked.even, share=asked.share)
    print(asked.output)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
