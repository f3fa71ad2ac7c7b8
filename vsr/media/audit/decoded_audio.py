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
from vsr.media.audio.packet_samples import heard_samples
from vsr.media.audio.samples import SampleReader, is_readable
from vsr.media.audit.audio_blocks import AudioBlocks
from vsr.media.audit.contents import DecodedAudio
from vsr.media.decoders.decoder import READ_ERRORS
from vsr.media.files.pyav import time_base_of


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
        self._starts: list[tuple[int, Fraction]] = []
        self._samples = self._padding = 0
        self._stated = "mp4" in stream.container.format.name
        self._rate, self._channels = (facts.rate, facts.channels) if facts else (0, 0)
        self._blocks = AudioBlocks(self._channels)

    def push(self, packet: Packet[Any] | None) -> None:
        """Decode a packet; None marks the end. Packets that cannot be decoded are left out."""
        if self._reader is None or (packet is None and not self._starts):
            return
        if packet is not None and self._stated:
            self._padding = self._hidden_by_duration(packet)
        with suppress(*READ_ERRORS):
            for time, samples in self._reader.read(packet):
                self._add(time, samples)

    def _hidden_by_duration(self, packet: Packet[Any]) -> int:
        """Return the number of samples that a packet has beyond its duration, except what FFmpeg discards.

        FFmpeg 9 discards them, but too few where the first packet of a track lasts longer than its samples.
        """
        decoded = heard_samples(packet)
        if decoded is None or not packet.duration:
            return 0
        return max(0, decoded - round(packet.duration * time_base_of(packet) * self._rate))

    def _add(self, time: Fraction | None, samples: NDArray[Any]) -> None:
        before = self._starts[-1] if self._starts else (0, Fraction(0))
        expected = before[1] + Fraction(self._samples - before[0], self._rate)
        self._starts.append((self._samples, expected if time is None else time))
        numbers = _as_numbers(samples)
        self._digest.update(numbers.tobytes())
        self._blocks.push(numbers)
        self._samples += len(samples) // self._channels

    def result(self, origin: Fraction) -> DecodedAudio | None:
        """Return the decoded audio; None if nothing could be decoded.

        Args:
            origin: Time of the first frame in seconds.
        """
        if not self._samples:
            return None
        self._blocks.flush()
        return DecodedAudio(
            rate=self._rate,
            channels=self._channels,
            digest=self._digest.hexdigest(),
            blocks=tuple(self._blocks.digests),
            places=np.array(self._blocks.places),
            starts=np.array([(before, float(time - origin)) for before, time in self._starts]),
            samples=self._samples,
            padding=self._padding,
        )


def _as_numbers(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Convert samples to [-1, 1). Float64 holds the values of every format exactly."""
    numbers = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        return (numbers - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        numbers /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    return numbers
