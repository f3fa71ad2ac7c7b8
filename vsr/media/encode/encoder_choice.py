"""Chooses the encoder for a source, with its pixel format and options.

No encoder is opened here; `video_encoder.py` opens and runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import av

from vsr.color.spec import ColorSpec, Matrix, PixelLayout, Range, Transfer
from vsr.errors import ConfigError
from vsr.frame import VideoInfo
from vsr.media.encode.encoder_options import (
    crf_of,
    has_avx512,
    options_of,
    preset_of,
    preset_options,
    quality_options,
)
from vsr.media.encode.encoder_table import ENCODERS, FAST, SMALL, USUAL, EncoderSpec
from vsr.media.encode.encoder_trial import why_not
from vsr.media.encode.usual_encoder import usual, usual_in
from vsr.media.formats.containers import CONTAINERS, Container
from vsr.media.metadata.hdr import hdr_options
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.pixel_formats import divides, losses, nearest, subsampling
from vsr.settings.schema import EncoderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderPlan:
    """How the video of one source is encoded."""

    codec: str
    """FFmpeg's name of the encoder."""
    pixel_format: str
    """FFmpeg's name of the format with which the encoder is opened; it may be packed."""
    layout: PixelLayout
    """The planar layout of the same samples, in which frames are given to the encoder."""
    color: ColorSpec
    """Colour of the frames given to the encoder, and of the output's tags."""
    width: int
    height: int
    threads: int
    options: Mapping[str, str]
    """The encoder's options by FFmpeg's names."""
    crf: float | None = None
    """The quality in `options`, in the units of the setting `crf`; None if the encoder has none, or the user
    set its option directly."""
    preset: str | None = None
    """The preset in `options`, likewise."""
    tag: str | None = None
    """The codec tag to write; None leaves it to FFmpeg."""
    notes: tuple[str, ...] = ()
    """A sentence for each property that cannot be kept."""


def codec_of(encoder: str) -> str:
    """Return FFmpeg's name of the codec that an encoder writes, such as "hevc" for "libx265"."""
    return av.Codec(encoder, "w").canonical_name


def available() -> list[str]:
    """Names of the table's encoders that can be used here: those in software that FFmpeg has, and those of
    graphics hardware that open."""
    return [name for name in ENCODERS if why_not(name) is None]


def choose(
    settings: EncoderSettings, info: VideoInfo, *, width: int, height: int, container: Container
) -> EncoderPlan:
    """Plan the encoding, with the source's depth, subsampling and family if the encoder supports them.

    Args:
        settings: The user's choice of encoder, quality, preset, options and pixel format.
        info: The source's video stream.
        width: Width of the output in pixels.
        height: Height of the output in pixels.
        container: Container of the output.

    Raises:
        ConfigError: unknown encoder, option, preset or format; quality out of range; wrong container or size.
    """
    spec, settings, why = _chosen(settings, info, container)
    plan = plan_with(spec, settings, info, width=width, height=height, container=container)
    return replace(plan, notes=(*why, *plan.notes))


def check_choice(settings: EncoderSettings, container: Container) -> None:
    """Refuse, without the source and without torch, what no source makes possible.

    Args:
        settings: The user's choice.
        container: Container of the output.

    Raises:
        ConfigError: unknown encoder, wrong container, or a quality or preset that the encoder does not have.
    """
    name = settings.encoder
    if name is None and container.muxer != "webm":  # in WebM, the source decides
        name = next((one for one in usual_in(container) if why_not(one) is None), None)
    if name is not None:
        spec = _spec(name)
        _check_container(spec.codec, spec, container)
        quality_options(spec.codec, spec.quality, settings.crf)
        preset_options(spec.codec, spec.preset, settings.preset, layout_of(spec.pixel_formats[0]))


def losses_of(
    settings: EncoderSettings, info: VideoInfo, *, width: int, height: int, container: Container
) -> tuple[str, tuple[str, ...]]:
    """Return the encoder that `choose` takes and its notes, without torch; for the arguments see `choose`.

    Raises:
        ConfigError: unknown encoder or format, wrong container or size.
    """
    spec, settings, why = _chosen(settings, info, container)
    pixel_format, notes = _pick_format(spec.codec, spec, settings, info, width, height)
    _, color_notes = _color_for(spec.codec, spec, layout_of(pixel_format), info, height)
    _, hdr_notes = hdr_options(spec.codec, info, in_file=container.family != "pipe")
    return spec.codec, (*why, *notes, *color_notes, *hdr_notes)


def _chosen(
    settings: EncoderSettings, info: VideoInfo, container: Container
) -> tuple[EncoderSpec, EncoderSettings, tuple[str, ...]]:
    """Return the encoder with its settings, and a sentence for each that `usual` replaces."""
    settings, why = (settings, ()) if settings.encoder else usual(container, info, settings)
    spec = _spec(settings.encoder or USUAL[0])
    _check_container(spec.codec, spec, container)
    return _without_lost_alpha(spec, container), settings, why


def plan_with(
    spec: EncoderSpec,
    settings: EncoderSettings,
    info: VideoInfo,
    *,
    width: int,
    height: int,
    container: Container,
) -> EncoderPlan:
    """Plan the encoding like `choose`, with an encoder that may be missing in the table."""
    name = spec.codec
    pixel_format, notes = _pick_format(name, spec, settings, info, width, height)
    layout = layout_of(pixel_format)
    color, color_notes = _color_for(name, spec, layout, info, height)
    hdr, hdr_notes = hdr_options(name, info, in_file=container.family != "pipe")
    small = spec.small if min(width, height) < SMALL else {}
    fast = spec.fast if (info.frame_rate or 0) > FAST else {}
    options = options_of(name, spec, settings, layout, [spec.wide if has_avx512() else {}, small, fast, hdr])
    return EncoderPlan(
        codec=name,
        pixel_format=spec.stored_as.get(pixel_format, pixel_format),
        layout=layout,
        color=color,
        width=width,
        height=height,
        threads=settings.threads,
        options=options,
        crf=crf_of(spec, settings),
        preset=preset_of(spec, settings),
        tag=spec.mp4_tag if container.family == "mp4" else None,
        notes=(*notes, *color_notes, *hdr_notes),
    )


def _spec(name: str) -> EncoderSpec:
    if name not in ENCODERS:
        raise ConfigError(f"`encoder={name!r}` is unknown; use one of {', '.join(available())}")
    if name not in av.codecs_available:
        raise ConfigError(f"this build of FFmpeg has no encoder {name!r}; it has {', '.join(available())}")
    return ENCODERS[name]


def _check_container(name: str, spec: EncoderSpec, container: Container) -> None:
    if container.muxer in spec.muxers:
        return
    suffixes = [suffix for suffix, other in CONTAINERS.items() if other.muxer in spec.muxers]
    fitting = [other for other in available() if container.muxer in ENCODERS[other].muxers]
    raise ConfigError(
        f"{container.name} does not support the output of {name}; use {' or '.join(suffixes)}, "
        f"or one of the encoders {', '.join(fitting)}"
    )


def _without_lost_alpha(spec: EncoderSpec, container: Container) -> EncoderSpec:
    """Remove the formats whose transparency the container would lose."""
    if spec.alpha_muxers is None or container.muxer in spec.alpha_muxers:
        return spec
    return replace(spec, pixel_formats=tuple(f for f in spec.pixel_formats if not layout_of(f).alpha))


def _pick_format(
    name: str, spec: EncoderSpec, settings: EncoderSettings, info: VideoInfo, width: int, height: int
) -> tuple[str, list[str]]:
    if min(width, height) < spec.min_side:
        raise ConfigError(
            f"{width}x{height} is too small for {name}, which needs {spec.min_side} pixels a side; "
            "use another encoder or a larger size"
        )
    if settings.pixel_format is not None:
        return _asked_format(name, spec, settings.pixel_format, width, height), []
    formats = spec.pixel_formats
    best = nearest(info.layout, formats, layout_of, width=width, height=height, even=spec.even)
    if best is None:
        raise ConfigError(f"{name} has no pixel format for {width}x{height}; use an even size or ffv1")
    _refuse_flat_hdr(name, info, layout_of(best))
    return best, _format_notes(name, spec, info, layout_of(best), width, height)


def _refuse_flat_hdr(name: str, info: VideoInfo, given: PixelLayout) -> None:
    """Refuse 8 bits for PQ and HLG: their range is so wide that 8 bits show bands (ITU-R BT.2100 has 10 and
    12 only).
    """
    if info.color.transfer in (Transfer.PQ, Transfer.HLG) and given.bit_depth < 10 <= info.layout.bit_depth:
        fitting = [
            other
            for other in available()
            if any(layout_of(f).bit_depth >= 10 for f in ENCODERS[other].pixel_formats)
        ]
        raise ConfigError(
            f"{name} has {given.bit_depth} bits only, too few for HDR; use one of {', '.join(fitting)}, "
            "or ask for it with `pixel_format`"
        )


def _asked_format(name: str, spec: EncoderSpec, asked: str, width: int, height: int) -> str:
    if asked not in spec.pixel_formats:
        raise ConfigError(
            f"{name} does not support `pixel_format={asked!r}`; it supports {', '.join(spec.pixel_formats)}"
        )
    if spec.even and not divides(layout_of(asked), width, height):
        raise ConfigError(
            f"{name} needs an even size for {asked}, not {width}x{height}; leave out `pixel_format`"
        )
    return asked


def _format_notes(
    name: str, spec: EncoderSpec, info: VideoInfo, given: PixelLayout, width: int, height: int
) -> list[str]:
    notes = []
    lost = losses(info.layout, given)
    if lost:
        notes.append(f"{name} cannot keep {', '.join(lost)}; `encoder='ffv1'` into .mkv keeps everything")
    added = spec.even and not divides(info.layout, width, height) and given.chroma_shift == (0, 0)
    if info.layout.family == "yuv" and added:
        notes.append(
            f"{name} has no {subsampling(info.layout)} for the odd size {width}x{height}; written as 4:4:4"
        )
    return notes


def _color_for(
    name: str, spec: EncoderSpec, layout: PixelLayout, info: VideoInfo, height: int
) -> tuple[ColorSpec, list[str]]:
    """Return the source's colour, as far as `layout` can represent it."""
    color, notes = info.color, []
    if layout.family == "rgb":
        color = replace(color, matrix=Matrix.RGB, range=Range.FULL)
    elif layout.family == "yuv" and color.matrix is Matrix.RGB:
        # Samples become Y'CbCr, with the usual range, so that every player shows them correctly.
        # Grey keeps its range, and so its samples.
        kept = color.range if info.layout.family == "gray" else Range.LIMITED
        bare = replace(color, matrix=Matrix.UNSPECIFIED, range=kept)
        color = bare.guess_for(height=height, layout=layout)[0]
    if spec.limited_only and color.range is Range.FULL and layout.family == "yuv":
        color = replace(color, range=Range.LIMITED)
        notes.append(f"{name} supports limited range only: the full-range source is converted")
    return color, notes
