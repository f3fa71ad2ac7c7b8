"""Computes the size of the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from vsr.errors import ConfigError
from vsr.frame import Crop, VideoInfo
from vsr.media.metadata.orientation import moved_with
from vsr.settings.schema import UpscaleSettings

MAX_SCALE = 16
"""Largest scale, to detect mistakes: 16 times SD is 11,520 pixels wide."""
MAX_SIDE = 16384
"""Largest side in pixels, beyond which no supported encoder works (H.265
ends at 8,192 x 4,320, AV1 at 16,384)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSize:
    """Size of the result in pixels as stored, before display rotation."""

    height: int
    width: int
    sample_aspect_ratio: Fraction | None


def wanted_scale(info: VideoInfo, settings: UpscaleSettings) -> Fraction | None:
    """Return the requested scale, the larger one of both sides; None if the model decides.

    Raises:
        ConfigError: The settings are contradictory or impossible.
    """
    if settings.scale is not None and settings.height is not None:
        raise ConfigError("`scale` contradicts `height` and `width`. Give only one of them")
    if settings.width is not None and settings.height is None:
        raise ConfigError("a width without a height is not possible. Give both")
    if settings.height is None:
        return None if settings.scale is None else _checked(settings.scale)
    shown_height, shown_width = _shown(info)
    if settings.height < 1 or (settings.width is not None and settings.width < 1):
        raise ConfigError(f"{settings.width or ''}x{settings.height} is not a valid size. Use at least 1x1")
    scale = settings.height / shown_height
    if settings.width is not None:
        scale = max(scale, settings.width / shown_width)
    return _checked(scale)


def target_size(
    info: VideoInfo, settings: UpscaleSettings, model_scale: Fraction, *, longest: int = MAX_SIDE
) -> TargetSize:
    """Return the size of the result and its pixel aspect ratio, which changes if the proportions change.

    `--size` and `--height` mean the displayed frame, after rotation and without hidden borders. `longest` is
    the largest side that is accepted.
    """
    sar = info.sample_aspect_ratio
    if settings.height is None:
        scale = settings.scale if settings.scale is not None else model_scale
        height, width = int(info.height * scale), int(info.width * scale)
    elif settings.width is None:
        shown_height, shown_width = _shown(info)
        across = max(2, round(shown_width * settings.height / shown_height / 2) * 2)
        height, width = _stored(info, settings.height, across)
    else:
        height, width = _stored(info, settings.height, settings.width)
        sar = _reshaped(sar, Fraction(info.width * height, info.height * width))
    size = TargetSize(height=height, width=width, sample_aspect_ratio=sar)
    if min(height, width) < 1 or max(height, width) > longest:
        raise ConfigError(f"the result would be {width}x{height}, but sides must have 1 to {longest} pixels")
    return size


def like(info: VideoInfo, size: TargetSize) -> VideoInfo:
    """Return the source's description with the pixel aspect and cropping of the result, for the sink."""
    x, y = Fraction(size.width, info.width), Fraction(size.height, info.height)
    sphere = info.spherical
    return replace(
        info,
        sample_aspect_ratio=size.sample_aspect_ratio,
        display_matrix=info.display_matrix and moved_with(info.display_matrix, x, y),
        crop=info.crop and info.crop.scaled(x, y),
        spherical=sphere and replace(sphere, padding=round(sphere.padding * x)),
    )


def _checked(scale: Fraction) -> Fraction:
    if not 0 < scale <= MAX_SCALE:
        raise ConfigError(
            f"a scale of {float(scale):g} is not possible. Use more than 0 and at most {MAX_SCALE}"
        )
    return scale


def _shown(info: VideoInfo) -> tuple[Fraction, Fraction]:
    """Return height and width of the source as displayed."""
    height, width = _visible(info)
    return (width, height) if info.rotation % 180 else (height, width)


def _visible(info: VideoInfo) -> tuple[Fraction, Fraction]:
    """Return height and width of the stored frame without the borders that the container hides."""
    crop = info.crop or Crop()
    return info.height - crop.top - crop.bottom, info.width - crop.left - crop.right


def _stored(info: VideoInfo, height: int, width: int) -> tuple[int, int]:
    """Return height and width of the stored frame that is displayed at this size."""
    wanted = (width, height) if info.rotation % 180 else (height, width)
    if info.crop is None:
        return wanted
    sides = zip(wanted, (info.height, info.width), _visible(info), strict=True)
    height, width = (round(side * whole / visible / 2) * 2 for side, whole, visible in sides)
    return height, width


def _reshaped(sar: Fraction | None, stretch: Fraction) -> Fraction | None:
    """Return the pixel aspect after a change of proportions; unknown
    stays unknown if the change is below 1 %."""
    if abs(stretch - 1) < Fraction(1, 100):
        return sar
    made = (sar or Fraction(1)) * stretch
    return Fraction(1) if abs(made - 1) < Fraction(1, 200) else made.limit_denominator(1000)
