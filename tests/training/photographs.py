"""Small generated photographs for the tests of training, and recipes that run in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from vsr.models.archs.compact import CompactConfig
from vsr.models.archs.srresnet import SRResNetConfig
from vsr.training.degrade.degradation import CodecRange, Degradation
from vsr.training.generators import GeneratorSettings
from vsr.training.losses.discriminators import DiscriminatorConfig, SRGANConfig, UNetConfig
from vsr.training.losses.features import Features
from vsr.training.recipe import Adam, Adversarial, Losses, Perceptual, PoolSettings, Recipe

X264 = CodecRange(encoder="libx264", share=1.0, quality=(18, 28), presets=("veryfast",))
TINY_RECIPE = """
name = "tiny"
steps = 2
batch = 2
patch = 16
precision = "fp32"
holdout = 2
validate_every = 1
pool = {clips = 2, fresh = 1, every = 1}
generator = {compact = {nf = 4, nc = 1, scale = 2}}

[degrade]
frames = 2
size = 64

[[degrade.codecs]]
encoder = "libx264"
share = 1.0
quality = [20, 30]
presets = ["ultrafast"]
"""
"""A recipe of two steps, of which each takes milliseconds."""
VGG_LAYERS = (("relu1_2", 0.1), ("relu2_1", 1.0))


def photograph(seed: int, side: int = 96) -> Tensor:
    """Make smooth colours with sharp edges, `(3, side, side)` uint8, which a network can learn to sharpen."""
    generator = torch.Generator().manual_seed(seed)
    soft = torch.rand(1, 3, 6, 6, generator=generator)
    image = F.interpolate(soft, size=(side, side), mode="bicubic").clamp(0, 1)[0]
    for _ in range(12):
        y, x = torch.randint(0, side - 16, (2,), generator=generator).tolist()
        height, width = torch.randint(4, 16, (2,), generator=generator).tolist()
        image[:, y : y + height, x : x + width] = torch.rand(3, 1, 1, generator=generator)
    return image.mul(255).round().to(torch.uint8)


def write_photographs(folder: Path, number: int, side: int = 96) -> Path:
    """Write photographs into a folder, which is made if it is missing, and return it."""
    folder.mkdir(exist_ok=True)
    for i in range(number):
        Image.fromarray(photograph(i, side).permute(1, 2, 0).numpy()).save(folder / f"photo{i}.png")
    return folder


def write_recipe(folder: Path) -> Path:
    """Write `TINY_RECIPE` as a file, and return its path."""
    path = folder / "tiny.toml"
    path.write_text(TINY_RECIPE, encoding="utf-8")
    return path


def write_vgg(path: Path) -> Path:
    """Write VGG19 with random weights up to `VGG_LAYERS`, with the names of the normalised file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(Features(name for name, _ in VGG_LAYERS).state_dict(), path)
    return path


def tiny_recipe(steps: int = 60, *, scale: int = 2, clean: float = 0.5) -> Recipe:
    """Return a recipe with a network and clips so small that a step takes milliseconds."""
    return Recipe(
        name="tiny",
        generator=GeneratorSettings(compact=CompactConfig(nf=8, nc=2, scale=scale)),
        degrade=Degradation(frames=3, size=64, speed=2, clean=clean, codecs=(X264,)),
        adam=Adam(lr=2e-3),
        pool=PoolSettings(clips=8, kept=2, fresh=2, every=5),
        steps=steps,
        batch=4,
        patch=16,
        precision="fp32",
        validate_every=20,
        holdout=3,
    )


def tiny_muon(steps: int = 60) -> Recipe:
    """Return a recipe with orthogonal updates."""
    return replace(tiny_recipe(steps), name="tiny-muon", adam=Adam(lr=1e-3, muon=4.0))


def tiny_srgan(steps: int = 60) -> Recipe:
    """Return a recipe with batch norm in the generator, and batch norm and dropout in the discriminator."""
    discriminator = DiscriminatorConfig(srgan=SRGANConfig(nf=4, dense=8, dropout=0.4))
    return replace(
        tiny_recipe(steps),
        name="tiny-srgan",
        generator=GeneratorSettings(srresnet=SRResNetConfig(nf=8, nb=1, scale=2)),
        losses=Losses(
            pixel="mse", adversarial=Adversarial(discriminator=discriminator, weight=1e-3, lr=1e-3)
        ),
        adam=Adam(lr=1e-3),
    )


def tiny_crisp(steps: int = 60, *, warmup: int = 0) -> Recipe:
    """Return a recipe with all losses and the U-Net with spectral norm; it needs `write_vgg`."""
    unet = DiscriminatorConfig(unet=UNetConfig(nf=8))
    return replace(
        tiny_recipe(steps),
        name="tiny-crisp",
        losses=Losses(
            perceptual=Perceptual(layers=VGG_LAYERS, weight=0.1),
            adversarial=Adversarial(discriminator=unet, kind="relativistic", weight=5e-3, lr=1e-3),
            temporal=0.5,
            warmup=warmup,
        ),
    )


def pan(image: Tensor, size: int, frames: int, start: tuple[int, int], speed: tuple[int, int]) -> Tensor:
    """Move a window over `image` `(3, H, W)`: `(T, 3, size, size)`; pairs are (vertical, horizontal)."""
    corners = [(start[0] + speed[0] * i, start[1] + speed[1] * i) for i in range(frames)]
    return torch.stack([image[:, y : y + size, x : x + size] for y, x in corners])
