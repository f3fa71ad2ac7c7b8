"""Which metadata a result keeps: all that its format has a place for, corrected for the result's size."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

from vsr.color.spec import ColorSpec, Primaries, Transfer
from vsr.media.pictures import exif, xmp
from vsr.media.pictures.formats import jpeg, tiff
from vsr.media.pictures.kinds import Kind
from vsr.media.pictures.metadata import Metadata

_THUMBNAIL = "the thumbnail"
_SRGB = (
    (b"sRGB", None),
    (b"gAMA", struct.pack(">L", 45455)),
    (b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    (b"cICP", b"\x01\x0d\0\x01"),
)
"""Chunks that describe sRGB, which is what pictures without a description are."""
_DESCRIPTIONS = (b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI")
_USUAL = (
    (Primaries.UNSPECIFIED, Primaries.BT709),
    (
        Transfer.UNSPECIFIED,
        Transfer.BT709,
        Transfer.SRGB,
        Transfer.SMPTE170M,
    ),
)
"""Primaries and curves that programs show as sRGB where nothing is stated."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The metadata of a result."""

    metadata: Metadata
    left_out: tuple[str, ...]
    """A phrase for each thing that the result does not have."""


def kept(source: Metadata, kind: Kind, tagged: ColorSpec, *, width: int, height: int) -> Kept:
    """Return the metadata for a result.

    Args:
        source: Of the source.
        kind: Format of the result.
        tagged: The colour tags of the source, as they are in its file.
        width: Width of the result in pixels.
        height: Height of the result in pixels.
    """
    gone = dict.fromkeys(source.left_out)
    metadata = _upright(source, gone, width=width, height=height)
    metadata = _with_color(metadata, kind, tagged, gone)
    return Kept(*_fitted(metadata, kind, gone))


def _upright(source: Metadata, gone: dict[str, None], *, width: int, height: int) -> Metadata:
    """Return metadata for an upright picture of this size, without thumbnails of the source."""
    if source.exif:
        turned = exif.upright(source.exif, width=width, height=height)
        source = replace(source, exif=turned.data)
        if turned.had_thumbnail:
            gone[_THUMBNAIL] = None
    if source.xmp:
        packet = xmp.upright(source.xmp, width=width, height=height)
        gone |= dict.fromkeys(packet.left_out)
        source = replace(source, xmp=packet.data)
    return source


def _with_color(metadata: Metadata, kind: Kind, tagged: ColorSpec, gone: dict[str, None]) -> Metadata:
    """Describe colours that only tags describe: PNG has a chunk for them, other formats have nothing."""
    usual = tagged.primaries in _USUAL[0] and tagged.transfer in _USUAL[1]
    if metadata.icc or usual or any(name in _DESCRIPTIONS for name, _ in metadata.chunks):
        return metadata
    if kind == "png":
        numbers = bytes([tagged.primaries, tagged.transfer, 0, 1])
        return replace(metadata, chunks=(*metadata.chunks, (b"cICP", numbers)))
    gone[f"the colour tags ({tagged.primaries.name}, {tagged.transfer.name}); PNG keeps them"] = None
    return metadata


def _fitted(metadata: Metadata, kind: Kind, gone: dict[str, None]) -> tuple[Metadata, tuple[str, ...]]:
    """Return what a format has a place for, and phrases for the rest."""
    lost: dict[str, bool] = {}
    if kind != "jpeg":
        lost["extended XMP and other JPEG segments"] = bool(metadata.segments)
        metadata = replace(metadata, segments=())
    if kind != "png":
        described = [one for one in metadata.chunks if one[0] in _DESCRIPTIONS and one not in _SRGB]
        lost["the description of colours (gAMA, cHRM, cICP); PNG keeps it"] = (
            bool(described) and not metadata.icc
        )
        others = [name for name, _ in metadata.chunks if name not in (*_DESCRIPTIONS, b"sRGB")]
        for name in others:
            lost[f"the chunk {name.decode('latin-1')}"] = True
        metadata = replace(metadata, chunks=())
    if kind == "webp":
        lost["IPTC"] = bool(metadata.photoshop)
        lost["texts"] = bool(metadata.texts)
        lost["the density, for WebP has no place for it"] = metadata.density is not None and not metadata.exif
        metadata = replace(metadata, photoshop=b"", texts=(), density=None)
    if kind == "tiff" and not tiff.texts_fit(metadata):
        lost["texts"] = True
        metadata = replace(metadata, texts=())
    if kind == "jpeg":
        metadata = _short_enough(metadata, lost)
    gone |= dict.fromkeys(name for name, is_lost in lost.items() if is_lost)
    return metadata, tuple(gone)


_LONG = {"exif": "EXIF data", "xmp": "XMP data", "texts": "texts", "icc": "the colour profile"}


def _short_enough(metadata: Metadata, lost: dict[str, bool]) -> Metadata:
    """Leave out what is too long for the segments of JPEG."""
    for name in jpeg.too_long(metadata):
        lost[f"{_LONG[name]}, too long for JPEG"] = True
        empty: Any = () if name == "texts" else b""
        metadata = replace(metadata, **{name: empty})
    return metadata
