"""RLFN as a registered architecture: Kong et al., "Residual Local Feature Network", CVPR workshops 2022.

Neither `vsr` nor spandrel has it; with it, all weights of the material can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    channels: int
    blocks: int
    scale: int


def detect(state: Mapping[str, Tensor]) -> Config | None:
    if "block_1.c1_r.weight" not in state:
        return None
    blocks = len({key.split(".")[0] for key in state if key.startswith("block_")})
    return Config(
        channels=len(state["conv_1.weight"]),
        blocks=blocks,
        scale=round((len(state["upsampler.0.weight"]) / 3) ** 0.5),
    )


class Attention(nn.Module):
    """Enhanced spatial attention."""

    def __init__(self, channels: int, inner: int = 16) -> None:
        super().__init__()
        self.conv1, self.conv_f = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=2)
        self.conv3 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv4 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        small = self.conv3(F.max_pool2d(self.conv2(first), 7, stride=3))
        large = F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(large + self.conv_f(first)))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("c1_r", "c2_r", "c3_r"):
            setattr(self, name, nn.Conv2d(channels, channels, 3, padding=1))
        self.c5, self.esa = nn.Conv2d(channels, channels, 1), Attention(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            out = F.leaky_relu(conv(out), 0.05)
        return self.esa(self.c5(out + x))


class RLFN(nn.Module):
    """The network, which was trained on images in [0, 255]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.scale, self.receptive_radius, self.blocks = config.scale, 1024, config.blocks
        self.conv_1 = nn.Conv2d(3, config.channels, 3, padding=1)
        for number in range(config.blocks):
            setattr(self, f"block_{number + 1}", Block(config.channels))
        self.conv_2 = nn.Conv2d(config.channels, config.channels, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(config.channels, 3 * config.scale**2, 3, padding=1), nn.PixelShuffle(config.scale)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = out = self.conv_1(x * 255)
        for number in range(self.blocks):
            out = getattr(self, f"block_{number + 1}")(out)
        return self.upsampler(self.conv_2(out) + features) / 255


build = RLFN


def register(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register this module as a package would that is installed in `folder`."""
    facts = folder / "vsr_rlfn-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: vsr-rlfn\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(f"[vsr.architectures]\nrlfn = {__name__}\n")
    monkeypatch.syspath_prepend(str(folder))
