"""Colour tags and pixel layouts (ITU-T H.273), and how missing tags are guessed.

The numbers are H.273 code points, so streams are read and written with them directly. `UNSPECIFIED` is a
value like any other; only `ColorSpec.guess_for` replaces it. This file does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Literal, NamedTuple, TypeVar

E = TypeVar("E", bound=IntEnum)


class Matrix(IntEnum):
    """H.273 MatrixCoefficients; `codes.LUMA_WEIGHTS` has those that can be converted."""

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
    """FFmpeg's AVCOL_RANGE: H.273's video_full_range_flag with a value for "unspecified"."""

    UNSPECIFIED = 0
    LIMITED = 1
    """Luma 16 to 235, chroma 16 to 240 at 8 bits; FFmpeg calls it tv or mpeg."""
    FULL = 2
    """0 to 2^n - 1; FFmpeg calls it pc or jpeg."""


class ChromaLocation(IntEnum):
    """FFmpeg's AVCHROMA_LOC: H.273's Chroma420SampleLocType plus one, with a value for "unspecified"."""

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
    """How the samples of an image are stored, in one plane per component."""

    family: Family
    """`yuv` has planes Y, U, V; `rgb` has R, G, B (in this order); `gray` has one plane."""
    bit_depth: int
    """Bits of a sample, 8 to 16; above 8, in the low bits of 16-bit words."""
    chroma_shift: tuple[int, int] = (0, 0)
    """log2 of the chroma subsampling, (horizontal, vertical): (1, 1) is 4:2:0, (1, 0) 4:2:2, (0, 0) 4:4:4."""
    alpha: bool = False
    """Whether a full-size alpha plane of the same bit depth follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSpec:
    """The five colour tags of a stream or a frame."""

    matrix: Matrix = Matrix.UNSPECIFIED
    transfer: Transfer = Transfer.UNSPECIFIED
    primaries: Primaries = Primaries.UNSPECIFIED
    range: Range = Range.UNSPECIFIED
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED

    @classmethod
    def from_numbers(
        cls,
        *,
        matrix: int = Matrix.UNSPECIFIED,
        transfer: int = Transfer.UNSPECIFIED,
        primaries: int = Primaries.UNSPECIFIED,
        range: int = Range.UNSPECIFIED,
        chroma_location: int = ChromaLocation.UNSPECIFIED,
    ) -> ColorSpec:
        """Return the tags for numbers from a file or another program.

        The last two are FFmpeg's numbers, the others those of H.273. Reserved numbers mean unspecified.
        """
        return cls(
            matrix=_known(Matrix, matrix, Matrix.UNSPECIFIED),
            transfer=_known(Transfer, transfer, Transfer.UNSPECIFIED),
            primaries=_known(Primaries, primaries, Primaries.UNSPECIFIED),
            range=_known(Range, range, Range.UNSPECIFIED),
            chroma_location=_known(ChromaLocation, chroma_location, ChromaLocation.UNSPECIFIED),
        )

    def over(self, other: ColorSpec) -> ColorSpec:
        """Return these tags, with the unspecified ones taken from `other`."""
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return replace(other, **{name: value for name, value in given if value.name != "UNSPECIFIED"})

    def guess_for(
        self, *, height: int, layout: PixelLayout, codec: str = "", width: int = 0
    ) -> tuple[ColorSpec, list[str]]:
        """Replace unspecified tags by guesses.

        The rules are those of video players, so that the output looks like the source does in a player.

        Args:
            height: Height of the source in pixels; above 576 is high definition.
            layout: Layout of the source; R'G'B' and grey are full range unless tagged, Y'CbCr is limited.
            codec: FFmpeg's name of the source's codec, or `avif` for AV1 in such a file; some define a range,
                matrix or siting.
            width: Width of the source in pixels; from 1280 on it is high definition, even with a cropped
                height (1280x536). 0 if unknown.

        Returns:
            A spec without unspecified tags, and a sentence with the rule for each guessed tag.
        """
        rows = _guesses(self, Size(width, height), layout, codec)
        values: dict[str, Any] = {name: value for name, value, _ in rows}
        return replace(self, **values), [_sentence(self, *row) for row in rows]


def _known(kind: type[E], number: int, otherwise: E) -> E:
    try:
        return kind(number)
    except ValueError:
        return otherwise


UNTAGGED = ColorSpec()
"""All tags unspecified."""


class Size(NamedTuple):
    """Size of a source in pixels; a width of 0 is unknown."""

    width: int
    height: int

    @property
    def is_hd(self) -> bool:
        return self.width >= 1280 or self.height > 576

    def __str__(self) -> str:
        definition = "high" if self.is_hd else "standard"
        return f"{self.width or '?'}x{self.height}, {definition} definition"


Guess = tuple[str, IntEnum, str]
"""Field of `ColorSpec`, its value, and the rule in words."""


def _sentence(spec: ColorSpec, name: str, value: IntEnum, rule: str) -> str:
    tagged = getattr(spec, name).name
    found = "is not tagged" if tagged == "UNSPECIFIED" else f"is tagged {tagged}, which is impossible"
    return f"{name} {found}; assumed to be {value.name} ({rule})"


def _guesses(spec: ColorSpec, size: Size, layout: PixelLayout, codec: str) -> list[Guess]:
    # Some screen recorders and remuxers tag Y'CbCr samples as R'G'B'; real R'G'B' decodes to an "rgb" layout.
    impossible = layout.family == "yuv" and spec.matrix is Matrix.RGB
    known = replace(spec, matrix=Matrix.UNSPECIFIED) if impossible else spec
    rows = [_guess_range(layout, codec), _guess_chroma(codec)]
    if layout.family == "rgb":
        rows += _guess_rgb()
    elif _is_wide_gamut(known):
        rows += _guess_wide_gamut(known, layout)
    else:
        rows += _guess_by_size(known, size, codec)
    return [row for row in rows if getattr(known, row[0]).name == "UNSPECIFIED"]


def _guess_range(layout: PixelLayout, codec: str) -> Guess:
    if layout.family == "yuv" and codec in _JPEG_CODECS:
        return "range", Range.FULL, f"JFIF, the rule of {codec}"
    if layout.family == "yuv":
        return "range", Range.LIMITED, "usual for Y'CbCr"
    return "range", Range.FULL, "R'G'B' or grey samples"


def _guess_chroma(codec: str) -> Guess:
    value = ChromaLocation.CENTER if codec in _CENTRED_CODECS else ChromaLocation.LEFT
    return "chroma_location", value, f"usual for {codec or 'video'}"


def _guess_rgb() -> list[Guess]:
    rule = "R'G'B' samples"
    return [
        ("matrix", Matrix.RGB, rule),
        ("primaries", Primaries.BT709, rule),
        ("transfer", Transfer.SRGB, rule),
    ]


def _is_wide_gamut(spec: ColorSpec) -> bool:
    """Return whether any tag belongs to BT.2020 or BT.2100; the size, even 4K, is no evidence."""
    return (
        spec.primaries is Primaries.BT2020
        or spec.matrix in (Matrix.BT2020_NCL, Matrix.BT2020_CL)
        or spec.transfer in (Transfer.BT2020_10, Transfer.BT2020_12, Transfer.PQ, Transfer.HLG)
    )


def _guess_wide_gamut(spec: ColorSpec, layout: PixelLayout) -> list[Guess]:
    curve = Transfer.BT2020_10 if layout.bit_depth <= 10 else Transfer.BT2020_12
    rule = "another tag is of BT.2020 or BT.2100"
    return [
        ("matrix", Matrix.BT2020_NCL, rule),
        ("primaries", Primaries.BT2020, rule),
        ("transfer", curve, rule),
    ]


def _guess_by_size(spec: ColorSpec, size: Size, codec: str) -> list[Guess]:
    """Guess BT.709 for high definition, else BT.601, as mpv does.

    The primaries of BT.601 are guessed only for broadcast heights and if the matrix names a broadcast system:
    most other small video was scaled down, and scaling tools change the matrix but not the primaries.
    """
    if codec in _BT601_STANDARDS:
        matrix, rule = Matrix.BT470BG, f"{_BT601_STANDARDS[codec]}, the rule of {codec}"
    elif size.is_hd:
        matrix, rule = Matrix.BT709, str(size)
    else:
        matrix, rule = (Matrix.BT470BG if size.height in _PAL else Matrix.SMPTE170M), str(size)
    primaries, where = Primaries.BT709, rule
    if not size.is_hd and size.height in _PRIMARIES_OF_HEIGHT:
        primaries = _PRIMARIES_OF_HEIGHT[size.height]
    if spec.matrix in _PRIMARIES_OF and not (size.is_hd and spec.matrix in _BT601):
        primaries, where = _PRIMARIES_OF[spec.matrix], f"matrix {spec.matrix.name}"
    curve = _TRANSFER_OF.get(primaries, Transfer.SMPTE170M)
    return [("matrix", matrix, rule), ("primaries", primaries, where), ("transfer", curve, where)]


_PAL, _NTSC = (288, 576), (240, 480, 486)
"""Heights of systems with 625 and 525 lines, of a frame and of one field."""
_PRIMARIES_OF_HEIGHT = dict.fromkeys(_PAL, Primaries.BT470BG) | dict.fromkeys(_NTSC, Primaries.SMPTE170M)
_BT601 = (Matrix.BT470BG, Matrix.SMPTE170M)
_PRIMARIES_OF = {
    Matrix.BT709: Primaries.BT709,
    Matrix.BT470BG: Primaries.BT470BG,
    Matrix.SMPTE170M: Primaries.SMPTE170M,
    Matrix.SMPTE240M: Primaries.SMPTE240M,
}
_TRANSFER_OF = {Primaries.BT709: Transfer.BT709, Primaries.SMPTE240M: Transfer.SMPTE240M}
_JPEG_CODECS = frozenset({"mjpeg", "mjpegb"})
"""Codecs whose frames are JFIF files: full range and BT.601, whatever the size (ITU-T T.871)."""
_BT601_STANDARDS = dict.fromkeys(_JPEG_CODECS, "JFIF") | {"avif": "MIAF"}
"""Codecs that are BT.601 unless tagged, whatever the size, and the standard that says so (ITU-T T.871;
ISO/IEC 23000-22 Amendment 2, 7.3.6.4)."""
_CENTRED_CODECS = _BT601_STANDARDS.keys() | {"mpeg1video", "jpeg2000", "webp", "vp8", "theora", "h261"}
"""Codecs whose 4:2:0 chroma is centred between four luma samples (JPEG and MPEG-1, T.871 and ISO/IEC
11172-2), and AVIF, which libavif writes and reads so."""
