"""Brings all frames of a stream to one size, pixel format and range, and tags each with its own colour
matrix.

Broadcast recordings and joined files change these within a stream, but an output file states most of them
once. Therefore frames are converted, or the user is told where the change is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from av import VideoFrame

from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.frame import Stamp, VideoInfo
from vsr.media.decode.entry import First
from vsr.media.files.pyav import fraction
from vsr.media.metadata.tags import color_of
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.planes import repacked

_SAME_CURVE = frozenset({Transfer.BT709, Transfer.SMPTE170M, Transfer.BT2020_10, Transfer.BT2020_12})
"""H.273 defines the same transfer function for these."""
_SAME_MATRIX = frozenset({Matrix.BT470BG, Matrix.SMPTE170M})
"""H.273 defines the same coefficients for these."""


class Uniform:
    """Converts the frames of a stream to the properties of its first frame."""

    def __init__(self, info: VideoInfo, override: ColorSpec, warn: Callable[[str], None]) -> None:
        """Start before the first frame.

        Args:
            info: Size, format and colour that all frames are converted to.
            override: Colour tags that override those of the frames.
            warn: Takes a sentence for each change, possibly the same one repeatedly.
        """
        self._info, self._override, self._warn = info, override, warn
        self._first: Fraction | None = None
        self._pixel: Fraction | None = None
        self._size = (0, 0)
        self._warned: set[str] = set()
        self._seen: dict[tuple[int | str, ...], ColorSpec] = {}

    def begin_after(self, first: First, time_base: Fraction) -> None:
        """Judge later frames as if the first frame of the stream had been converted."""
        self._first, self._pixel = first.pts * time_base, first.pixel
        self._size = (first.width, first.height)

    def frame(self, frame: VideoFrame, stamp: Stamp, decoder: object) -> VideoFrame:
        """Return the frame with the size, format and range of `info`, planar, tagged with its own matrix."""
        if self._first is None:
            self._first, self._size = stamp.seconds, (frame.width, frame.height)
        self._see_shape(decoder, stamp)
        info, color = self._info, self._color_of(frame, stamp)
        same_size = (frame.width, frame.height) == (info.width, info.height)
        same_format = frame.format.name == info.pixel_format
        ranges = (color.range, info.color.range)
        if same_size and same_format and ranges[0] is ranges[1]:
            made = repacked(frame, info.layout)
        else:
            self._warn_of_conversion(frame, same_size, same_format, ranges)
            made = repacked(frame, info.layout, width=info.width, height=info.height, ranges=ranges)
        if color.matrix is not info.color.matrix:
            made.colorspace = int(color.matrix)
        return made

    def color(self, frame: VideoFrame) -> ColorSpec:
        """Return the colour of a frame that `frame` returned, also after filters."""
        color = self._info.color
        if self._fixed_matrix or frame.colorspace == int(color.matrix):
            return color
        own = ColorSpec.from_numbers(matrix=frame.colorspace).matrix
        return color if own is Matrix.UNSPECIFIED else replace(color, matrix=own)

    @property
    def _fixed_matrix(self) -> bool:
        return self._info.layout.family != "yuv" or self._override.matrix is not Matrix.UNSPECIFIED

    def _warn_of_conversion(
        self, frame: VideoFrame, same_size: bool, same_format: bool, ranges: tuple[Range, Range]
    ) -> None:
        info = self._info
        if not same_size:
            self._warn(
                f"the frame size changes within the video; all are scaled to {info.width}x{info.height}"
            )
        if not same_format:
            self._warn(f"the pixel format changes within the video; all are converted to {info.pixel_format}")
        if ranges[0] is not ranges[1]:
            self._warn(
                f"the colour range changes within the video; all are converted to {ranges[1].name.lower()}"
            )

    def _color_of(self, frame: VideoFrame, stamp: Stamp) -> ColorSpec:
        """Return range and matrix of a frame: the override, else its tags, else what is guessed for a first
        frame.
        """
        tags = (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries)
        key = (*tags, frame.width, frame.height, frame.format.name)
        if key not in self._seen:
            self._seen[key] = self._judged(frame, stamp)
        return self._seen[key]

    def _judged(self, frame: VideoFrame, stamp: Stamp) -> ColorSpec:
        info = self._info
        tagged = self._override.over(color_of(frame, ChromaLocation.UNSPECIFIED))
        guessed, _ = tagged.guess_for(
            width=frame.width, height=frame.height, layout=layout_of(frame.format.name), codec=info.codec
        )
        matrix = info.color.matrix if self._keeps_matrix(frame, tagged, guessed) else guessed.matrix
        if matrix is not info.color.matrix:
            wanted = _name(info.color.matrix)
            self._warn(f"the colour matrix changes within the video; all frames are converted to {wanted}")
        self._see_curve(tagged, stamp)
        return replace(guessed, matrix=matrix)

    def _keeps_matrix(self, frame: VideoFrame, tagged: ColorSpec, guessed: ColorSpec) -> bool:
        """Return whether the first frame's matrix applies to this frame, too.

        It does where the frame has no tag and the first frame's size, where it is not Y'CbCr, and where both
        matrices are equal.
        """
        untagged = tagged.matrix is Matrix.UNSPECIFIED and (frame.width, frame.height) == self._size
        other_kind = self._fixed_matrix or layout_of(frame.format.name).family != "yuv"
        return untagged or other_kind or {guessed.matrix, self._info.color.matrix} <= _SAME_MATRIX

    def _see_curve(self, tagged: ColorSpec, stamp: Stamp) -> None:
        """Warn if primaries or the transfer curve change: these are tags of the whole output."""
        color = self._info.color
        if tagged.primaries not in (Primaries.UNSPECIFIED, color.primaries):
            self._warn_once("set of colour primaries", _name(color.primaries), _name(tagged.primaries), stamp)
        curves = {tagged.transfer, color.transfer}
        if tagged.transfer is not Transfer.UNSPECIFIED and len(curves) > 1 and not curves <= _SAME_CURVE:
            self._warn_once("transfer curve", _name(color.transfer), _name(tagged.transfer), stamp)

    def _see_shape(self, decoder: object, stamp: Stamp) -> None:
        """Warn if the sample aspect ratio in the stream itself changes."""
        pixel = fraction(getattr(decoder, "sample_aspect_ratio", None))
        if not pixel or pixel == self._pixel:
            return
        if self._pixel is not None:
            before, after = (f"{one.numerator}:{one.denominator}" for one in (self._pixel, pixel))
            self._warn_once("pixel aspect ratio", before, after, stamp)
        else:
            self._pixel = pixel

    def _warn_once(self, what: str, before: str, after: str, stamp: Stamp) -> None:
        if what in self._warned:
            return
        self._warned.add(what)
        seconds = float(stamp.seconds - (self._first or 0))
        self._warn(
            f"the {what} changes at about {seconds:.3f} s from {before} to {after}, and a file has only one: "
            f"later frames are shown with {before}, too; split the source there to keep both"
        )


def _name(tag: Matrix | Primaries | Transfer) -> str:
    return tag.name.lower()
