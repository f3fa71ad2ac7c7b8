"""Single degradations against references: FFmpeg's and libjpeg's encoders, PIL's filters, and statistics."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tests.training.photographs import photograph
from vsr.training.degrade import operations as op
from vsr.training.degrade.degradation import JpegMode, Mode, Sharpen


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(value: float, number: int = 1, side: int = 256) -> Tensor:
    return torch.full((number, 3, side, side), value)


def pictures(number: int = 2, side: int = 96) -> Tensor:
    return torch.stack([photograph(i, side) for i in range(number)]) / 255


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float((a - b).square().mean()))


def test_each_image_is_filtered_by_its_own_kernel() -> None:
    kernels = torch.zeros(2, 5, 5)
    kernels[0, 2, 2] = 1  # identity
    kernels[1, 2, 3] = 1  # the pixel to the right
    images = pictures()
    found = op.blur(images, kernels)
    torch.testing.assert_close(found[0], images[0])
    torch.testing.assert_close(found[1, :, :, :-1], images[1, :, :, 1:])


def test_a_kernel_may_be_larger_than_the_image() -> None:
    found = op.blur(flat(0.3, side=6), torch.full((1, 21, 21), 1 / 441))
    torch.testing.assert_close(found, flat(0.3, side=6))


@pytest.mark.parametrize("size", [(41, 60), (96, 31), (150, 131)])
def test_lanczos_equals_pils(size: tuple[int, int]) -> None:
    muted = photograph(0, 96) // 2 + 64  # prevents overshoot, which PIL clips between its passes
    ours = op.resize(muted[None] / 255, size, "lanczos", antialias=True)[0].mul(255).round()
    image = Image.fromarray(muted.permute(1, 2, 0).numpy())
    theirs = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS)).astype(float)
    # PIL rounds to 8 bits after each pass: one code value of rounding
    assert np.abs(ours.permute(1, 2, 0).numpy() - theirs).max() <= 1


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("antialias", [True, False])
def test_resizing_keeps_an_image_of_one_colour(mode: Mode, antialias: bool) -> None:
    for size in ((37, 91), (150, 133)):
        found = op.resize(flat(0.4, side=96), size, mode, antialias=antialias)
        torch.testing.assert_close(found, torch.full((1, 3, *size), 0.4), rtol=0, atol=1e-5)


def test_antialiasing_prevents_aliasing_of_fine_detail() -> None:
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    folded = op.resize(stripes, (64, 21), "bilinear", antialias=False)
    clean = op.resize(stripes, (64, 21), "bilinear", antialias=True)
    assert folded.std() > 3 * clean.std()


def test_gaussian_noise_has_the_sigma_of_its_image() -> None:
    noisy = op.gaussian_noise(flat(0.5, 2), [2.0, 12.0], [False, False], generator())
    # 5 standard deviations of a standard deviation from 3 * 256^2 samples: 5 / sqrt(2 n) = 0.8 %
    for picture, sigma in zip(noisy, (2.0, 12.0), strict=True):
        assert float(picture.std()) * 255 == pytest.approx(sigma, rel=0.008)
        assert float(picture.mean()) == pytest.approx(0.5, abs=5 * sigma / 255 / 443)


@pytest.mark.parametrize("add", [op.gaussian_noise, op.poisson_noise])
def test_grey_noise_is_equal_in_r_g_and_b_and_other_noise_is_not(add: object) -> None:
    images = flat(0.5, 2)
    noise = add(images, [1.0, 1.0], [True, False], generator()) - images  # type: ignore[operator]
    torch.testing.assert_close(noise[0, 0], noise[0, 2], rtol=0, atol=1e-6)
    correlation = torch.corrcoef(noise[1].flatten(1))[0, 1]
    assert abs(float(correlation)) < 5 / 256  # 5 standard deviations for 256^2 samples


def test_poisson_noise_has_the_mean_and_variance_of_photons() -> None:
    # There are four code values, so white has four photons: the variance is value / 4.
    values = [0, 51, 102, 204]
    image = torch.tensor(values).repeat_interleave(64).repeat(256, 1).expand(1, 3, -1, -1) / 255
    noise = op.poisson_noise(image, [0.1], [False], generator()) - image
    for i, value in enumerate(values):
        part = noise[..., 64 * i : 64 * (i + 1)]
        expected = 0.1**2 * value / 255 / 4
        # Clipping at 0 and 1 affects only a few of the brightest; 49152 samples of a skewed variable.
        assert float(part.var()) == pytest.approx(expected, rel=0.06, abs=1e-9)
        assert float(part.mean()) == pytest.approx(0, abs=5 * math.sqrt(expected / 49152) + 1e-9)


def test_images_with_more_code_values_have_less_poisson_noise() -> None:
    ramp = torch.linspace(0, 1, 256).expand(1, 3, 256, 256)
    coarse = ramp.mul(3).round().div(3)
    fine, rough = (op.poisson_noise(x, [0.3], [False], generator()) - x for x in (ramp, coarse))
    # 256 code values instead of 4: 1/64 of the variance
    assert float(fine.var() / rough.var()) == pytest.approx(1 / 64, rel=0.25)


@pytest.mark.parametrize("add", [op.gaussian_noise, op.poisson_noise])
def test_the_same_seed_gives_the_same_noise(add: object) -> None:
    runs = [add(pictures(), [3.0, 1.0], [True, False], generator(s)) for s in (4, 4, 5)]  # type: ignore[operator]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert 0 <= runs[0].min() <= runs[0].max() <= 1


def libjpeg(image: Tensor, quality: int) -> Tensor:
    """By Pillow, 4:2:0."""
    memory = io.BytesIO()
    Image.fromarray(image.mul(255).round().byte().permute(1, 2, 0).numpy()).save(
        memory, "JPEG", quality=quality, subsampling=2
    )
    return torch.from_numpy(np.asarray(Image.open(memory)).copy()).permute(2, 0, 1) / 255


def natural(side: int = 192) -> Tensor:
    """Make noise with the spectrum of photographs, 1 / f in amplitude: `(1, 3, side, side)`."""
    white = torch.randn(3, side, side, generator=generator(3))
    y, x = torch.meshgrid(torch.fft.fftfreq(side), torch.fft.fftfreq(side), indexing="ij")
    slope = 1 / torch.hypot(y, x).clamp(min=1 / side)
    image = torch.fft.ifft2(torch.fft.fft2(white) * slope).real
    grey = image[:1] + 0.3 * image  # channels are mostly correlated
    return (grey / grey.std() * 0.18 + 0.5).clamp(0, 1)[None]


@pytest.mark.parametrize(
    ("mode", "milder"), [("real", (-1.5, 1.5)), ("kornia", (-0.3, 1.8))], ids=["real", "kornia"]
)
@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_jpeg_has_about_the_error_of_libjpeg(
    quality: int, mode: JpegMode, milder: tuple[float, float]
) -> None:
    image = natural()
    ours = psnr(op.jpeg(image, [float(quality)], mode)[0], image[0])
    theirs = psnr(libjpeg(image[0], quality), image[0])
    # real: FFmpeg's quantiser is an integer with steps of up to 3 dB, so the error is up to half of that.
    # kornia: because of soft rounding, the error was 0.6 to 1.1 dB smaller on photographs.
    assert milder[0] < ours - theirs < milder[1]


@pytest.mark.parametrize("mode", ["real", "kornia"])
def test_jpeg_neither_tints_nor_shifts_an_image(mode: JpegMode) -> None:
    image = F.interpolate(torch.rand(1, 3, 4, 4, generator=generator()), size=(95, 97), mode="bicubic")
    image = image.clamp(0, 1)
    coded = op.jpeg(image, [90.0], mode)
    assert coded.shape == image.shape  # odd sides
    assert (coded - image).mean((0, 2, 3)).abs().max() < 1 / 255
    assert psnr(coded, image) > 38
    moved = [psnr(coded.roll(step, -1)[..., 4:-4], image[..., 4:-4]) for step in (-1, 1)]
    assert max(moved) < psnr(coded, image)


@pytest.mark.parametrize("mode", ["real", "kornia"])
def test_each_image_has_its_own_quality(mode: JpegMode) -> None:
    image = natural(96)
    low, high = op.jpeg(image.expand(2, -1, -1, -1), [20.0, 90.0], mode)
    assert psnr(low, image[0]) + 3 < psnr(high, image[0])


def test_quantisers_decrease_with_quality() -> None:
    found = [op.quantiser_of(q) for q in range(12, 101)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (31, 1)


def test_sharpening_does_not_change_areas_without_contrast() -> None:
    faint = flat(0.5, side=64)
    faint[..., 32:] += 9 / 255  # detail below the threshold of 10 codes
    torch.testing.assert_close(op.sharpen(faint, Sharpen()), faint, rtol=0, atol=1e-6)


def test_sharpening_increases_the_contrast_of_an_edge_by_its_weight() -> None:
    edge = flat(0.3, side=128)
    edge[..., 64:] = 0.7
    found = op.sharpen(edge, Sharpen())
    assert found[0, 0, 64, 64] > 0.7 + 0.03
    assert found[0, 0, 64, 63] < 0.3 - 0.03
    torch.testing.assert_close(found[..., :20], edge[..., :20], rtol=0, atol=1e-4)
    # At most weight * detail, where the soft mask is at most 1; detail is at most half the step.
    assert (found - edge).abs().max() <= 0.5 * 0.2 + 1e-6


def test_smoothing_is_a_gaussian_convolution() -> None:
    x = torch.arange(51, dtype=torch.float32) - 25
    line = torch.exp(-0.5 * (x / 8).square())  # OpenCV: 0.3 ((51 - 1) / 2 - 1) + 0.8 = 8
    signal = torch.rand(1, 1, 90, generator=generator())
    padded = F.pad(signal, (25, 25), mode="reflect")
    expected = F.conv1d(padded, (line / line.sum())[None, None])[0, 0]
    torch.testing.assert_close(op.smoothing(90, 51) @ signal[0, 0], expected)


def test_neutral_colour_settings_change_nothing() -> None:
    still = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "gamma": 1.0}
    images = pictures()
    torch.testing.assert_close(op.recolour(images, **still), images, rtol=0, atol=1e-5)
    for name, value in (
        ("brightness", 1.2),
        ("contrast", 0.7),
        ("saturation", 0.5),
        ("hue", 0.3),
        ("gamma", 1.3),
    ):
        assert (op.recolour(images, **(still | {name: value})) - images).abs().max() > 0.02, name
