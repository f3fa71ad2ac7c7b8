"""Inserts SEI messages and OBUs into encoded frames.

Encoders cannot write most kinds of side data, and where they can, their options differ. A message before the
first slice of a frame works for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vsr.frame import Message

_START_CODE = b"\0\0\1"
_H264_SLICES = frozenset(range(1, 6))
_H264_SEI = b"\x06"
_H265_SLICES = frozenset(range(32))
_H265_PREFIX_SEI = 39 << 1
T35 = 4
"""SEI payload type of user data registered by ITU-T T.35."""
_OBU_HAS_SIZE = 1 << 1
_OBU_EXTENSION = 1 << 2
_OBU_METADATA = 5
_OBU_FRAMES = frozenset({3, 6})
"""OBU types of a frame header and of a complete frame (AV1, 6.2.2)."""
_METADATA_T35 = 4
_TRAILING = b"\x80"


def with_messages(codec: str, packet: bytes, messages: Sequence[Message]) -> bytes | None:
    """Return an encoded frame with messages inserted.

    Args:
        codec: FFmpeg's name of the codec; see `TAKES`.
        packet: H.264 or H.265 with start codes, or a temporal unit of AV1.
        messages: Of kinds that the codec supports.

    Returns:
        None if the packet contains no frame.
    """
    return _WRITERS[codec](packet, messages)


def _in_h264(packet: bytes, messages: Sequence[Message]) -> bytes | None:
    at = _first_slice(packet, lambda head: head & 0x1F in _H264_SLICES)
    return None if at is None else _before(packet, at, _H264_SEI, messages)


def _in_h265(packet: bytes, messages: Sequence[Message]) -> bytes | None:
    at = _first_slice(packet, lambda head: head >> 1 & 0x3F in _H265_SLICES)
    if at is None:
        return None
    layer_and_time = packet[at + len(_START_CODE) + 1]  # of the slice: those of a message must not be lower
    head = bytes([_H265_PREFIX_SEI, layer_and_time])
    return _before(packet, at, head, messages)


def _first_slice(packet: bytes, is_slice: Callable[[int], bool]) -> int | None:
    """Return the offset of the first slice's start code, or None."""
    at = packet.find(_START_CODE)
    while at >= 0 and at + 4 < len(packet):
        if is_slice(packet[at + len(_START_CODE)]):
            return at
        at = packet.find(_START_CODE, at + len(_START_CODE))
    return None


def _before(packet: bytes, at: int, head: bytes, messages: Sequence[Message]) -> bytes:
    start = at - 1 if at and packet[at - 1] == 0 else at  # a start code may have a zero before it
    body = b"".join(_sei(message) for message in messages) + _TRAILING
    return packet[:start] + b"\0" + _START_CODE + head + escaped(body) + packet[start:]


def _sei(message: Message) -> bytes:
    size = len(message.payload)
    lengths = b"".join(b"\xff" * (n // 255) + bytes([n % 255]) for n in (message.payload_type, size))
    return lengths + message.payload


def escaped(body: bytes) -> bytes:
    """Insert a byte 3 wherever a start code would appear by chance (ITU-T H.264, 7.4.1)."""
    out, zeros = bytearray(), 0
    for byte in body:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _in_av1(packet: bytes, messages: Sequence[Message]) -> bytes | None:
    """Insert before the last frame of the temporal unit, the only one that is shown."""
    at = None
    for start, kind in _units(packet):
        at = start if kind in _OBU_FRAMES else at
    if at is None:
        return None
    return packet[:at] + b"".join(_metadata(message) for message in messages) + packet[at:]


def _units(packet: bytes) -> list[tuple[int, int]]:
    """Return the offset and type of each open bitstream unit."""
    found, at = [], 0
    while at < len(packet):
        head = packet[at]
        found.append((at, head >> 3 & 15))
        body = at + (2 if head & _OBU_EXTENSION else 1)
        if not head & _OBU_HAS_SIZE:
            break
        size, body = _read_leb128(packet, body)
        at = body + size
    return found


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return a number, and the offset of the byte after it."""
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    return 0, len(data)


def _leb128(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _metadata(message: Message) -> bytes:
    body = bytes([_METADATA_T35]) + message.payload + _TRAILING
    return bytes([_OBU_METADATA << 3 | _OBU_HAS_SIZE]) + _leb128(len(body)) + body


_WRITERS: dict[str, Callable[[bytes, Sequence[Message]], bytes | None]] = {
    "h264": _in_h264,
    "hevc": _in_h265,
    "av1": _in_av1,
}
_SEI_KINDS = frozenset(
    {"A53_CC", "AFD", "DYNAMIC_HDR_PLUS", "AMBIENT_VIEWING_ENVIRONMENT", "SEI_UNREGISTERED"}
)
TAKES: dict[str, frozenset[str]] = {
    "h264": _SEI_KINDS - {"DYNAMIC_HDR_PLUS"},
    "hevc": _SEI_KINDS,
    "av1": frozenset({"A53_CC", "DYNAMIC_HDR_PLUS"}),
}
"""Maps FFmpeg's name of a codec to the kinds of messages that it supports and that decoders read from it."""
ONCE = frozenset({"AMBIENT_VIEWING_ENVIRONMENT"})
"""Kinds that apply to all frames up to the next key frame."""
