"""Audio as it is heard: decoded, without the samples that the container hides, on the clock of the video."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

import numpy as np
from av import AudioFrame, AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from vsr.media.audit.contents import Heard
from vsr.media.decoder import READ_ERRORS
from vsr.media.pyav import fraction


class AudioReader:
    """Decodes an audio stream."""

    def __init__(self, stream: AudioStream) -> None:
        self._decoder = stream.codec_context
        self._digest = hashlib.sha256()
        self._blocks: list[bytes] = []
        self._starts: list[tuple[int, Fraction]] = []
        self._samples = self._rate = self._channels = 0
        self._fits = self._decoder is not None

    def push(self, packet: Packet[Any] | None) -> None:
        """Decode a packet; None is the end. What does not decode is left out."""
        if not self._fits:
            return
        try:
            for frame in self._decoder.decode(packet):
                self._hear(frame)
        except READ_ERRORS:
            pass

    def _hear(self, frame: AudioFrame) -> None:
        self._rate, self._channels = frame.sample_rate, self._decoder.channels
        base = fraction(frame.time_base) or Fraction(1, frame.sample_rate)
        behind = self._starts[-1] if self._starts else (0, Fraction(0))
        expected = behind[1] + Fraction(self._samples - behind[0], self._rate)
        time = expected if frame.pts is None else frame.pts * base
        self._starts.append((self._samples, time))
        samples = _as_numbers(frame, self._channels)
        data = samples.tobytes()
        self._digest.update(data)
        self._blocks.append(hashlib.blake2b(data, digest_size=8).digest())
        self._samples += len(samples)

    def result(self, origin: Fraction) -> Heard | None:
        """None where nothing could be decoded."""
        if not self._samples:
            return None
        return Heard(
            rate=self._rate,
            channels=self._channels,
            digest=self._digest.hexdigest(),
            blocks=tuple(self._blocks),
            starts=np.array([(before, float(time - origin)) for before, time in self._starts]),
            samples=self._samples,
        )


def _as_numbers(frame: AudioFrame, channels: int) -> NDArray[np.float64]:
    """`(samples, channels)` in [-1, 1); float64 holds every format's values exactly."""
    name, count = frame.format.packed.name, frame.samples
    planes = [np.frombuffer(memoryview(plane), _DTYPES[name]) for plane in frame.planes]
    if frame.format.is_planar:
        table = np.stack([plane[:count] for plane in planes], axis=1)
    else:
        table = planes[0][: count * channels].reshape(count, channels)
    numbers = table.astype(np.float64)
    if name == "u8":
        return np.ascontiguousarray((numbers - 128) / 128)
    if np.issubdtype(table.dtype, np.integer):
        numbers /= 2.0 ** (8 * table.dtype.itemsize - 1)
    return np.ascontiguousarray(numbers)


_DTYPES: dict[str, type[np.generic]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
"""FFmpeg's sample formats, without the mark of those that are planar."""
