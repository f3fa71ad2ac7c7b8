"""What is measured of a result: Y-PSNR, SSIM, and as far as possible LPIPS, DISTS and measures of video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

from torch import Tensor

from vsr.errors import ConfigError
from vsr.metrics import psnr_y, ssim_y, temporal_difference
from vsr.report.evaluate import learned, outside


class Figures(TypedDict):
    """The figures of one image or clip; None for what is not measured. See `Evaluation`."""

    psnr: float
    ssim: float
    lpips: float | None
    dists: float | None
    temporal_difference: float | None
    vmaf: float | None
    cvvdp: float | None


@dataclass(slots=True, kw_only=True)
class Measures:
    """The measures of one evaluation."""

    border: int
    """Pixels that PSNR and SSIM ignore at each side."""
    lpips: learned.Distance | None
    dists: learned.Distance | None
    on_warning: Callable[[str], None]
    _said: set[str] = field(default_factory=set)
    """Measures of which it was said that they are missing."""

    def of(self, sr: Tensor, hr: Tensor, frame_rate: Fraction | None) -> Figures:
        """Measure a result.

        Args:
            sr: `(T, 3, H, W)` uint8.
            hr: As above.
            frame_rate: Frames a second; None for a still image, which has no measures of video.
        """
        pairs = [(a / 255, b / 255) for a, b in zip(sr, hr, strict=True)]
        moving = frame_rate if len(sr) > 1 else None
        return Figures(
            psnr=_mean([psnr_y(a, b, border=self.border) for a, b in pairs]),
            ssim=_mean([ssim_y(a, b, border=self.border) for a, b in pairs]),
            lpips=None if self.lpips is None else self.lpips(sr, hr),
            dists=None if self.dists is None else self.dists(sr, hr),
            temporal_difference=None if moving is None else _temporal_difference(sr, hr),
            vmaf=None if moving is None else self._vmaf(sr, hr, moving),
            cvvdp=None if moving is None else self._cvvdp(sr, hr, moving),
        )

    def _vmaf(self, sr: Tensor, hr: Tensor, frame_rate: Fraction) -> float | None:
        program = outside.ffmpeg_with_vmaf()
        why = "no ffmpeg on the PATH or in imageio-ffmpeg has libvmaf"
        if program is not None:
            try:
                return outside.vmaf(program, sr, hr, frame_rate)
            except ConfigError as error:
                why = str(error)
        self._say("VMAF", why)
        return None

    def _cvvdp(self, sr: Tensor, hr: Tensor, frame_rate: Fraction) -> float | None:
        metric, why = outside.color_video_vdp()
        if metric is not None:
            return outside.cvvdp(metric, sr, hr, frame_rate)
        self._say("ColorVideoVDP", why)
        return None

    def _say(self, measure: str, why: str) -> None:
        """Say once why a measure is missing; the others are worth having without it."""
        if measure not in self._said:
            self._said.add(measure)
            self.on_warning(f"{measure} is not measured: {why}")


def measures_for(
    *,
    lpips: str | Path | None,
    dists: str | Path | None,
    border: int,
    on_warning: Callable[[str], None] | None,
) -> Measures:
    """Load what the measures need; see `evaluate`.

    Raises:
        ConfigError: a package is missing.
        ModelError: a weight file has another network.
    """
    return Measures(
        border=border,
        lpips=None if lpips is None else learned.lpips(Path(lpips)),
        dists=None if dists is None else learned.dists(Path(dists)),
        on_warning=on_warning or (lambda _: None),
    )


def _temporal_difference(sr: Tensor, hr: Tensor) -> float:
    """Return the mean over pairs of neighbours, of which only one is in float64 at a time."""
    pairs = range(len(sr) - 1)
    return _mean([temporal_difference(sr[i : i + 2] / 255, hr[i : i + 2] / 255) for i in pairs])


def mean_of(found: Sequence[Figures]) -> Figures:
    """Return the mean of each measure over the images and clips that have it."""
    return Figures(
        psnr=_mean([one["psnr"] for one in found]),
        ssim=_mean([one["ssim"] for one in found]),
        lpips=_mean_if_any([one["lpips"] for one in found]),
        dists=_mean_if_any([one["dists"] for one in found]),
        temporal_difference=_mean_if_any([one["temporal_difference"] for one in found]),
        vmaf=_mean_if_any([one["vmaf"] for one in found]),
        cvvdp=_mean_if_any([one["cvvdp"] for one in found]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_if_any(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None
