"""What the numbers of a picture mean: the five colour tags of ITU-T H.273, and how samples are laid out.

Numbers are H.273 code points, so they are written to and read from streams as they are; `UNSPECIFIED` is a
value like any other, and guessing it away is a named step (`ColorSpec.guess_for`). No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal


class Matrix(IntEnum):
    """H.273 MatrixCoefficients; those we convert with are in `convert.LUMA_WEIGHTS`."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    """BT.601, 625 lines."""
    SMPTE170M = 6
    """BT.601, 525 lines; the same numbers as BT470BG."""
    SMPTE240M = 7
    YCGCO = 8
    BT2020_NCL = 9
    BT2020_CL = 10
    SMPTE2085 = 11
    CHROMA_DERIVED_NCL = 12
    CHROMA_DERIVED_CL = 13
    ICTCP = 14


class Transfer(IntEnum):
    """H.273 TransferCharacteristics."""

    BT709 = 1
    UNSPECIFIED = 2
    GAMMA22 = 4
    GAMMA28 = 5
    SMPTE170M = 6
    SMPTE240M = 7
    LINEAR = 8
    LOG = 9
    LOG_SQRT = 10
    IEC61966_2_4 = 11
    BT1361 = 12
    SRGB = 13
    BT2020_10 = 14
    BT2020_12 = 15
    PQ = 16
    """SMPTE ST 2084, the curve of HDR10."""
    SMPTE428 = 17
    HLG = 18
    """ARIB STD-B67."""


class Primaries(IntEnum):
    """H.273 ColourPrimaries."""

    BT709 = 1
    UNSPECIFIED = 2
    BT470M = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    FILM = 8
    BT2020 = 9
    SMPTE428 = 10
    SMPTE431 = 11
    SMPTE432 = 12
    EBU3213 = 22


class Range(IntEnum):
    """FFmpeg's AVCOL_RANGE: H.273's video_full_range_flag with a value for "not said"."""

    UNSPECIFIED = 0
    LIMITED = 1
    """Luma 16 to 235, chroma 16 to 240 at 8 bits; FFmpeg calls it tv or mpeg."""
    FULL = 2
    """0 to 2^n - 1; FFmpeg calls it pc or jpeg."""


class ChromaLocation(IntEnum):
    """FFmpeg's AVCHROMA_LOC: H.273's Chroma420SampleLocType plus one, with a value for "not said"."""

    UNSPECIFIED = 0
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6


Family = Literal["yuv", "rgb", "gray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLayout:
    """How the samples of a picture are stored, whatever they mean: one plane a component."""

    family: Family
    """`yuv` has planes Y, U, V; `rgb` R, G, B (in this order); `gray` one."""
    bit_depth: int
    """Bits in a sample, 8 to 16; more than 8 are held in 16-bit words, in the low bits."""
    chroma_shift: tuple[int, int] = (0, 0)
    """log2 of the chroma subsampling, (horizontal, vertical): (1, 1) is 4:2:0, (1, 0) 4:2:2, (0, 0) 4:4:4."""
    alpha: bool = False
    """Whether a full-size alpha plane of the same depth follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSpec:
    """The five tags of a stream or a frame."""

    matrix: Matrix = Matrix.UNSPECIFIED
    transfer: Transfer = Transfer.UNSPECIFIED
    primaries: Primaries = Primaries.UNSPECIFIED
    range: Range = Range.UNSPECIFIED
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED

    def guess_for(self, *, height: int, layout: PixelLayout, codec: str = "") -> tuple[ColorSpec, list[str]]:
        """Fill in what is unspecified, and say by which rule.

        Args:
            height: Of the source picture in pixels; 576 lines and fewer are taken for standard definition.
            layout: Of the source; R'G'B' and grey are full range unless tagged, Y'CbCr is limited.
            codec: FFmpeg's name of the source's codec; some have a chroma siting of their own.

        Returns:
            A spec without an unspecified tag, and one sentence for each tag that was guessed.
        """
        rows = _guesses(self, height, layout, codec)
        values: dict[str, Any] = {name: value for name, value, _ in rows}
        said = [f"{name} is not tagged; taken as {value.name} ({rule})" for name, value, rule in rows]
        return replace(self, **values), said


Guess = tuple[str, IntEnum, str]
"""Field of `ColorSpec`, its value, and the rule in words."""


def _guesses(spec: ColorSpec, height: int, layout: PixelLayout, codec: str) -> list[Guess]:
    rows = [_guess_range(layout), _guess_chroma(codec)]
    if layout.family == "rgb":
        rule = "R'G'B' samples"
        rows += [("matrix", Matrix.RGB, rule), ("primaries", Primaries.BT709, rule)]
        rows += [("transfer", Transfer.SRGB, rule)]
    elif Primaries.BT2020 is spec.primaries or spec.matrix in (Matrix.BT2020_NCL, Matrix.BT2020_CL):
        curve = Transfer.BT2020_10 if layout.bit_depth <= 10 else Transfer.BT2020_12
        rows += [("matrix", Matrix.BT2020_NCL, "BT.2020 primaries"), ("transfer", curve, "BT.2020")]
        rows += [("primaries", Primaries.BT2020, "BT.2020 matrix")]
    else:
        rows += _guess_by_size(spec, height)
    return [row for row in rows if getattr(spec, row[0]).name == "UNSPECIFIED"]


def _guess_range(layout: PixelLayout) -> Guess:
    if layout.family == "yuv":
        return "range", Range.LIMITED, "usual for Y'CbCr"
    return "range", Range.FULL, "R'G'B' or grey samples"


def _guess_chroma(codec: str) -> Guess:
    value = ChromaLocation.CENTER if codec in _CENTRED_CODECS else ChromaLocation.LEFT
    return "chroma_location", value, f"usual for {codec or 'video'}"


def _guess_by_size(spec: ColorSpec, height: int) -> list[Guess]:
    """BT.709 above 576 lines; below, BT.601 of 625 lines for PAL heights, else of 525 lines."""
    known = _PRIMARIES_OF.get(spec.matrix)
    if height > 576 or known is Primaries.BT709:
        matrix, primaries, curve = Matrix.BT709, Primaries.BT709, Transfer.BT709
    elif height in (288, 576):
        matrix, primaries, curve = Matrix.BT470BG, Primaries.BT470BG, Transfer.SMPTE170M
    else:
        matrix, primaries, curve = Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M
    rule = f"{height} lines, {'high' if height > 576 else 'standard'} definition"
    where = rule if known is None else f"matrix {spec.matrix.name}"
    return [
        ("matrix", matrix, rule),
        ("primaries", known or primaries, where),
        ("transfer", curve, where),
    ]


_PRIMARIES_OF = {
    Matrix.BT709: Primaries.BT709,
    Matrix.BT470BG: Primaries.BT470BG,
    Matrix.SMPTE170M: Primaries.SMPTE170M,
    Matrix.SMPTE240M: Primaries.SMPTE240M,
    Matrix.BT2020_NCL: Primaries.BT2020,
    Matrix.BT2020_CL: Primaries.BT2020,
}
_CENTRED_CODECS = frozenset({"mpeg1video", "mjpeg", "mjpegb", "jpeg2000", "webp", "vp8"})
"""Codecs whose 4:2:0 chroma sits between four luma samples (JPEG and MPEG-1, ISO/IEC 10918-5 and 11172-2)."""
