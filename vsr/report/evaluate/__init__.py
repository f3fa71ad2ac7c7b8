"""Quality of models on test sets, by the protocol of super-resolution papers, on clean and on coded inputs.

`sets` reads images and clips, `protocol` makes LR, `measures` compares results with HR. `learned` computes
LPIPS and DISTS, `outside` VMAF and ColorVideoVDP. `tables` writes Markdown, CSV and JSON, with the figures of
papers from `published`; `plot` draws quality against speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vsr.errors import ConfigError, ModelError
from vsr.pipeline.upscaler import Upscaler
from vsr.report.evaluate.measures import Figures, Measures, mean_of, measures_for
from vsr.report.evaluate.protocol import CODINGS, FRAMES, Case, cases_of
from vsr.report.evaluate.sets import folder_of, paths_of, set_name
from vsr.settings.schema import Backend, Precision

FILTERS = ("bicubic", "lanczos")
"""Measured beside every model."""

OnImage = Callable[[int, int], None]
"""Called with the number of images that are measured, and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The means of one model for one test set and one kind of input."""

    data: str
    """Name of the test set: that of papers for a known one, otherwise that of its folder."""
    model: str
    scale: int
    coding: str
    """A key of `protocol.CODINGS`."""
    images: int
    """Still images and clips."""
    psnr: float
    """Mean Y-PSNR in dB; that of a clip is the mean over its frames."""
    ssim: float
    """Mean SSIM of Y."""
    megapixels_per_second: float
    """Pixels of results over the time of the network, colour conversion included, on this machine."""
    lpips: float | None = None
    """Mean LPIPS; less is better. None where no weights are given."""
    dists: float | None = None
    """Mean DISTS; less is better. None where no weights are given."""
    temporal_difference: float | None = None
    """Error of the change from frame to frame in 8-bit levels (`metrics.temporal_difference`); less is
    better. None without clips, as the two below."""
    vmaf: float | None = None
    """Mean VMAF, 0 to 100. None where no ffmpeg has libvmaf."""
    cvvdp: float | None = None
    """Mean ColorVideoVDP in JOD, at most 10. None where the package is not installed."""


def evaluate(
    *models: str | Path,
    data: str | Path | Sequence[str | Path],
    scale: int | None = None,
    codings: Sequence[str] = ("clean",),
    frames: int = FRAMES,
    lpips: str | Path | None = None,
    dists: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    backend: Backend = "auto",
    on_image: OnImage | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> tuple[Evaluation, ...]:
    """Measure models on test images and clips as papers do, with bicubic and Lanczos beside them.

    Y is that of BT.601 in limited range, results are rounded to 8 bits, and as many pixels as the scale are
    cut off at each border. LR images are taken from a test set that has them, and otherwise made like
    MATLAB's `imresize`. For coded inputs each clip is coded as a video, a still image as one of one frame.

    Args:
        models: Names in the catalog or weight files, all of one scale.
        data: One test set or several: the name of a known one (`sets.folder_of` says where it is looked up),
            or a folder of images, folders of images and videos, or of `x4/HR` and `x4/LR`, or of `HR` and
            `LR`.
        scale: HR side over LR side; None takes that of the models.
        codings: Keys of `protocol.CODINGS`: `clean`, `x264-18` and others.
        frames: Frames of each clip that are measured, from its start.
        lpips: torchvision's weights of AlexNet or VGG16, for LPIPS; nothing is downloaded.
        dists: torchvision's weights of VGG16, for DISTS.
        device: `auto`, `cpu`, `mps`, `cuda`, `cuda:N`.
        precision: Number format of weights and activations.
        backend: What runs the networks.
        on_image: Called after each image of each model and coding.
        on_warning: Called with a sentence for each measure that this machine cannot compute.

    Returns:
        The means, a row for each test set, coding and model, filters first.

    Raises:
        ConfigError: a coding is unknown, the models have different scales, or a setting is impossible.
        InputError: a folder has no images, or one cannot be read.
        ModelError: no such model, or the weights are not those of the named network.
    """
    unknown = [name for name in codings if name not in CODINGS]
    if unknown or not codings:
        raise ConfigError(f"coding {', '.join(unknown) or 'is missing'}: use {', '.join(CODINGS)}")
    if frames < 1:
        raise ConfigError(f"{frames} frames of a clip cannot be measured; use 1 or more")
    loaded = [
        Upscaler(model, device=device, precision=precision, backend=backend, reuse=False) for model in models
    ]
    factor = _scale_of(models, loaded, scale)
    folders = [folder_of(one) for one in ([data] if isinstance(data, str | Path) else data)]
    filters = [Upscaler(name, scale=factor, device=device, reuse=False) for name in FILTERS]
    named = [*zip(FILTERS, filters, strict=True), *zip(map(_name, models), loaded, strict=True)]
    images = sum(len(paths_of(folder, factor)) for folder in folders)
    count = _counter(images * len(named) * len(codings), on_image)
    measures = measures_for(lpips=lpips, dists=dists, border=factor, on_warning=on_warning)
    return tuple(
        row
        for folder in folders
        for coding in codings
        for row in _rows(named, folder, factor, coding, frames, measures, count)
    )


def _counter(total: int, on_image: OnImage | None) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_image is not None:
            on_image(done, total)

    return count


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    figures: Figures
    megapixels: float
    seconds: float


def _rows(
    named: Sequence[tuple[str, Upscaler]],
    folder: Path,
    scale: int,
    coding: str,
    frames: int,
    measures: Measures,
    count: Callable[[], None],
) -> Iterator[Evaluation]:
    """Yield a row for each model; each clip is read once, and only one is in memory."""
    found: list[list[_Measured]] = [[] for _ in named]
    for number, case in enumerate(cases_of(folder, scale, coding, frames=frames)):
        for (_, upscaler), mine in zip(named, found, strict=True):
            if number == 0:
                _upscaled(upscaler, case.lr[:1])  # untimed: kernels are compiled and memory is allocated
            mine.append(_measured(upscaler, case, measures))
            count()
    for (name, _), mine in zip(named, found, strict=True):
        yield _row(name, set_name(folder), scale, coding, mine)


def _upscaled(upscaler: Upscaler, lr: Tensor) -> Tensor:
    """Return the results for frames as uint8 on the host."""
    made = []
    for image in upscaler.frames(lr):
        assert isinstance(image, Tensor)
        made.append((image.cpu().to(torch.float32).clamp(0, 1) * 255).round().to(torch.uint8))
    return torch.stack(made)


def _measured(upscaler: Upscaler, case: Case, measures: Measures) -> _Measured:
    begin = time.perf_counter()
    sr = _upscaled(upscaler, case.lr)
    seconds = time.perf_counter() - begin
    figures = measures.of(sr, case.hr, case.frame_rate)
    return _Measured(figures=figures, megapixels=sr[:, 0].numel() / 1e6, seconds=seconds)


def _row(name: str, data: str, scale: int, coding: str, found: Sequence[_Measured]) -> Evaluation:
    return Evaluation(
        data=data,
        model=name,
        scale=scale,
        coding=coding,
        images=len(found),
        megapixels_per_second=sum(one.megapixels for one in found) / sum(one.seconds for one in found),
        **mean_of([one.figures for one in found]),
    )
