"""Small made-up photographs for the tests of training, and a recipe small enough for seconds."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vsr.models.archs.compact import CompactConfig
from vsr.train.recipe import CodecRange, Degradation, PoolSettings, Recipe

X264 = CodecRange(encoder="libx264", share=1.0, quality=(18, 28), presets=("veryfast",))


def photograph(seed: int, side: int = 96) -> Tensor:
    """Soft colours with sharp edges, `(3, side, side)` uint8: content that a network can learn to sharpen."""
    generator = torch.Generator().manual_seed(seed)
    soft = torch.rand(1, 3, 6, 6, generator=generator)
    image = F.interpolate(soft, size=(side, side), mode="bicubic").clamp(0, 1)[0]
    for _ in range(12):
        y, x = torch.randint(0, side - 16, (2,), generator=generator).tolist()
        height, width = torch.randint(4, 16, (2,), generator=generator).tolist()
        image[:, y : y + height, x : x + width] = torch.rand(3, 1, 1, generator=generator)
    return image.mul(255).round().to(torch.uint8)


def write_photographs(folder: Path, number: int, side: int = 96) -> None:
    for i in range(number):
        Image.fromarray(photograph(i, side).permute(1, 2, 0).numpy()).save(folder / f"photo{i}.png")


def tiny_recipe(steps: int = 60, *, scale: int = 2, clean: float = 0.5) -> Recipe:
    """A network and clips so small that a step takes milliseconds."""
    return Recipe(
        name="tiny",
        network=CompactConfig(nf=8, nc=2, scale=scale),
        degrade=Degradation(frames=3, size=64, speed=2, clean=clean, codecs=(X264,)),
        pool=PoolSettings(clips=8, kept=2, fresh=2, every=5),
        steps=steps,
        batch=4,
        patch=16,
        lr=2e-3,
        precision="fp32",
        validate_every=20,
        holdout=3,
    )
