"""A real network on real frames: 16 bits, tiles and batches give the result
of a plain fp32 run on the whole frame."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vsr.color.convert import to_rgb
from vsr.engine.upscaler import Upscaler
from vsr.media.decode.source import open_video
from vsr.metrics import psnr
from vsr.models.load import load_generator

pytestmark = pytest.mark.needs_material


@pytest.fixture(scope="module")
def network(material: Path) -> nn.Module:
    return load_generator(material / "data" / "weights" / "realesr-animevideov3-x4.safetensors").network


@pytest.fixture(scope="module")
def frames(material: Path) -> Tensor:
    """Return a part of two frames, `(2, 3, 240, 320)`, large enough
    for several tiles and fast on two cores."""
    with open_video(material / "data" / "clips" / "anime_onepiece_demo.mp4") as video:
        pictures = [to_rgb(f.planes, f.color, f.layout) for f in islice(video.frames(), 30, 32)]
    return torch.stack(pictures)[..., 100:340, 200:520]


@pytest.fixture(scope="module")
def whole(network: nn.Module, frames: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(frame[None]) for frame in frames])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("tile", "batch"), [(0, 1), (0, 2), (96, 1), (61, 2), (200, 1)])
def test_the_result_equals_a_plain_fp32_run(
    network: nn.Module, frames: Tensor, whole: Tensor, precision: str, tile: int, batch: int
) -> None:
    upscaler = Upscaler(network, device_name="cpu", precision=precision, tile=tile, batch=batch)
    # fp32: only the order of sums differs. bf16: 8 bits of mantissa in 18
    # layers, with the skip connection in fp32.
    least = {"fp32": 90, "bf16": 50}[precision]
    assert psnr(upscaler(frames), whole, border=0) >= least


def test_the_whole_frame_with_default_settings_equals_a_plain_fp32_run(
    network: nn.Module, material: Path
) -> None:
    with open_video(material / "data" / "clips" / "anime_onepiece_demo.mp4") as video:
        frame = next(iter(video.frames()))
    image = to_rgb(frame.planes, frame.color, frame.layout)[None]
    with torch.inference_mode():
        plain = network(image)
    assert psnr(Upscaler(network, device_name="cpu")(image), plain, border=0) >= 50
