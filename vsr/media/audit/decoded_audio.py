"""Decodes audio to samples, for comparison."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
from av import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from vsr.media.audio.audio_facts import AudioFacts
from vsr.media.audio.samples import SampleReader, is_readable
from vsr.media.audit.contents import DecodedAudio
from vsr.media.decoders.decoder import READ_ERRORS


class AudioReader:
    """Decodes an audio stream."""

    def __init__(self, stream: AudioStream, facts: AudioFacts | None) -> None:
        """Start before the first packet.

        Args:
            stream: Of an open file.
            facts: Of the stream; without facts, nothing is decoded.
        """
        self._reader = SampleReader(stream, facts) if facts and is_readable(stream, facts) else None
        self._digest = hashlib.sha256()
        self._blocks: list[bytes] = []
        self._starts: list[tuple[int, Fraction]] = []
        self._samples = 0
        self._rate, self._channels = (facts.rate, facts.channels) if facts else (0, 0)

    def push(self, packet: Packet[Any] | None) -> None:
        """Decode a packet; None marks the end. Packets that cannot be decoded are left out."""
        if self._reader is None or (packet is None and not self._starts):
            return
        with suppress(*READ_ERRORS):
            for time, samples in self._reader.read(packet):
                self._add(time, samples)

    def _add(self, time: Fraction | None, samples: NDArray[Any]) -> None:
        before = self._starts[-1] if self._starts else (0, Fraction(0))
        expected = before[1] + Fraction(self._samples - before[0], self._rate)
        self._starts.append((self._samples, expected if time is None else time))
        data = _as_numbers(samples).tobytes()
        self._digest.update(data)
        self._blocks.append(hashlib.blake2b(data, digest_size=8).digest())
        self._samples += len(samples) // self._channels

    def result(self, origin: Fraction) -> DecodedAudio | None:
        """Return the decoded audio; None if nothing could be decoded.

        Args:
            origin: Time of the first frame in seconds.
        """
        if not self._samples:
            return None
        return DecodedAudio(
            rate=self._rate,
            channels=self._channels,
            digest=self._digest.hexdigest(),
            blocks=tuple(self._blocks),
            starts=np.array([(before, float(time - origin)) for before, time in self._starts]),
            samples=self._samples,
        )


def _as_numbers(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Convert samples to [-1, 1). Float64 holds the values of every format exactly."""
    numbers = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        return (numbers - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        numbers /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    return numbers
