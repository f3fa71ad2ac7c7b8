"""Splits packets of H.264 and H.265 into NAL units, and reads the headers that say where decoding can
begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vsr.media.decoders.bit_reader import BitReader, without_emulation

_START = b"\0\0\1"
_HEADER_BYTES = 64
"""More than the part of a slice header or picture parameter set that is read."""
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose sequence parameter sets state the chroma format (ITU-T H.264, 7.3.2.1.1)."""
_OWN_RATIO = 255
"""aspect_ratio_idc of a ratio that is written out."""


def nal_units(packet: bytes, length_size: int) -> Iterator[bytes]:
    """Yield the NAL units of a packet.

    Args:
        packet: One access unit.
        length_size: Bytes of the length before each unit (MP4, Matroska); 0 where start codes separate them.
    """
    if length_size:
        at = 0
        while at + length_size < len(packet):
            size = int.from_bytes(packet[at : at + length_size])
            yield packet[at + length_size : at + length_size + size]
            at += length_size + size
        return
    at = packet.find(_START)
    while at >= 0:
        end = packet.find(_START, at + 3)
        yield packet[at + 3 : end if end >= 0 else len(packet)]
        at = end


def header_of(unit: bytes, skipped: int) -> BitReader:
    """Return a reader of a unit's first fields, after the `skipped` bytes of the NAL unit header."""
    return BitReader(without_emulation(unit[skipped : skipped + _HEADER_BYTES]))


@dataclass(frozen=True, slots=True)
class H264Sequence:
    """Facts of a sequence parameter set of H.264."""

    number: int
    frame_num_bits: int
    frames_only: bool
    """Whether no picture is a single field."""
    separate_planes: bool
    gaps: bool
    """Whether frame numbers may have gaps, for which decoders invent frames."""
    ordered: bool
    """Whether it says by how much decoders have to reorder frames; otherwise FFmpeg guesses it."""


def read_h264_sequence(unit: bytes) -> H264Sequence:
    """Read a sequence parameter set (ITU-T H.264, 7.3.2.1.1).

    Raises:
        EOFError: it is damaged.
    """
    bits = BitReader(without_emulation(unit[1:]))
    profile = bits.read(8)
    bits.skip(16)
    number = bits.unsigned()
    separate = _chroma_of(bits) if profile in _HIGH_PROFILES else False
    frame_num_bits = bits.unsigned() + 4
    kind = _order_type(bits)
    bits.unsigned()
    gaps = bits.flag()
    bits.unsigned(), bits.unsigned()
    frames_only = bits.flag()
    bits.skip(1 if frames_only else 2)
    if bits.flag():
        for _ in range(4):
            bits.unsigned()
    stated = bits.flag() and _states_reordering(bits)
    return H264Sequence(number, frame_num_bits, frames_only, separate, gaps, ordered=stated or kind == 2)


def _chroma_of(bits: BitReader) -> bool:
    """Pass over the fields of high profiles; return whether the colour planes are separate."""
    chroma = bits.unsigned()
    separate = chroma == 3 and bits.flag()
    bits.unsigned(), bits.unsigned(), bits.flag()
    if bits.flag():
        for number in range(8 if chroma != 3 else 12):
            if bits.flag():
                _pass_scaling_list(bits, 16 if number < 6 else 64)
    return separate


def _pass_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _order_type(bits: BitReader) -> int:
    """Pass over the fields of the picture order count; return its type. 2 means output in decoding order."""
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.flag(), bits.signed(), bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()
    return kind


def _states_reordering(bits: BitReader) -> bool:
    """Read the video usability information as far as bitstream_restriction_flag (ITU-T H.264, E.1.1)."""
    if bits.flag() and bits.read(8) == _OWN_RATIO:
        bits.skip(32)
    if bits.flag():
        bits.skip(1)
    if bits.flag():
        bits.skip(4)
        if bits.flag():
            bits.skip(24)
    if bits.flag():
        bits.unsigned(), bits.unsigned()
    if bits.flag():
        bits.skip(65)
    models = [_passed_model(bits) for _ in range(2) if bits.flag()]
    bits.skip(2 if models else 1)
    return bits.flag()


def _passed_model(bits: BitReader) -> bool:
    """Pass over the parameters of a hypothetical reference decoder (ITU-T H.264, E.1.2)."""
    count = min(bits.unsigned(), 31) + 1
    bits.skip(8)
    for _ in range(count):
        bits.unsigned(), bits.unsigned(), bits.flag()
    bits.skip(20)
    return True


def is_exact_recovery_point(unit: bytes) -> bool:
    """Return whether an SEI message of H.264 says that all frames shown from here on are exact if decoding
    begins here (ITU-T H.264, D.1.8).
    """
    data, at = without_emulation(unit[1:]), 0
    while at + 2 < len(data):
        numbers = []
        for _ in range(2):  # the type and the size
            value = 0
            while at < len(data) and data[at] == 255:
                value, at = value + 255, at + 1
            if at >= len(data):
                return False
            value, at = value + data[at], at + 1
            numbers.append(value)
        kind, size = numbers
        if kind == 6:
            bits = BitReader(data[at : at + size])
            return bits.unsigned() == 0 and bits.flag() and not bits.flag()
        at += size
    return False
