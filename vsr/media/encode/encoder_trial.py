"""Finds out whether an encoder works on this machine, by opening it."""

from __future__ import annotations

import os
from fractions import Fraction
from functools import cache
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext

from vsr.media.encode.encoder_table import ENCODERS, EncoderSpec
from vsr.system.scheduling import kept_priority

_SIDE = 256
"""Width and height with which an encoder is opened; larger than the minimum of every encoder."""


def why_not(name: str) -> str | None:
    """Return the reason why an encoder of the table cannot be used on this machine; None if it can.

    A software encoder is assumed to work if FFmpeg contains it. A hardware encoder is opened.
    """
    if name not in av.codecs_available:
        return "not in this build of PyAV"
    spec = ENCODERS[name]
    return None if spec.needs is None or opens(name) else f"does not open: it needs {spec.needs}"


@cache
def opens(name: str) -> bool:
    """Return whether an encoder of the table opens for a small frame in its first pixel format.

    Drivers take up to a second for this, so the result is cached.
    """
    spec = ENCODERS[name]
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
        if not context.is_encoder:
            return False
        first = spec.pixel_formats[0]
        context.width = context.height = _SIDE
        context.pix_fmt = spec.stored_as.get(first, first)
        context.framerate = Fraction(25)
        context.options = _options(spec)
        open_encoder(context)
    except (av.FFmpegError, ValueError):
        return False
    return True


def open_encoder(context: VideoCodecContext) -> None:
    """Open an encoder. Its messages are suppressed, and its changes to thread priorities are undone.

    Raises:
        av.FFmpegError, ValueError: the encoder does not open with this hardware, size, format or options.
    """
    if context.name == "libsvtav1":
        # SVT-AV1 writes a page of information to stderr; with 1 it writes errors only. It reads this once in
        # a process, so after a host program has opened it otherwise, the host's level stays.
        os.environ.setdefault("SVT_LOG", "1")
    with kept_priority():
        context.open()


def _options(spec: EncoderSpec) -> dict[str, str]:
    quality = spec.quality.options(spec.quality.default) if spec.quality is not None else {}
    preset = {spec.preset.option: spec.preset.default} if spec.preset is not None else {}
    return {**spec.options, **quality, **{key: value for key, value in preset.items() if value != "auto"}}
