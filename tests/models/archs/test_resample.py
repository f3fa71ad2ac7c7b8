"""Filters equal Pillow's, and do not change an axis whose size stays."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from vsr.models.archs.resample import Resample, ResampleConfig, resize

KINDS = ("bicubic", "lanczos")
SIZES = [(74, 106), (55, 80), (37, 200), (20, 31), (9, 200), (1, 1), (111, 17)]


def _pillow(image: torch.Tensor, height: int, width: int, kind: str) -> torch.Tensor:
    method = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}[kind]
    planes = [np.array(Image.fromarray(plane.numpy()).resize((width, height), method)) for plane in image[0]]
    return torch.from_numpy(np.stack(planes))[None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resize_equals_pillows_enlarging_and_shrinking(kind, height, width):
    image = torch.rand(1, 3, 37, 53)
    # Pillow sums in float64, this package in fp32; weights differ by a few units in the last place.
    torch.testing.assert_close(
        resize(image, height=height, width=width, kind=kind),
        _pillow(image, height, width, kind),
        rtol=0,
        atol=2e-5,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scale_one_is_the_identity_bit_for_bit(kind):
    image = torch.randn(2, 3, 13, 7)
    assert torch.equal(Resample(ResampleConfig(kind=kind, scale=Fraction(1)))(image), image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", ["1/2", "2/3", "1", "3/2", "2", "16"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 14)])
def test_sides_are_multiplied_and_rounded_down(kind, scale, height, width):
    scale = Fraction(scale)
    sr = Resample(ResampleConfig(kind=kind, scale=scale))(torch.rand(1, 3, height, width))
    assert sr.shape[-2:] == (max(int(height * scale), 1), max(int(width * scale), 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(60, 90), (10, 20)])
def test_a_flat_image_stays_flat_up_to_its_borders(kind, size):
    flat = torch.full((1, 3, 31, 47), 0.7)
    sr = resize(flat, height=size[0], width=size[1], kind=kind)
    torch.testing.assert_close(sr, torch.full_like(sr, 0.7), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_shrinking_does_not_alias(kind):
    stripes = torch.arange(64).remainder(2).float().expand(1, 3, 64, 64)
    inner = resize(stripes, height=16, width=16, kind=kind)[..., 2:-2, 2:-2]
    # Four pixels become one: a filter that is not widened would select black or white stripes.
    assert (inner - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_computed_in_fp32(kind, dtype):
    image = torch.rand(1, 3, 12, 12).to(dtype)
    sr = resize(image, height=30, width=30, kind=kind)
    assert torch.equal(sr, resize(image.float(), height=30, width=30, kind=kind).to(dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_channels_last_is_kept(kind):
    image = torch.rand(1, 3, 12, 10).contiguous(memory_format=torch.channels_last)
    sr = resize(image, height=24, width=25, kind=kind)
    assert sr.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(sr, resize(image.contiguous(), height=24, width=25, kind=kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", ["1/2", "2/3", "3/2", "2", "4"])
def test_pixels_beyond_the_receptive_radius_have_no_effect(kind, scale):
    network = Resample(ResampleConfig(kind=kind, scale=Fraction(scale)))
    lr = torch.rand(1, 1, 48, 48, requires_grad=True)
    sr = network(lr)
    for row in range(sr.shape[-2] // 3, sr.shape[-2] // 2):
        (gradient,) = torch.autograd.grad(sr[:, :, row].sum(), lr, retain_graph=True)
        seen = (gradient.abs().sum((0, 1, 3)) > 1e-9).nonzero()
        at = row / network.scale
        assert int(seen.min()) >= int(at) - network.receptive_radius
        assert int(seen.max()) <= int(at) + network.receptive_radius
