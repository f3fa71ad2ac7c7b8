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
    """How many clips are held in memory, and how often they are replaced."""

    clips: int = 128
    kept: int = 2
    """Frames kept of each clip."""
    fresh: int = 8
    """Clips that are replaced at a time."""
    every: int = 25
    """Steps between two replacements."""
    workers: int | None = None
    """Threads that make clips, besides the one that trains. The clips do not depend on the number of threads.
    None chooses it by the device and the number of cores, see `pool.workers_for`."""

    def __post_init__(self) -> None:
        workers = 1 if self.workers is None else self.workers
        if min(self.clips, self.kept, self.fresh, self.every, workers) < 1:
            raise ValueError("pool: clips, kept, fresh, every and workers must be at least 1")
        if self.clips % self.fresh:
            raise ValueError(f"pool.clips ({self.clips}) must be a multiple of pool.fresh ({self.fresh})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Perceptual:
    """Perceptual loss: the distance between features of VGG19."""

    layers: tuple[tuple[str, float], ...]
    """Names and weights of layers: `conv5_4` is before its ReLU (ESRGAN), `relu5_4` after it (SRGAN)."""
    criterion: Literal["l1", "mse"] = "l1"
    weight: float = 1.0
    accumulate: bool = False
    """Whether every convolution up to the layer has the same weight as the layer."""

    def __post_init__(self) -> None:
        convolutions_to(name for name, _ in self.layers)  # raises an error for an unknown name


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversarial:
    """Adversarial loss: the discriminator, and the loss of both networks."""

    discriminator: DiscriminatorConfig
    kind: AdversarialKind = "vanilla"
    weight: float = 5e-3
    """Weight of the generator's loss; the discriminator's own loss has weight 1."""
    lr: float = 1e-4
    """Learning rate of the discriminator; its schedule is the generator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The loss of the generator: a weighted sum of these terms."""

    pixel: PixelKind = "l1"
    pixel_weight: float = 1.0
    perceptual: Perceptual | None = None
    adversarial: Adversarial | None = None
    temporal: float = 0.0
    """Weight of the difference between the outputs for the same content in two frames of a clip."""
    tone: float = 0.0
    """Weight of the low-frequency colour loss, the difference between block means. Without it, perceptual and
    adversarial losses let colours drift."""
    flat: float = 0.0
    """Weight of the constant-colour loss, the error on images of one colour. Without
    it, a GAN leaves a faint grid on skies."""
    chroma: float = 0.0
    """Weight of the difference in Cb and Cr, since a pixel loss on R, G and B is dominated by luma."""
    grid: float = 0.0
    """Weight of the differences in mean error between the positions of a
    pixel shuffle; it costs almost no time."""
    warmup: int = 0
    """Number of first steps with the pixel loss alone, with weight 1 (ESRGAN's two stages in one run)."""

    def __post_init__(self) -> None:
        weights = (self.pixel_weight, self.temporal, self.tone, self.flat, self.chroma, self.grid)
        if min(*weights, self.warmup) < 0:
            raise ValueError("losses: weights and warmup must not be negative")
        if not (self.pixel_weight or self.perceptual or self.adversarial):
            raise ValueError("losses: all weights are 0. Give pixel_weight, perceptual or adversarial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Settings of the generator's optimiser; the discriminator's has the same betas."""

    lr: float = 1e-3
    """Peak learning rate of the generator."""
    betas: tuple[float, float] = (0.9, 0.99)  # as in BasicSR's options
    eps: float = 1e-8
    muon: float = 0.0
    """Learning rate of Muon's orthogonal updates for the inner convolutions of the generator, as a multiple
    of `lr`; see `vsr.training.run.muon`. 0 trains all weights with Adam."""

    def __post_init__(self) -> None:
        if self.muon < 0:
            raise ValueError(f"adam.muon = {self.muon:g} must not be negative")
        if self.lr <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"adam requires lr > 0 and betas in [0, 1), not {self.lr:g} and {self.betas}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings of a training run."""

    name: str
    note: str = ""
    """One line for the user: the purpose of the recipe and its initial weights."""
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
    """Gradients with a larger norm are scaled down to this norm."""
    ema: float = 0.999
    """Decay a step of the averaged weights; it is smaller at first, see
    `steps.ema_decay`. 0 disables the average."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of the convolutions; weights and optimisers are fp32. `auto` is bf16 where the device is
    faster with it, see `engine.device.choose_dtype`."""
    validate_every: int = 500
    """Steps between two validations on held-out data; each writes a checkpoint."""
    checkpoints: int = 2
    """Number of checkpoints that are kept."""
    judged_by: tuple[str, ...] = ()
    """Validation conditions of `evaluate` whose mean `gain` decides which weights are best; empty means all.
    `own` is LR made by this recipe's degradation."""
    holdout: int = 12
    """One in this many photographs or files is held out; of a single video, the last of this many parts."""

    def __post_init__(self) -> None:
        scale = self.generator.scale
        check_lr_size(self.degrade, scale)
        if not 0 < self.patch <= self.degrade.size // scale:
            raise ValueError(f"patch = {self.patch} must be 1 to {self.degrade.size // scale}")
        if min(self.steps, self.batch, self.validate_every, self.checkpoints) < 1 or self.holdout < 2:
            raise ValueError(
                "steps, batch, validate_every and checkpoints must be at least 1, holdout at least 2"
            )
        if self.clip <= 0 or not 0 <= self.ema < 1:
            raise ValueError(f"clip = {self.clip:g} must be above 0, ema = {self.ema:g} in [0, 1)")
        self._check_temporal()

    def _check_temporal(self) -> None:
        if not self.losses.temporal:
            return
        if self.batch % 2 or self.pool.kept < 2:
            raise ValueError("losses.temporal requires an even batch and pool.kept of at least 2")
        travel = self.degrade.speed * (self.degrade.frames - 1)
        if travel >= self.patch * self.scale:  # near a border, no crop could contain the same content
            raise ValueError(
                f"losses.temporal: a pan moves up to {travel} pixels (degrade.speed and frames), but a crop"
                f" has {self.patch * self.scale}. Increase patch"
            )

    @property
    def scale(self) -> int:
        """HR side / LR side."""
        return self.generator.scale


def facts(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values; two recipes are equal if these are."""
    return asdict(recipe)


def recipe_names() -> list[str]:
    """Return the names of the recipes that the package includes."""
    return sorted(path.stem for path in _folder("train").glob("*.toml"))


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe: one that the package includes, by name, or a TOML file.

    The key `degrade` of a recipe is a table or the name of one in `pipelines/degrade`.

    Raises:
        ConfigError: The recipe does not exist, or a key is unknown or of the wrong type.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = _folder("train") / f"{name}.toml"
        if not path.is_file():
            raise ConfigError(
                f"recipe {name!r} is unknown. Known recipes are {', '.join(recipe_names())};"
                " a .toml file also works"
            )
    table = read_table(path)
    degrade = table.get("degrade")
    if isinstance(degrade, str):
        table["degrade"] = read_degradation(degrade)
    return from_table(table, Recipe, where=path.name)


def read_degradation(name: str) -> Mapping[str, Any]:
    """Read the table of a degradation that the package includes.

    Raises:
        ConfigError: No degradation has this name.
    """
    path = _folder("degrade") / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _folder("degrade").glob("*.toml")))
        raise ConfigError(f"degrade = {name!r} is unknown. Known names are {known}; a table also works")
    return read_table(path)


def _folder(name: str) -> Path:
    """Return `pipelines/<name>`, in the package if it is installed, otherwise in the checkout."""
    package = Path(str(resources.files("vsr")))
    inside = package / "_pipelines" / name
    return inside if inside.is_dir() else package.parent / "pipelines" / name
