"""What a training run is: a TOML file of these frozen dataclasses, and nothing else but data and a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vsr.models.archs.compact import CompactConfig

Encoder = Literal["libx264", "libx265", "libvpx-vp9", "mpeg4"]


SMALLEST_HEVC = 64
"""LR pixels: on smaller pictures libx265 writes beyond its memory (seen with 48x32 in PyAV 18.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecRange:
    """One encoder that LR clips are sent through, and how it is set."""

    encoder: Encoder
    share: float
    """Of the coded clips, relative to the other encoders' shares."""
    quality: tuple[int, int]
    """Lowest and highest CRF, drawn evenly; for mpeg4 the quantiser."""
    presets: tuple[str, ...]
    """Drawn evenly: x264's and x265's presets, VP9's cpu-used; mpeg4 takes none (one empty word)."""

    def __post_init__(self) -> None:
        if self.share <= 0 or not self.presets or self.quality[0] > self.quality[1]:
            raise ValueError(f"{self.encoder}: share > 0, a preset and a rising quality range are needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """How LR clips are made from photographs."""

    frames: int = 5
    """Pictures in a clip; the codec sees all of them."""
    size: int = 480
    """Side of an HR picture of a clip."""
    speed: int = 4
    """Largest pan along each axis, in HR pixels a picture."""
    clean: float = 0.2
    """Share of the clips that no codec touches."""
    codecs: tuple[CodecRange, ...]

    def __post_init__(self) -> None:
        if not self.codecs or not 0 <= self.clean <= 1 or self.frames < 1 or self.size < 1 or self.speed < 0:
            raise ValueError("degrade needs codecs, frames and size of at least 1, and clean in [0, 1]")


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

    def __post_init__(self) -> None:
        if self.fresh < 1 or self.clips % self.fresh or self.every < 1 or self.kept < 1:
            raise ValueError(f"pool.clips ({self.clips}) must be a multiple of pool.fresh ({self.fresh})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A fidelity run: L1, Adam, one cycle of the learning rate, averaged weights."""

    name: str
    network: CompactConfig
    degrade: Degradation
    pool: PoolSettings = PoolSettings()
    steps: int
    seed: int = 0
    batch: int = 16
    patch: int = 40
    """Side of a crop in LR pixels."""
    lr: float = 1e-3
    """Highest learning rate."""
    final_lr: float = 1e-5
    warmup: float = 0.03
    """Share of the run in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged weights in a step; they warm up, see `loop.ema_decay`."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the convolutions; weights and optimiser are fp32."""
    validate_every: int = 500
    """Steps between two measurements on the photographs held out; a checkpoint is written at each."""
    holdout: int = 12
    """One in so many photographs is held out."""

    def __post_init__(self) -> None:
        scale = self.network.scale
        if self.degrade.size % (2 * scale):
            raise ValueError(f"degrade.size = {self.degrade.size} must be a multiple of {2 * scale}")
        if not 0 < self.patch <= self.degrade.size // scale:
            raise ValueError(f"patch = {self.patch} must be 1 to {self.degrade.size // scale}")
        hevc = any(codec.encoder == "libx265" for codec in self.degrade.codecs)
        if hevc and self.degrade.size // scale < SMALLEST_HEVC:
            raise ValueError(f"degrade.size must be at least {SMALLEST_HEVC * scale} for libx265")
        if min(self.steps, self.batch, self.validate_every) < 1 or self.holdout < 2:
            raise ValueError("steps, batch and validate_every must be at least 1, holdout at least 2")
