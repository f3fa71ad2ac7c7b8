"""Divides audio into blocks where its samples say so, whatever its packets are.

Two streams with the same samples are divided alike, although one of them begins later, or a container has
split its PCM into other packets. A block begins where a hash of four samples is the lowest one nearby (local
minima, as in winnowing: Schleimer, Wilkerson and Aiken, SIGMOD 2003).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

NEAR = 512
"""A block begins at the lowest hash among this many on each side, and has at least as many samples: about
1,025, but exactly as many in silence."""
_AT_ONCE = 1 << 16
"""The number of samples that are divided at once."""
_WEIGHTS = tuple(np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_REACH = 4
"""The number of samples in a hash."""


class AudioBlocks:
    """Takes the samples of a stream, and keeps a digest of each block."""

    def __init__(self, channels: int) -> None:
        self.digests: list[bytes] = []
        self.places: list[int] = []
        """The number of samples before each block."""
        self._channels = max(1, channels)
        self._parts: list[NDArray[np.float64]] = []
        """Samples from the start of the open block on."""
        self._waiting = 0
        self._begin = 0

    def push(self, samples: NDArray[np.float64]) -> None:
        """Take the next samples, `(n * channels,)`."""
        self._parts.append(samples)
        self._waiting += len(samples) // self._channels
        if self._waiting >= _AT_ONCE:
            self._divide(last=False)

    def flush(self) -> None:
        """End the last block."""
        if self._waiting:
            self._divide(last=True)

    def _divide(self, *, last: bool) -> None:
        data = np.concatenate(self._parts)
        data = data[: len(data) // self._channels * self._channels].reshape(-1, self._channels)
        bounds = _bounds(_hashes(data), decided=len(data) if last else len(data) - NEAR - _REACH)
        if last:
            bounds.append(len(data))
        elif not bounds:  # no block is that long but in made-up audio
            bounds.append(len(data) - NEAR)
        start = 0
        for bound in bounds:
            self.digests.append(hashlib.blake2b(data[start:bound].tobytes(), digest_size=8).digest())
            self.places.append(self._begin + start)
            start = bound
        self._begin += start
        rest = data[start:]
        self._parts, self._waiting = [rest.reshape(-1)], len(rest)


def _hashes(samples: NDArray[np.float64]) -> Hashes:
    """Return a hash for each of the samples, `(n, channels)`, and the three after it."""
    bits = np.ascontiguousarray(samples).view(np.uint64)
    bits = bits ^ (bits >> np.uint64(32))
    odd = (2 * np.arange(bits.shape[1], dtype=np.uint64) + np.uint64(1)) * _WEIGHTS[0]
    codes = np.append((bits * odd).sum(axis=1, dtype=np.uint64), np.zeros(_REACH - 1, np.uint64))
    mixed = codes[: len(samples)].copy()
    for distance in range(1, _REACH):
        mixed = mixed * _WEIGHTS[1] + codes[distance : distance + len(samples)]
    mixed ^= mixed >> np.uint64(31)
    mixed *= _WEIGHTS[2]
    return mixed ^ (mixed >> np.uint64(29))


def _bounds(hashes: Hashes, *, decided: int) -> list[int]:
    """Return where blocks begin, except the one at 0, before the sample `decided`."""
    lowest = np.flatnonzero(hashes == _lowest_nearby(hashes))
    found: list[int] = []
    begin = 0
    while True:
        place = int(np.searchsorted(lowest, begin + NEAR))
        if place == len(lowest) or lowest[place] >= decided:
            return found
        begin = int(lowest[place])
        found.append(begin)


def _lowest_nearby(hashes: Hashes) -> Hashes:
    """Return the lowest hash within `NEAR` of each (van Herk's algorithm)."""
    size = 2 * NEAR + 1
    rest = -(len(hashes) + 2 * NEAR) % size
    padded = np.pad(hashes, (NEAR, NEAR + rest), constant_values=np.iinfo(np.uint64).max)
    rows = padded.reshape(-1, size)
    before = np.minimum.accumulate(rows, axis=1).reshape(-1)
    after = np.minimum.accumulate(rows[:, ::-1], axis=1)[:, ::-1].reshape(-1)
    return np.minimum(after[: len(hashes)], before[size - 1 : size - 1 + len(hashes)])
