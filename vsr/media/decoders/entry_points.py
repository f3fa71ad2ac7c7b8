"""Says what a packet shows, and whether decoding can begin there, from its first bytes.

A container's mark of a key frame is not enough: it does not say whether later frames refer to earlier ones
(H.264 with intra refresh), and it does not count frames that are decoded but not shown (VP8, VP9) or that
come as two fields (H.264). Where these rules cannot say it, the answer is None, and nobody begins there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from vsr.media.decoders.nal_units import (
    H264Sequence,
    header_of,
    is_exact_recovery_point,
    nal_units,
    read_h264_sequence,
)


@dataclass(frozen=True, slots=True)
class Content:
    """What a packet holds."""

    shown: int
    """Frames that are shown: 1, or 0 for a frame that only others refer to."""
    entry: bool
    """Whether a decoder that begins here gives every frame exactly that is shown from this one on."""


class PacketReader(Protocol):
    """Reads the packets of a stream in decoding order."""

    reorder: int
    """The largest number of packets by which the order of decoding and showing differ."""
    ordered: bool
    """Whether the stream says how frames are reordered. Otherwise FFmpeg learns it from earlier frames."""

    def read(self, packet: bytes, *, key: bool) -> Content | None:
        """Return what a packet holds; None if that cannot be said. `key` is the container's mark."""


def reader_for(codec: str, header: bytes, *, intra_only: bool) -> PacketReader | None:
    """Return the reader for a stream, or None if there are no rules for its codec.

    Args:
        codec: FFmpeg's name of the codec.
        header: The codec's global header (FFmpeg's extradata); may be empty.
        intra_only: Whether no frame of this codec refers to another one.
    """
    if intra_only or codec in _INDEPENDENT:
        return _Simple(lambda packet, key: Content(1, True))
    if codec in _SIMPLE:
        reader = _Simple(_SIMPLE[codec])
        reader.reorder = 2 if codec.startswith("mpeg") else 0
        return reader
    if codec == "h264":
        return _H264(header)
    return _Hevc(header) if codec == "hevc" else None


_INDEPENDENT = frozenset({"png", "bmp", "tiff", "qoi", "targa", "sgi", "dpx", "exr"})
"""Still images, which FFmpeg does not call intra-only."""


class _Simple:
    """A reader without memory of earlier packets."""

    ordered = True

    def __init__(self, rule: Callable[[bytes, bool], Content | None]) -> None:
        self.reorder = 0
        self._rule = rule

    def read(self, packet: bytes, *, key: bool) -> Content | None:
        return self._rule(packet, key)


class _H264:
    """H.264 (ITU-T H.264): IDR pictures, and recovery points that are exact at once."""

    reorder = 16
    """The largest decoded picture buffer."""

    def __init__(self, header: bytes) -> None:
        self.ordered = True
        self._sequences: dict[int, H264Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        packed = header[:1] == b"\1" and len(header) > 6
        self._length_size = (header[4] & 3) + 1 if packed else 0
        for unit in _units_of_avcc(header) if packed else nal_units(header, 0):
            self._take(unit)

    def read(self, packet: bytes, *, key: bool) -> Content | None:
        recovers = False
        try:
            for unit in nal_units(packet, self._length_size):
                kind = unit[0] & 31 if unit else 0
                if kind in (1, 5):
                    return Content(1, kind == 5 or recovers) if self._is_frame(unit) else None
                recovers |= kind == 6 and is_exact_recovery_point(unit)
                self._take(unit)
        except (EOFError, KeyError):
            return None
        return None

    def _take(self, unit: bytes) -> None:
        kind = unit[0] & 31 if unit else 0
        if kind == 7:
            sequence = read_h264_sequence(unit)
            self._sequences[sequence.number] = sequence
            self.ordered = self.ordered and sequence.ordered
        elif kind == 8:
            bits = header_of(unit, 1)
            self._sequence_of[bits.unsigned()] = bits.unsigned()

    def _is_frame(self, unit: bytes) -> bool:
        """Return whether the slice belongs to a whole frame, and not to a single field."""
        bits = header_of(unit, 1)
        bits.unsigned(), bits.unsigned()
        sequence = self._sequences[self._sequence_of[bits.unsigned()]]
        if sequence.gaps:
            return False
        if sequence.frames_only:
            return True
        bits.skip(sequence.frame_num_bits + 2 * sequence.separate_planes)
        return not bits.flag()


def _units_of_avcc(header: bytes) -> list[bytes]:
    """Return the parameter sets in the header of H.264 in MP4 (ISO/IEC 14496-15, 5.3.3.1)."""
    units, at = [], 5
    for mask in (31, 255):
        count = header[at] & mask if at < len(header) else 0
        at += 1
        for _ in range(count):
            size = int.from_bytes(header[at : at + 2])
            units.append(header[at + 2 : at + 2 + size])
            at += 2 + size
    return units


class _Hevc:
    """H.265 (ITU-T H.265): IDR and CRA pictures. After others, FFmpeg leaves frames out."""

    reorder = 16
    ordered = True

    def __init__(self, header: bytes) -> None:
        packed = header[:1] == b"\1" and len(header) > 23
        self._length_size = (header[21] & 3) + 1 if packed else 0
        self._hides = False
        for unit in _units_of_hvcc(header) if packed else nal_units(header, 0):
            self._take(unit)

    def read(self, packet: bytes, *, key: bool) -> Content | None:
        tail = packet[-16:]
        if b"\0\0\1\x48\1" in tail or b"\0\0\0\2\x48\1" in tail:  # an end of sequence
            return None
        try:
            for unit in nal_units(packet, self._length_size):
                if len(unit) < 3 or unit[0] & 1 or unit[1] >> 3:  # another layer
                    continue
                kind = unit[0] >> 1
                if kind < 32:
                    drops = 16 <= kind <= 23 and unit[2] & 0x40  # no_output_of_prior_pics_flag
                    known = not self._hides and not drops and not 16 <= kind <= 18
                    return Content(1, 19 <= kind <= 21) if known else None
                self._take(unit)
        except EOFError:
            return None
        return None

    def _take(self, unit: bytes) -> None:
        """Read output_flag_present_flag of a picture parameter set: such frames may be hidden."""
        if len(unit) > 2 and unit[0] >> 1 == 34:
            bits = header_of(unit, 2)
            bits.unsigned(), bits.unsigned(), bits.flag()
            self._hides |= bits.flag()


def _units_of_hvcc(header: bytes) -> list[bytes]:
    """Return the parameter sets in the header of H.265 in MP4 (ISO/IEC 14496-15, 8.3.3.1)."""
    units, at = [], 23
    for _ in range(header[22]):
        count = int.from_bytes(header[at + 1 : at + 3])
        at += 3
        for _ in range(count):
            size = int.from_bytes(header[at : at + 2])
            units.append(header[at + 2 : at + 2 + size])
            at += 2 + size
    return units


def _mpeg2(packet: bytes, key: bool) -> Content | None:
    """MPEG-1 and MPEG-2 video (ISO/IEC 13818-2): I frames with a sequence header."""
    at = packet.find(b"\0\0\1\0")
    if at < 0 or at + 6 > len(packet):
        return None
    intra = packet[at + 5] >> 3 & 7 == 1
    coding = packet.find(b"\0\0\1\xb5", at)  # the picture coding extension comes first
    stated = 0 <= coding < len(packet) - 6 and packet[coding + 4] >> 4 == 8
    structure = packet[coding + 6] & 3 if stated else 3
    pictures = packet.count(b"\0\0\1\0")
    if pictures != (1 if structure == 3 else 2):
        return None
    return Content(1, intra and packet.find(b"\0\0\1\xb3", 0, at) >= 0)


def _vp8(packet: bytes, key: bool) -> Content | None:
    """VP8 (RFC 6386, 9.1)."""
    shown = packet[0] >> 4 & 1
    return Content(shown, not packet[0] & 1 and bool(shown))


def _vp9(packet: bytes, key: bool) -> Content | None:
    """VP9: the frames of a superframe, of which one is shown (VP9 bitstream specification, 6.2, annex B)."""
    frames = [_vp9_frame(frame) for frame in _of_superframe(packet)]
    if None in frames:
        return None
    shown = sum(frame[1] for frame in frames if frame)
    first = frames[0]
    return Content(shown, first == (True, True)) if first is not None and shown < 2 else None


def _of_superframe(packet: bytes) -> list[bytes]:
    last = packet[-1]
    count, size = (last & 7) + 1, (last >> 3 & 3) + 1
    index = 2 + count * size
    if last & 0xE0 != 0xC0 or len(packet) < index or packet[-index] != last:
        return [packet]
    begin = len(packet) - index + 1
    numbers = [packet[begin + i * size : begin + (i + 1) * size] for i in range(count)]
    sizes = [int.from_bytes(number, "little") for number in numbers]
    ends = list(accumulate(sizes))
    return [packet[end - length : end] for end, length in zip(ends, sizes, strict=True)]


def _vp9_frame(frame: bytes) -> tuple[bool, bool] | None:
    """Return whether a frame is a key frame, and whether it is shown."""
    if not frame or frame[0] >> 6 != 2:
        return None
    first = frame[0] << 1 if frame[0] >> 4 & 3 == 3 else frame[0]  # profile 3 has a bit more
    if first >> 3 & 1:  # show_existing_frame
        return False, True
    return not first >> 2 & 1, bool(first >> 1 & 1)


def _av1(packet: bytes, key: bool) -> Content | None:
    """AV1 (AV1 bitstream specification, 5.3, 5.9): a temporal unit shows one frame."""
    at, sequence = 0, False
    while at < len(packet):
        kind, extended, sized = packet[at] >> 3 & 15, packet[at] >> 2 & 1, packet[at] >> 1 & 1
        at += 1 + extended
        size = len(packet) - at
        if sized:
            size, at = _leb128(packet, at)
        sequence |= kind == 1
        if kind in (3, 6) and at < len(packet):
            return Content(1, sequence and packet[at] >> 4 == 1)  # a key frame that is shown
        at += size
    return None


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 128:
            break
    return value, at


def _marked(packet: bytes, key: bool) -> Content | None:
    """Codecs whose decoder refuses to begin elsewhere than at a key frame."""
    return Content(1, key)


_SIMPLE: dict[str, Callable[[bytes, bool], Content | None]] = {
    "mpeg1video": _mpeg2,
    "mpeg2video": _mpeg2,
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _av1,
    "ffv1": _marked,
}
"""By FFmpeg's name of the codec."""
