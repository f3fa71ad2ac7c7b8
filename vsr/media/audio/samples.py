"""Decodes samples of audio streams, without FFmpeg's decoder for plain PCM."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from av import AudioFrame, AudioStream
from av.packet import Packet
from av.stream import Stream

from vsr.media.audio.audio_facts import AudioFacts
from vsr.media.files.pyav import fraction, time_base_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]
    """`(n * channels,)`, channels interleaved, in the decoder's format (8 bits unsigned, 24 bits in the upper
    part of 32) and the machine's byte order."""

TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""Maps FFmpeg's sample format, without the suffix for planar, to numpy's."""
_PLAIN = {"pcm_s8": "i1", "pcm_s16be": ">i2", "pcm_s32be": ">i4", "pcm_f32be": ">f4", "pcm_f64be": ">f8"}
"""PCM that needs no decoder. Its channels may have a custom layout, which PyAV cannot decode."""
_PLAIN |= {"pcm_s16le": "<i2", "pcm_s32le": "<i4", "pcm_f32le": "<f4", "pcm_f64le": "<f8", "pcm_u8": "u1"}
"""PCM that needs no decoder: its channels may be of a custom layout, which PyAV cannot decode."""
_MOST_PLANES = 8
"""The largest number of channels that PyAV can return from a decoded frame; for more it reads past the end of
FFmpeg's table."""


def is_readable(stream: Stream, facts: AudioFacts | None) -> bool:
    """Return whether PyAV can decode an audio stream safely.

    Args:
        stream: Of an open file.
        facts: Of the stream.
    """
    context = stream.codec_context
    if facts is None or context is None:
        return False
    return context.name in _PLAIN or _can_decode(facts)


def _can_decode(facts: AudioFacts) -> bool:
    return not facts.custom and facts.channels <= _MOST_PLANES


class SampleReader:
    """Decodes a stream for which `is_readable` is true."""

    def __init__(self, stream: Stream, facts: AudioFacts) -> None:
        self._context = cast(AudioStream, stream).codec_context
        self._channels = facts.channels
        # FFmpeg 9 (PyAV 19) treats the samples that an edit list hides as priming. Its decoder drops as many
        # from the packets that it gets, although the hidden samples are not in them.
        decoded = _can_decode(facts) and not getattr(self._context, "initial_padding", 0)
        self._plain = None if decoded else _PLAIN.get(self._context.name)

    def read(self, packet: Packet[Any] | None) -> Iterator[tuple[Fraction | None, Samples]]:
        """Yield the samples of a packet with the time of the first in seconds; None flushes the decoder.

        Raises:
            FFmpegError: the packet is damaged.
            ValueError: it does not have the stream's number of channels.
        """
        if self._plain is None:
            for frame in self._context.decode(packet):
                yield _seconds(frame, frame.pts), self._interleaved(frame)
        elif packet is not None:
            ticks = packet.pts if packet.pts is not None else packet.dts
            yield _seconds(packet, ticks), self._values(packet, self._plain)

    def _values(self, packet: Packet[Any], kind: str) -> Samples:
        import numpy as np  # imported late: it takes a fifth of the start-up of `vsr info`

        size = np.dtype(kind).itemsize * self._channels
        count = packet.size // size
        first, last = _hidden(packet)
        values = np.frombuffer(bytes(packet)[first * size : max(first, count - last) * size], kind)
        if self._context.name == "pcm_s8":
            return values.view("u1") ^ 0x80
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _interleaved(self, frame: AudioFrame) -> Samples:
        import numpy as np

        if frame.layout.nb_channels != self._channels:
            raise ValueError("the number of channels differs")
        kind, packed = TYPES[frame.format.packed.name], not frame.format.is_planar
        count = frame.samples * (self._channels if packed else 1)
        planes = frame.planes[: 1 if packed else self._channels]  # PyAV counts too many for eight channels
        values = [np.frombuffer(memoryview(plane), kind)[:count] for plane in planes]
        return values[0] if packed else np.stack(values, axis=1).reshape(-1)


def _hidden(packet: Packet[Any]) -> tuple[int, int]:
    """Return how many samples at the start and end of a packet the container hides
    (AV_PKT_DATA_SKIP_SAMPLES).
    """
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    first, last = struct.unpack_from("<2I", bytes(packet.get_sidedata("skip_samples")))
    return first, last


def _seconds(timed: AudioFrame | Packet[Any], ticks: int | None) -> Fraction | None:
    return None if ticks is None or fraction(timed.time_base) is None else ticks * time_base_of(timed)
