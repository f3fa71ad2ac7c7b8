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
        other = "`height`" if settings.width is None else "`width` and `height`"
        raise ConfigError(f"`scale` contradicts {other}; leave one of them out")
    if settings.width is not None and settings.height is None:
        raise ConfigError("`width` without `height` is not possible; give both")
    if settings.height is None:
        return None if settings.scale is None else _checked(settings.scale, "`scale`")
    shown_height, shown_width = _shown(info)
    if settings.square_pixels:
        size = target_size(info, settings, Fraction(1))
        return _checked(max(Fraction(size.height, info.height), Fraction(size.width, info.width)))
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
        if settings.square_pixels:
            height, width = _squared(height, width, _pixel(info))
    elif settings.width is None:
        shown_height, shown_width = _shown(info)
        pixel = _pixel(info) if settings.square_pixels else Fraction(1)
        shape = shown_width / shown_height * (1 / pixel if info.rotation % 180 else pixel)
        across = max(2, round(shape * settings.height / 2) * 2)
        height, width = _stored(info, settings.height, across)
    else:
        height, width = _stored(info, settings.height, settings.width)
        sar = _reshaped(sar, Fraction(info.width * height, info.height * width))
        if settings.square_pixels and abs((sar or Fraction(1)) - 1) > Fraction(1, 100):
            raise ConfigError(
                f"`square_pixels` contradicts {settings.width}x{settings.height}, which is of another shape "
                "than the video; give the height alone"
            )
    if settings.square_pixels:
        sar = Fraction(1)
    size = TargetSize(height=height, width=width, sample_aspect_ratio=sar)
    if min(height, width) < 1 or max(height, width) > longest:
        raise ConfigError(f"the result would be {width}x{height}, but sides must have 1 to {longest} pixels")
    return size


def _pixel(info: VideoInfo) -> Fraction:
    """Return the width of a stored pixel divided by its height."""
    return info.sample_aspect_ratio or Fraction(1)


def _squared(height: int, width: int, pixel: Fraction) -> tuple[int, int]:
    """Return height and width with square pixels; one side grows and none shrinks, so that no detail is lost.

    Both are even where they change, because 4:2:0 needs that.
    """
    if pixel > 1:
        return height, round(width * pixel / 2) * 2
    return (height, width) if pixel == 1 else (round(height / pixel / 2) * 2, width)


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


def _checked(scale: Fraction, name: str = "a scale of") -> Fraction:
    if not 0 < scale <= MAX_SCALE:
        raise ConfigError(f"{name} {float(scale):g} is not possible; use more than 0 and at most {MAX_SCALE}")
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
