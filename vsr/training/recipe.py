"""The settings of a training run, read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from vsr.errors import ConfigError
from vsr.settings.toml import from_table, read_table
from vsr.training.degrade.degradation import CodecRange, Degradation, check_lr_size
from vsr.training.generators import GeneratorSettings
from vsr.training.losses.discriminators import DiscriminatorConfig
from vsr.training.losses.features import convolutions_to
from vsr.training.losses.loss_settings import AdversarialKind, PixelKind
from vsr.training.schedule import Schedule

__all__ = ["CodecRange", "Degradation", "Losses", "PoolSettings", "Recipe", "read_recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many clips are in memory, and how fast they are replaced."""

    clips: int = 128
    kept: int = 2
    """Pictures kept of each clip."""
    fresh: int = 8
    """Clips replaced at a time."""
    every: int = 25
    """Steps after which they are."""
    workers: int | None = None
    """Threads that make clips, beside the one that trains; what they make is the same however many there are.
    None leaves it to the device and the number of cores, see `pool.workers_for`."""

    def __post_init__(self) -> None:
        workers = 1 if self.workers is None else self.workers
        if min(self.clips, self.kept, self.fresh, self.every, workers) < 1:
            raise ValueError("pool: clips, kept, fresh, every and workers must be at least 1")
        if self.clips % self.fresh:
            raise ValueError(f"pool.clips ({self.clips}) must be a multiple of pool.fresh ({self.fresh})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Perceptual:
    """Distance of VGG19's features."""

    layers: tuple[tuple[str, float], ...]
    """Names and weights: `conv5_4` before its ReLU (ESRGAN), `relu5_4` after it (SRGAN)."""
    criterion: Literal["l1", "mse"] = "l1"
    weight: float = 1.0
    accumulate: bool = False
    """Every convolution up to the layer counts as much as the layer itself."""

    def __post_init__(self) -> None:
        convolutions_to(name for name, _ in self.layers)  # raises where one is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversarial:
    """A discriminator, and how generator and discriminator are set against each other."""

    discriminator: DiscriminatorConfig
    kind: AdversarialKind = "vanilla"
    weight: float = 5e-3
    """Of the generator's part; the discriminator's own loss always counts fully."""
    lr: float = 1e-4
    """Of the discriminator; its schedule is the generator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What the generator is trained on: the weighted sum of these."""

    pixel: PixelKind = "l1"
    pixel_weight: float = 1.0
    perceptual: Perceptual | None = None
    adversarial: Adversarial | None = None
    temporal: float = 0.0
    """Weight of the difference between the same content in two differently coded pictures of a clip."""
    tone: float = 0.0
    """Weight of the difference between means of blocks: features and discriminators let colours drift."""
    flat: float = 0.0
    """Weight of what flat pictures come out differently by: without it a GAN leaves a faint grid on skies."""
    chroma: float = 0.0
    """Weight of what Cb and Cr differ by: pixel losses of R, G and B are mostly of luma."""
    grid: float = 0.0
    """Weight of what the error differs by between the places of a pixel shuffle; costs next to nothing."""
    warmup: int = 0
    """Steps of pixel loss alone, with weight 1, before all others set in (ESRGAN's two stages in one run)."""

    def __post_init__(self) -> None:
        weights = (self.pixel_weight, self.temporal, self.tone, self.flat, self.chroma, self.grid)
        if min(*weights, self.warmup) < 0:
            raise ValueError("losses: weights and warmup must not be negative")
        if not (self.pixel_weight or self.perceptual or self.adversarial):
            raise ValueError("losses: nothing to train on; give pixel_weight, perceptual or adversarial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """The optimiser of the generator; the discriminator's has the same betas."""

    lr: float = 1e-3
    """Highest learning rate of the generator."""
    betas: tuple[float, float] = (0.9, 0.99)  # of the field's recipes, BasicSR's options
    eps: float = 1e-8
    muon: float = 0.0
    """Of the generator's convolutions of features: learning rate of their orthogonal steps, as a multiple of
    `lr`; see `muon`. 0 leaves all to Adam."""

    def __post_init__(self) -> None:
        if self.muon < 0:
            raise ValueError(f"adam.muon = {self.muon:g} must not be negative")
        if self.lr <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"adam needs lr > 0 and betas in [0, 1), not {self.lr:g} and {self.betas}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run."""

    name: str
    note: str = ""
    """One line for people: what it is, and what it starts from."""
    generator: GeneratorSettings
    degrade: Degradation
    losses: Losses = Losses()
    adam: Adam = Adam()
    schedule: Schedule = field(default_factory=Schedule)
    pool: PoolSettings = PoolSettings()
    steps: int
    seed: int = 0
    batch: int = 16
    patch: int = 40
    """Side of a crop in LR pixels."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    ema: float = 0.999
    """Decay of the averaged weights in a step; they warm up, see `steps.ema_decay`. 0 averages nothing."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the convolutions; weights and optimisers are fp32. `auto` is bf16 where the device is quicker in it,
    see `engine.device.choose_dtype`."""
    validate_every: int = 500
    """Steps between two measurements on the material held out; a checkpoint is written at each."""
    checkpoints: int = 2
    """How many are kept."""
    judged_by: tuple[str, ...] = ()
    """Conditions of `evaluate` whose mean gain is `gain`, which decides what is best; empty takes all. `own`
    is LR as this recipe's degradations make it."""
    holdout: int = 12
    """One in so many photographs or files, or the last of so many parts of a video, is held out."""

    def __post_init__(self) -> None:
        scale = self.generator.scale
        check_lr_size(self.degrade, scale)
        if not 0 < self.patch <= self.degrade.size // scale:
            raise ValueError(f"patch = {self.patch} must be 1 to {self.degrade.size // scale}")
        if min(self.steps, self.batch, self.validate_every, self.checkpoints) < 1 or self.holdout < 2:
            raise ValueError("steps, batch, validate_every and checkpoints must be at least 1, holdout 2")
        if self.clip <= 0 or not 0 <= self.ema < 1:
            raise ValueError(f"clip = {self.clip:g} must be above 0, ema = {self.ema:g} in [0, 1)")
        self._check_temporal()

    def _check_temporal(self) -> None:
        if not self.losses.temporal:
            return
        if self.batch % 2 or self.pool.kept < 2:
            raise ValueError("losses.temporal needs an even batch and pool.kept of at least 2")
        travel = self.degrade.speed * (self.degrade.frames - 1)
        if travel >= self.patch * self.scale:  # near a border a crop cannot follow the pan at all
            raise ValueError(
                f"losses.temporal: a pan moves up to {travel} pixels (degrade.speed, frames), a crop has"
                f" {self.patch * self.scale}; make patch larger"
            )

    @property
    def scale(self) -> int:
        """HR side over LR side."""
        return self.generator.scale


def facts(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values; two recipes are equal where these are."""
    return asdict(recipe)


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in _folder("train").glob("*.toml"))


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe: one of the package's by name, or a TOML file.

    Its `degrade` is a table, or the name of one of the package's (`pipelines/degrade`).

    Raises:
        ConfigError: there is none, or a key is unknown or of the wrong type.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = _folder("train") / f"{name}.toml"
        if not path.is_file():
            raise ConfigError(
                f"recipe {name!r} is unknown; known are {', '.join(recipe_names())}, or a .toml"
            )
    table = read_table(path)
    degrade = table.get("degrade")
    if isinstance(degrade, str):
        table["degrade"] = read_degradation(degrade)
    return from_table(table, Recipe, where=path.name)


def read_degradation(name: str) -> Mapping[str, Any]:
    """The table of a degradation that comes with the package.

    Raises:
        ConfigError: there is none of that name.
    """
    path = _folder("degrade") / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _folder("degrade").glob("*.toml")))
        raise ConfigError(f"degrade = {name!r} is unknown; known are {known}, or a table")
    return read_table(path)


def _folder(name: str) -> Path:
    """`pipelines/<name>`: inside the package where it is installed, else the checkout's."""
    package = Path(str(resources.files("vsr")))
    inside = package / "_pipelines" / name
    return inside if inside.is_dir() else package.parent / "pipelines" / name
