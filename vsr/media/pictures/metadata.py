"""What the file of a picture contains besides its samples, in a form that does not depend on the format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A keyword with a text: a text chunk of PNG, or a comment of JPEG, which has no keyword."""

    keyword: str
    text: str
    chunk: tuple[bytes, bytes] | None = None
    """Type and content of the PNG chunk that it was read from, so that a PNG keeps it byte for byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """How many pixels are printed on a length."""

    x: float
    y: float
    unit: str
    """`inch`, `centimetre`, `metre`, or `none`: then only the proportions of a pixel are known."""

    def per_metre(self) -> tuple[int, int]:
        """Return whole pixels per metre; the plain numbers if there is no unit."""
        length = {"inch": 0.0254, "centimetre": 0.01}.get(self.unit, 1)
        return round(self.x / length), round(self.y / length)

    def per_inch(self) -> tuple[float, float]:
        """Return pixels per inch; the plain numbers if there is no unit."""
        length = {"metre": 0.0254, "centimetre": 2.54}.get(self.unit, 1)
        return self.x * length, self.y * length


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The metadata of a picture, without what describes the stored samples."""

    exif: bytes = b""
    """A TIFF structure, as in the APP1 segment of JPEG after its six bytes of identification."""
    icc: bytes = b""
    """The colour profile. Samples are never converted to another one."""
    xmp: bytes = b""
    """An XMP packet in UTF-8."""
    photoshop: bytes = b""
    """Image resource blocks of Photoshop; block 0x0404 is IPTC."""
    texts: tuple[Text, ...] = ()
    density: Density | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Type and content of PNG chunks that only PNG has: gAMA, cHRM, sRGB, cICP, mDCV, cLLI and others."""
    segments: tuple[tuple[int, bytes], ...] = ()
    """Marker and content of JPEG segments that only JPEG has."""
    left_out: tuple[str, ...] = ()
    """A phrase for each thing that the file contains and no result of `vsr` can."""
