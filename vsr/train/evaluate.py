"""How much better than bicubic a network is, on photographs that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.color.spec import Matrix
from vsr.metrics import psnr_y
from vsr.train.data import Picture, read_image
from vsr.train.degrade import Coding, pan, reduce, transcode
from vsr.train.recipe import Recipe

CONDITIONS: dict[str, Coding | None] = {
    "clean": None,
    **{
        f"crf{crf}": Coding(encoder="libx264", quality=crf, preset="medium", matrix=Matrix.SMPTE170M)
        for crf in (18, 23, 28)
    },
}
"""Name in the log to what the LR clip went through."""
SPEED = 3
"""HR pixels that the measured pan moves in a picture, along both axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One picture to upscale, and what it is compared with."""

    condition: str
    lr: Tensor
    """`(1, 3, H, W)` float32."""
    hr: Tensor
    """`(3, H * scale, W * scale)` float32, [0, 1]."""
    bicubic: float
    """Y-PSNR of the bicubic enlargement, in dB."""


def make_trials(pictures: Sequence[Picture], recipe: Recipe) -> list[Trial]:
    """Make the trials: the first tile of each photograph, under every condition."""
    first = {picture.photograph: picture for picture in reversed(pictures)}
    scale = recipe.network.scale
    trials = []
    for picture in first.values():
        hr = pan(read_image(picture.path), *_window(recipe), (0, 0), (SPEED, SPEED))
        lr = reduce(hr, scale)
        for name, coding in CONDITIONS.items():
            seen = transcode(lr, coding) if coding else lr / 255
            trials.append(_trial(name, seen[-1:], hr[-1] / 255, scale))
    return trials


def _window(recipe: Recipe) -> tuple[int, int]:
    """Side and number of the pictures of a measured clip: any picture that can be trained on holds it."""
    frames = min(4, recipe.degrade.frames)
    unit = 2 * recipe.network.scale
    return (recipe.degrade.size - SPEED * (frames - 1)) // unit * unit, frames


def _trial(condition: str, lr: Tensor, hr: Tensor, scale: int) -> Trial:
    # antialias selects a = -0.5, the kernel of MATLAB and PIL; it filters nothing when enlarging
    enlarged = F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True)[0]
    return Trial(condition=condition, lr=lr, hr=hr, bicubic=_score(enlarged, hr, scale))


def _score(sr: Tensor, hr: Tensor, scale: int) -> float:
    eight_bit = sr.float().clamp(0, 1).mul(255).round().div(255)
    return psnr_y(eight_bit, hr, border=scale)


def gains(network: nn.Module, trials: Sequence[Trial], scale: int) -> dict[str, float]:
    """Mean Y-PSNR over bicubic in dB, by condition."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        with torch.inference_mode():
            sr = network(trial.lr.contiguous(memory_format=torch.channels_last))[0]
        found.setdefault(trial.condition, []).append(_score(sr, trial.hr, scale) - trial.bicubic)
    return {name: sum(values) / len(values) for name, values in found.items()}
