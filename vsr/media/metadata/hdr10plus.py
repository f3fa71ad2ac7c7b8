"""Converts HDR10+ (SMPTE ST 2094-40) from FFmpeg's structure back to the ITU-T T.35 message that carries it.

The syntax is that of CTA-861-H, annex S. Offsets are those of libavutil/hdr_dynamic_metadata.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from vsr.media.metadata.bits import BitWriter

_HEAD = bytes.fromhex("b5003c000104")
"""Country (USA), provider (Samsung), provider code, and application 4."""
_PARAMS = 4
"""Offset of the first window's parameters."""
_TARGET = 1288
_TARGET_PEAKS = 1296
_MASTERING_PEAKS = 6300
_SIZE = 11304
_PEAKS_A_ROW = 25
_LUMINANCE, _SHARE, _PEAK, _BRIGHT, _KNEE, _ANCHOR, _SATURATION = 1, 100_000, 15, 1000, 4095, 1023, 8
"""The number of steps in 1.0, for each kind of fraction."""


def hdr10plus_message(data: bytes) -> bytes | None:
    """Return the T.35 message, including the country code.

    Args:
        data: An AVDynamicHDRPlus.

    Returns:
        None if the frame has several windows, whose positions are in pixels of the smaller frame, or if the
        numbers are invalid.
    """
    if len(data) < _SIZE or data[2] != 1:
        return None
    try:
        return _HEAD + _body(data)
    except (ValueError, ZeroDivisionError):
        return None


def _body(data: bytes) -> bytes:
    bits = BitWriter()

    def fraction(offset: int, steps: int, width: int) -> None:
        top, bottom = struct.unpack_from("=2i", data, offset)
        bits.put(top * steps // bottom, width)

    bits.put(data[1], 8)
    bits.put(1, 2)
    fraction(_TARGET, _LUMINANCE, 27)
    _peaks(data, _TARGET_PEAKS, bits, fraction)
    _distribution(data, bits, fraction)
    _peaks(data, _MASTERING_PEAKS, bits, fraction)
    _tone_mapping(data, bits, fraction)
    return bits.done()


_Fraction = Callable[[int, int, int], None]


def _peaks(data: bytes, offset: int, bits: BitWriter, fraction: _Fraction) -> None:
    """Write the flag, and the table of luminances if it is set."""
    flag, rows, columns = data[offset : offset + 3]
    bits.put(flag, 1)
    if not flag:
        return
    bits.put(rows, 5)
    bits.put(columns, 5)
    for row in range(rows):
        for column in range(columns):
            fraction(offset + 4 + 8 * (row * _PEAKS_A_ROW + column), _PEAK, 4)


def _distribution(data: bytes, bits: BitWriter, fraction: _Fraction) -> None:
    for offset in (48, 56, 64, 72):  # the brightest R, G and B, and the mean
        fraction(_PARAMS + offset, _SHARE, 17)
    count = data[_PARAMS + 80]
    bits.put(count, 4)
    for number in range(count):
        offset = _PARAMS + 84 + 12 * number
        bits.put(data[offset], 7)
        fraction(offset + 4, _SHARE, 17)
    fraction(_PARAMS + 264, _BRIGHT, 10)


def _tone_mapping(data: bytes, bits: BitWriter, fraction: _Fraction) -> None:
    mapped = data[_PARAMS + 272]
    bits.put(mapped, 1)
    if mapped:
        fraction(_PARAMS + 276, _KNEE, 12)
        fraction(_PARAMS + 284, _KNEE, 12)
        count = data[_PARAMS + 292]
        bits.put(count, 4)
        for number in range(count):
            fraction(_PARAMS + 296 + 8 * number, _ANCHOR, 10)
    saturated = data[_PARAMS + 416]
    bits.put(saturated, 1)
    if saturated:
        fraction(_PARAMS + 420, _SATURATION, 6)
