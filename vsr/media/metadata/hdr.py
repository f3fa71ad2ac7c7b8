"""Mastering display and light level metadata as options of each encoder."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from vsr.frame import ContentLight, MasteringDisplay, VideoInfo

CHROMATICITY_STEP = Fraction(1, 50_000)
"""Unit of a chromaticity in the SEI message (ITU-T H.265, D.3.28)."""
LUMINANCE_STEP = Fraction(1, 10_000)
"""Unit of a luminance in that message, in cd/m2."""

Writer = Callable[[MasteringDisplay | None, ContentLight | None], dict[str, str]]
"""Makes sub-options of an encoder from the metadata."""


def _in_steps(display: MasteringDisplay) -> str:
    """Return `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)` in whole units, as x264 and x265 expect it."""
    points = {"G": display.green, "B": display.blue, "R": display.red, "WP": display.white}
    text = "".join(
        f"{name}({round(x / CHROMATICITY_STEP)},{round(y / CHROMATICITY_STEP)})"
        for name, (x, y) in points.items()
    )
    top, bottom = display.max_luminance / LUMINANCE_STEP, display.min_luminance / LUMINANCE_STEP
    return f"{text}L({round(top)},{round(bottom)})"


def _in_decimals(display: MasteringDisplay) -> str:
    """Return the same in decimal fractions, as SVT-AV1 expects it."""
    points = {"G": display.green, "B": display.blue, "R": display.red, "WP": display.white}
    text = "".join(f"{name}({float(x):.5f},{float(y):.5f})" for name, (x, y) in points.items())
    return f"{text}L({float(display.max_luminance):.4f},{float(display.min_luminance):.4f})"


def _x264(display: MasteringDisplay | None, light: ContentLight | None) -> dict[str, str]:
    return _words("mastering-display", _in_steps(display) if display else None, "cll", light)


def _x265(display: MasteringDisplay | None, light: ContentLight | None) -> dict[str, str]:
    words = _words("master-display", _in_steps(display) if display else None, "max-cll", light)
    return words | {"hdr10": "1"} if words else words


def _svt(display: MasteringDisplay | None, light: ContentLight | None) -> dict[str, str]:
    return _words("mastering-display", _in_decimals(display) if display else None, "content-light", light)


def _words(
    display_key: str, display: str | None, light_key: str, light: ContentLight | None
) -> dict[str, str]:
    words = {display_key: display} if display else {}
    return words | ({light_key: f"{light.max_cll},{light.max_fall}"} if light else {})


WRITERS: dict[str, tuple[str, Writer]] = {
    "libx264": ("x264-params", _x264),
    "libx265": ("x265-params", _x265),
    "libsvtav1": ("svtav1-params", _svt),
}
"""Maps an encoder to the option that contains sub-options, and to the function that makes these."""


def hdr_options(codec: str, info: VideoInfo, *, in_file: bool) -> tuple[dict[str, str], list[str]]:
    """Return options that write the mastering metadata into the stream, and a note where the metadata is
    lost.

    Args:
        codec: FFmpeg's name of the encoder.
        info: Of the source.
        in_file: Whether the output is a file, whose container stores them, too (`matroska_track`,
            `mp4_track`).

    Returns:
        At most one option with sub-options, `key=value` joined by colons; at most one sentence.
    """
    if info.mastering_display is None and info.content_light is None:
        return {}, []
    if codec not in WRITERS:
        return {}, [] if in_file else ["a pipe cannot carry the HDR mastering metadata of the source"]
    option, write = WRITERS[codec]
    words = write(info.mastering_display, info.content_light)
    return {option: ":".join(f"{key}={value}" for key, value in words.items())}, []
