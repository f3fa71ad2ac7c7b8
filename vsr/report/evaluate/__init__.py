"""Quality of models on test images, by the protocol of super-resolution papers, on clean and on coded inputs.

`protocol` reads the images, makes LR and measures; `tables` writes Markdown, CSV and JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vsr.errors import ConfigError, ModelError
from vsr.pipeline.upscaler import Upscaler
from vsr.report.evaluate.protocol import CODINGS, Case, cases_of, measured
from vsr.settings.schema import Backend, Precision

FILTERS = ("bicubic", "lanczos")
"""Measured beside every model."""

OnImage = Callable[[int, int], None]
"""Called with the number of images that are measured, and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The means of one model for one kind of input."""

    model: str
    scale: int
    coding: str
    """A key of `protocol.CODINGS`."""
    images: int
    psnr: float
    """Mean Y-PSNR in dB."""
    ssim: float
    """Mean SSIM of Y."""
    megapixels_per_second: float
    """Pixels of results over the time of the network, colour conversion included, on this machine."""


def evaluate(
    *models: str | Path,
    data: str | Path,
    scale: int | None = None,
    codings: Sequence[str] = ("clean",),
    device: str = "auto",
    precision: Precision = "fp32",
    backend: Backend = "auto",
    on_image: OnImage | None = None,
) -> tuple[Evaluation, ...]:
    """Measure models on test images as papers do, with bicubic and Lanczos beside them.

    Y is that of BT.601 in limited range, results are rounded to 8 bits, and as many pixels as the scale are
    cut off at each border. LR images are taken from a test set that has them, and otherwise made like
    MATLAB's `imresize`. For coded inputs each LR image is coded as a video of one frame.

    Args:
        models: Names in the catalog or weight files, all of one scale.
        data: A folder of images, or of `x4/HR` and `x4/LR`, or of `HR` and `LR`.
        scale: HR side over LR side; None takes that of the models.
        codings: Keys of `protocol.CODINGS`: `clean`, `x264-18` and others.
        device: `auto`, `cpu`, `mps`, `cuda`, `cuda:N`.
        precision: Number format of weights and activations.
        backend: What runs the networks.
        on_image: Called after each image of each model and coding.

    Returns:
        The means, a row for each coding and model, filters first.

    Raises:
        ConfigError: a coding is unknown, the models have different scales, or a setting is impossible.
        InputError: the folder has no images, or one cannot be read.
        ModelError: no such model.
    """
    unknown = [name for name in codings if name not in CODINGS]
    if unknown or not codings:
        raise ConfigError(f"coding {', '.join(unknown) or 'is missing'}: use {', '.join(CODINGS)}")
    loaded = [
        Upscaler(model, device=device, precision=precision, backend=backend, reuse=False) for model in models
    ]
    factor = _scale_of(models, loaded, scale)
    filters = [Upscaler(name, scale=factor, device=device, reuse=False) for name in FILTERS]
    named = [*zip(FILTERS, filters, strict=True), *zip(map(_name, models), loaded, strict=True)]
    rows, done = [], 0
    for coding in codings:
        cases = cases_of(Path(data), factor, coding)
        for name, upscaler in named:
            found = []
            for case in cases:
                found.append(_figures(upscaler, case, factor))
                done += 1
                if on_image is not None:
                    on_image(done, len(cases) * len(named) * len(codings))
            rows.append(_row(name, factor, coding, found))
    return tuple(rows)


def _name(model: str | Path) -> str:
    path = Path(model)
    return path.stem if path.suffix else str(model)


def _scale_of(models: Sequence[str | Path], loaded: Sequence[Upscaler], scale: int | None) -> int:
    """Return the scale of the measurement: that of all models."""
    scales = {_name(model): one.scale for model, one in zip(models, loaded, strict=True)}
    wanted = scale or next(iter(scales.values()), None)
    if wanted is None or int(wanted) != wanted or wanted < 2:
        raise ConfigError(f"`scale` {wanted} cannot be evaluated; use a whole number from 2 on")
    for name, own in scales.items():
        if own != wanted:
            raise ModelError(f"{name} has scale {own}, not {wanted}; evaluate models of each scale alone")
    return int(wanted)


def _figures(upscaler: Upscaler, case: Case, scale: int) -> tuple[float, float, float, float]:
    """Return Y-PSNR, SSIM, megapixels and seconds for one image."""
    begin = time.perf_counter()
    (image,) = upscaler.frames([case.lr])
    assert isinstance(image, torch.Tensor)
    image = image.cpu()
    seconds = time.perf_counter() - begin
    psnr, ssim = measured(image, case.hr, border=scale)
    return psnr, ssim, image[0].numel() / 1e6, seconds


def _row(
    name: str, scale: int, coding: str, found: Sequence[tuple[float, float, float, float]]
) -> Evaluation:
    psnr, ssim, pixels, seconds = (torch.tensor(found, dtype=torch.float64)).unbind(1)
    return Evaluation(
        model=name,
        scale=scale,
        coding=coding,
        images=len(found),
        psnr=psnr.mean().item(),
        ssim=ssim.mean().item(),
        megapixels_per_second=(pixels.sum() / seconds.sum()).item(),
    )
