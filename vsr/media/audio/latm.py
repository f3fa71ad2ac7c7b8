"""Converts AAC in LATM (ISO/IEC 14496-3, 1.7), as used in broadcasts, to plain AAC, which more players
support.

A packet is an AudioSyncStream element: a sync word, a length, sometimes the configuration, then access units
that need not begin at a byte boundary. Only one programme with one layer is supported, as in broadcasts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.media.audio.audio_facts import AudioFacts
from vsr.media.files.opening import open_own

_SYNC, _SYNC_BITS, _LENGTH_BITS = 0x2B7, 11, 13
_GENERAL_AUDIO = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
"""Audio object types with a GASpecificConfig (ISO/IEC 14496-3, table 1.17)."""
_RESILIENT = 17
"""The first object type with error resilience, which has a longer configuration."""
_SBR, _PS = 5, 29


class _UnreadableError(ValueError):
    """A packet that ends too early, or uses features that broadcasts do not use."""


@dataclass(slots=True)
class _Bits:
    """Reads bits, the most significant first."""

    value: int
    left: int

    @classmethod
    def of(cls, data: bytes) -> _Bits:
        return cls(int.from_bytes(data, "big"), 8 * len(data))

    def take(self, count: int) -> int:
        if count > self.left:
            raise _UnreadableError
        self.left -= count
        return self.value >> self.left & (1 << count) - 1

    def bytes(self, bits: int, place: int) -> bytes:
        """Return `bits` bits, which began when `place` bits were left, as whole bytes with zeros at the
        end.
        """
        pad = -bits % 8
        number = self.value >> place - bits & (1 << bits) - 1
        return (number << pad).to_bytes((bits + pad) // 8, "big")

    def number(self) -> int:
        """Read LatmGetValue (1.7.3): up to four bytes."""
        return self.take(8 * (self.take(2) + 1))


@dataclass(frozen=True, slots=True)
class LatmConfig:
    """The StreamMuxConfig (1.7.3)."""

    audio: bytes
    """The AudioSpecificConfig, which MP4 and Matroska store beside plain AAC."""
    units: int
    """The number of access units in a packet."""


def latm_config(packets: Iterable[Packet[Any]]) -> LatmConfig | None:
    """Return the configuration in the first packet that has one; None if no packet has one that is
    supported.
    """
    for packet in packets:
        try:
            config = _opened(bytes(packet))[1]
        except _UnreadableError:
            continue
        if config is not None:
            return config
    return None


def access_units(data: bytes, config: LatmConfig) -> tuple[list[bytes], LatmConfig]:
    """Return the AAC access units of a packet, and the configuration that applies from it on.

    Args:
        data: An AudioSyncStream element.
        config: The configuration of the previous packet.

    Raises:
        ValueError: the packet is damaged.
    """
    bits, found = _opened(data)
    config = found or config
    units = []
    for _ in range(config.units):
        size = part = bits.take(8)
        while part == 255:
            part = bits.take(8)
            size += part
        place = bits.left
        bits.take(8 * size)
        units.append(bits.bytes(8 * size, place))
    return units, config


def _opened(data: bytes) -> tuple[_Bits, LatmConfig | None]:
    """Return the bits from the access units on, and the configuration before them."""
    bits = _Bits.of(data)
    if bits.take(_SYNC_BITS) != _SYNC or bits.take(_LENGTH_BITS) > bits.left // 8:
        raise _UnreadableError
    same = bits.take(1)
    return bits, None if same else _config(bits)


def _config(bits: _Bits) -> LatmConfig:
    version = bits.take(1)
    if version and bits.take(1):  # audioMuxVersionA: reserved
        raise _UnreadableError
    if version:
        bits.number()  # taraBufferFullness
    together, units = bits.take(1), bits.take(6) + 1
    if not together or bits.take(4) or bits.take(3):  # one programme of one layer
        raise _UnreadableError
    audio = _audio_config(bits, bits.number() if version else None)
    if bits.take(3):  # frameLengthType: 0 for AAC
        raise _UnreadableError
    bits.take(8)  # latmBufferFullness
    _skip_other_data(bits, version)
    if bits.take(1):
        bits.take(8)  # crcCheckSum
    return LatmConfig(audio, units)


def _audio_config(bits: _Bits, length: int | None) -> bytes:
    """Read the AudioSpecificConfig, whose length in bits is either stated or found by parsing."""
    place = bits.left
    if length is not None:
        bits.take(length)
    else:
        _skip_audio_config(bits)
    return bits.bytes(place - bits.left, place)


def _skip_audio_config(bits: _Bits) -> None:
    kind = _object_type(bits)
    _skip_rate(bits)
    channels = bits.take(4)
    if kind in (_SBR, _PS):
        _skip_rate(bits)
        kind = _object_type(bits)
    if kind not in _GENERAL_AUDIO or kind >= _RESILIENT or not channels:
        raise _UnreadableError
    bits.take(1)  # frameLengthFlag
    if bits.take(1):
        bits.take(14)  # coreCoderDelay
    extended = bits.take(1)
    if kind == 6:
        bits.take(3)  # layerNr
    if extended:
        bits.take(1)


def _object_type(bits: _Bits) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == 31 else kind


def _skip_rate(bits: _Bits) -> None:
    if bits.take(4) == 15:
        bits.take(24)


def _skip_other_data(bits: _Bits, version: int) -> None:
    if not bits.take(1):
        return
    if version:
        bits.number()
        return
    while bits.take(1):
        bits.take(8)
    bits.take(8)


class LatmConverter:
    """Converts LATM packets to packets of plain AAC with the same times."""

    def __init__(self, output: OutputContainer, config: LatmConfig, facts: AudioFacts) -> None:
        """Add a stream of AAC to `output`, which must not be started yet."""
        self._config, self._first = config, config.audio
        self.broken = self._changed = 0
        with open_own(_matroska(config.audio, facts), "matroska") as described:
            self.stream: Stream = output.add_stream_from_template(described.streams.audio[0], opaque=True)

    def convert(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the access units of a packet."""
        try:
            units, self._config = access_units(bytes(packet), self._config)
        except ValueError:
            self.broken += 1
            return []
        self._changed += self._config.audio != self._first
        made = [Packet(unit) for unit in units if unit]
        for number, one in enumerate(made):
            step = (packet.duration or 0) // len(made)
            one.pts = None if packet.pts is None else packet.pts + number * step
            one.dts = None if packet.dts is None else packet.dts + number * step
            one.duration, one.time_base, one.is_keyframe = step, packet.time_base, True
        return made

    def until(self, seconds: object) -> list[Packet[Any]]:
        """Return nothing: no packet is held back."""
        return []

    def flush(self) -> list[Packet[Any]]:
        """Return nothing: no packet is held back."""
        return []

    def damage_note(self, index: int) -> str | None:
        """Return a sentence if packets of the source's stream `index` could not be read, else None."""
        said = f"{self.broken} packets of audio stream {index} are damaged and left out"
        return said if self.broken else None

    def note(self, index: int) -> str | None:
        """Return a sentence if packets have another configuration than the first, else None."""
        said = f"{self._changed} packets of audio stream {index} have another configuration than the first, "
        return said + "and may not play" if self._changed else None


def _matroska(audio: bytes, facts: AudioFacts) -> bytes:
    """Return a Matroska file without content, whose header gives the muxer the AAC configuration."""
    sound = _element(0xB5, struct.pack(">d", facts.rate)) + _element(0x9F, bytes([facts.channels]))
    track = _element(0xD7, b"\x01") + _element(0x73C5, b"\x01") + _element(0x83, b"\x02")
    track += _element(0x86, b"A_AAC") + _element(0x63A2, audio) + _element(0xE1, sound)
    tracks = _element(0x1654AE6B, _element(0xAE, track))
    cluster = _element(0x1F43B675, _element(0xE7, b"\0"))
    return _element(0x1A45DFA3, _element(0x4282, b"matroska")) + _element(0x18538067, tracks + cluster)


def _element(number: int, content: bytes) -> bytes:
    """Return an EBML element with its length in four bytes."""
    name = number.to_bytes(-(-number.bit_length() // 8), "big")
    return name + (len(content) | 1 << 28).to_bytes(4, "big") + content
