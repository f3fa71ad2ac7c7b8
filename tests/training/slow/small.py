"""The included recipes, reduced so that one core does two hundred
steps in seconds, and training data for them.

What characterises a recipe stays: its losses and their weights, the kind of discriminator, the optimiser, the
schedule, the degradation, and the family of the network. Widths, depths, crops and the pool are smaller.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from tests.training.photographs import photograph
from vsr.training.generators import GeneratorSettings
from vsr.training.losses.discriminators import DiscriminatorConfig
from vsr.training.recipe import Losses, Recipe

STEPS = 200
SIZES: dict[str, dict[str, int]] = {
    "rrdb": {"nf": 16, "nb": 1, "gc": 8},
    "srresnet": {"nf": 16, "nb": 2},
    "msrresnet": {"nf": 16, "nb": 2},
    "compact": {},  # the published sizes are small enough, and the start of 64 x 16 is known to be difficult
}
"""Settings of the generators, by family."""
DISCRIMINATOR_SIZES: dict[str, dict[str, int]] = {"srgan": {"nf": 16, "dense": 64}}
"""Settings of the discriminators, by kind; the others have only `nf`."""
PATCH, HR_PATCH = 16, 32
"""Sides of a crop: LR pixels at x2, HR pixels for larger scales. ESRGAN's discriminator needs at least 32."""
HEVC_SIDE = 64
"""LR pixels of a clip, the minimum of libx265."""
VGG19 = [64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, *[512] * 4, 0]
"""Channels of configuration E of arXiv 1409.1556; 0 is a pooling layer."""
LAST_GAIN = 8.0
"""Factor on the last layer of the random VGG19; squared distances grow by its square."""


def small(recipe: Recipe, steps: int = STEPS) -> Recipe:
    """Return a reduced recipe, with checkpoints at the middle and at the end."""
    scale = recipe.scale
    return replace(
        recipe,
        generator=_generator(recipe.generator),
        losses=_losses(recipe, steps),
        degrade=replace(recipe.degrade, size=HEVC_SIDE * scale),
        pool=replace(recipe.pool, clips=12, fresh=2, every=20, workers=1),
        steps=steps,
        batch=4,
        patch=PATCH if scale == 2 else HR_PATCH // scale,
        validate_every=steps // 2,
        holdout=4,
    )


def _generator(settings: GeneratorSettings) -> GeneratorSettings:
    smaller: Any = replace(settings.config, **SIZES[settings.family])  # type: ignore[arg-type]
    return GeneratorSettings(**{settings.family: smaller})


def _losses(recipe: Recipe, steps: int) -> Losses:
    losses = replace(recipe.losses, warmup=round(recipe.losses.warmup * steps / recipe.steps))
    if losses.adversarial is None:
        return losses
    kind = losses.adversarial.discriminator.kind
    own = getattr(losses.adversarial.discriminator, kind)
    smaller = replace(own, **DISCRIMINATOR_SIZES.get(kind, {"nf": 16}))
    adversarial = replace(losses.adversarial, discriminator=DiscriminatorConfig(**{kind: smaller}))
    return replace(losses, adversarial=adversarial)


def write_pictures(folder: Path, number: int = 8) -> None:
    """Write images of 288 pixels, each with nine generated photographs."""
    for i in range(number):
        tiles = [photograph(9 * i + j) for j in range(9)]
        rows = [torch.cat(tiles[3 * j : 3 * j + 3], 2) for j in range(3)]
        Image.fromarray(torch.cat(rows, 1).permute(1, 2, 0).numpy()).save(folder / f"picture{i}.png")


def write_vgg(path: Path) -> None:
    """Write VGG19 with torchvision's names and random weights that keep
    the scale of features (He initialisation).

    Random layers make images more similar, while trained layers separate them: at 5.4 the squared distance is
    a fiftieth of that at 2.2. The last layer compensates for this, so that the losses are not negligible.
    """
    layers: list[nn.Module] = []
    before = 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for channels in VGG19:
            if not channels:
                layers.append(nn.MaxPool2d(2))
                continue
            conv = nn.Conv2d(before, channels, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)
            layers += [conv, nn.ReLU()]
            before = channels
        conv.weight.data.mul_(LAST_GAIN)
    torch.save({f"features.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}, path)
