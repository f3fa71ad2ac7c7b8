"""The size of the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from vsr.errors import ConfigError
from vsr.frame import Crop, VideoInfo
from vsr.media.metadata.orientation import moved_with
from vsr.settings.schema import UpscaleSettings

MAX_SCALE = 16
"""Larger results are a slip of the finger: 16 times SD is 11,520 pixels wide."""
MAX_SIDE = 16384
"""Pixels. Beyond it no encoder of ours goes (H.265 and AV1 end at 8,192 x 4,320 and 16,384)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSize:
    """Size of the result in pixels as stored, before display rotation."""

    height: int
    width: int
    sample_aspect_ratio: Fraction | None


def wanted_scale(info: VideoInfo, settings: UpscaleSettings) -> Fraction | None:
    """By how much the picture grows, the larger of both sides; None where the model decides.

    Raises:
        ConfigError: contradicting or impossible wishes.
    """
    if settings.scale is not None and settings.height is not None:
        raise ConfigError("`scale` contradicts `height` and `width`; give one of them")
    if settings.width is not None and settings.height is None:
        raise ConfigError("a width needs a height; give both")
    if settings.height is None:
        return None if settings.scale is None else _checked(settings.scale)
    shown_height, shown_width = _shown(info)
    if settings.height < 1 or (settings.width is not None and settings.width < 1):
        raise ConfigError(f"{settings.width or ''}x{settings.height} is no size; use at least 1x1")
    scale = settings.height / shown_height
    if settings.width is not None:
        scale = max(scale, settings.width / shown_width)
    return _checked(scale)


def target_size(info: VideoInfo, settings: UpscaleSettings, model_scale: Fraction) -> TargetSize:
    """Size of the result, and its pixel aspect: a size of other proportions changes the shape of pixels.

    `--size` and `--height` mean the picture as it is shown, after rotation and without hidden borders.
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
    if min(height, width) < 1 or max(height, width) > MAX_SIDE:
        raise ConfigError(f"the result would be {width}x{height}; sides can have 1 to {MAX_SIDE} pixels")
    return size


def like(info: VideoInfo, size: TargetSize) -> VideoInfo:
    """The source's description with the result's pixel aspect and cropping: what the sink is opened with."""
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
            f"a scale of {float(scale):g} is not possible; use more than 0 and at most {MAX_SCALE}"
        )
    return scale


def _shown(info: VideoInfo) -> tuple[Fraction, Fraction]:
    """Height and width of the source's picture as it is shown."""
    height, width = _visible(info)
    return (width, height) if info.rotation % 180 else (height, width)


def _visible(info: VideoInfo) -> tuple[Fraction, Fraction]:
    """Height and width of what the container does not hide of the stored picture."""
    crop = info.crop or Crop()
    return info.height - crop.top - crop.bottom, info.width - crop.left - crop.right


def _stored(info: VideoInfo, height: int, width: int) -> tuple[int, int]:
    """Height and width of the stored picture that is shown at this size."""
    wanted = (width, height) if info.rotation % 180 else (height, width)
    if info.crop is None:
        return wanted
    sides = zip(wanted, (info.height, info.width), _visible(info), strict=True)
    height, width = (round(side * whole / visible / 2) * 2 for side, whole, visible in sides)
    return height, width


def _reshaped(sar: Fraction | None, stretch: Fraction) -> Fraction | None:
    """Pixel aspect after a stretch; an unknown one stays unknown while the proportions nearly stay."""
    if abs(stretch - 1) < Fraction(1, 100):
        return sar
    made = (sar or Fraction(1)) * stretch
    return Fraction(1) if abs(made - 1) < Fraction(1, 200) else made.limit_denominator(1000)
