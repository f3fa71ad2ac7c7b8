"""Published weights have the PSNR on Set5 that their authors' own code measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vsr.metrics import psnr_y
from vsr.models.load import load_generator


@pytest.mark.needs_material
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("bicubic", 28.43),
        ("srgan-leftthomas-x4", 30.66),
        ("realesr-animevideov3-x4", 28.25),
        ("realesr-general-x4v3", 26.64),
    ],
)
def test_psnr_on_set5_x4_equals_the_known_value(model, expected, material):
    file = material / "data" / "weights" / f"{model}.safetensors"
    network = load_generator(file if file.exists() else model, scale=4).network
    folder = material / "data" / "testsets" / "Set5" / "x4"
    scores = [_score(network, lr, folder / "HR" / lr.name) for lr in sorted((folder / "LR").glob("*.png"))]
    assert len(scores) == 5
    # Rounding to 8 bits and the borders of a filter may change 0.05 dB; a wrong kernel or range costs more.
    assert abs(sum(scores) / 5 - expected) < 0.05


@torch.inference_mode()
def _score(network: torch.nn.Module, lr: Path, hr: Path) -> float:
    sr = network(_read(lr)).clamp(0, 1).mul(255).round().div(255)
    return psnr_y(sr, _read(hr), border=4)


def _read(path: Path) -> torch.Tensor:
    pixels = np.array(Image.open(path).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(255)
