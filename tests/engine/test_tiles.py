"""Joined tiles equal the whole image: exactly if the halo covers the receptive field, smoothly if not."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.engine import tiles


def through_tiles(
    images: Tensor, net: nn.Module, *, scale: int, tile: int, radius: int, multiple: int = 1
) -> Tensor:
    height, width = images.shape[-2:]
    tiling = tiles.plan_tiles(height, width, tile=tile, radius=radius, multiple=multiple)
    canvas = tiles.Canvas(images, tiling, scale=scale)
    for index, window in enumerate(tiles.cut(images, tiling)):
        canvas.put(index, net(window))
    return canvas.result()


def convolutions(depth: int) -> nn.Module:
    torch.manual_seed(depth)
    layers = [nn.Conv2d(3, 3, 3, padding=1) for _ in range(depth)]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=2, mode="nearest")).requires_grad_(False)


@pytest.mark.parametrize("depth", [1, 3, 8])
@pytest.mark.parametrize("tile", [5, 16, 37])
def test_tiled_output_equals_untiled_when_halo_covers_receptive_field(depth: int, tile: int) -> None:
    torch.manual_seed(1)
    images = torch.rand(2, 3, 61, 83)
    net = convolutions(depth)
    # fp32 sums of 27 products of size about 1 differ by a few ulp between window sizes.
    torch.testing.assert_close(
        through_tiles(images, net, scale=2, tile=tile, radius=depth), net(images), rtol=0, atol=2e-6
    )


def test_a_halo_one_pixel_short_is_noticed() -> None:
    torch.manual_seed(1)
    images = torch.rand(1, 3, 61, 83)
    net = convolutions(4)
    short = through_tiles(images, net, scale=2, tile=16, radius=3)
    assert (short - net(images)).abs().max() > 1e-4


def test_every_size_is_covered_once_and_windows_are_equal_and_aligned() -> None:
    rng = random.Random(0)
    for _ in range(150):
        height, width, tile = rng.randint(1, 300), rng.randint(1, 300), rng.randint(1, 100)
        radius, multiple = rng.choice([0, 1, 5, 18, 64, 100]), rng.choice([1, 2, 4])
        tiling = tiles.plan_tiles(height, width, tile=tile, radius=radius, multiple=multiple)
        images = torch.rand(1, 1, height, width)
        double = nn.Upsample(scale_factor=2.0, mode="nearest")
        made = through_tiles(images, double, scale=2, tile=tile, radius=radius, multiple=multiple)
        # weights of a blend sum to one up to fp32 rounding
        torch.testing.assert_close(made, double(images), rtol=0, atol=1e-6)
        assert all(w.top % multiple == 0 and w.left % multiple == 0 for w in tiling.windows)
        assert len({w.bottom - w.top for w in tiling.windows}) <= 2
        rows = sorted({(w.top, w.bottom) for w in tiling.windows})
        for before, after in itertools.pairwise(rows):
            seam = (after[0] + before[1]) // 2
            assert min(seam - after[0], before[1] - seam) >= tiling.halo + tiling.overlap


def test_blended_tiles_of_a_deep_net_show_no_seam() -> None:
    """A wide blur has a receptive field that no halo covers: steps at seams stay below those of the image."""
    torch.manual_seed(2)
    kernel = torch.hann_window(2 * 120 + 1)
    kernel = (kernel / kernel.sum())[None, None, None].expand(3, 1, 1, -1)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, padding=(0, 120), groups=3)

    images = F.interpolate(torch.rand(1, 3, 6, 20), size=(90, 600), mode="bicubic").clamp(0, 1)
    whole = blur(images)
    made = through_tiles(images, blur, scale=1, tile=120, radius=120)  # type: ignore[arg-type]
    step = (made[..., 1:] - made[..., :-1]).abs().amax()
    assert step < 2 * (whole[..., 1:] - whole[..., :-1]).abs().amax()
    hard = torch.cat([blur(p) for p in images.split(120, dim=-1)], dim=-1)
    assert step < 0.2 * (hard[..., 1:] - hard[..., :-1]).abs().amax()
