"""Detects gaps and overlaps in copied audio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from fractions import Fraction
from typing import Any

from av.packet import Packet

MISSING = Fraction(9, 10)
"""A gap of at least this many packet lengths is a lost packet if the file is damaged; a smaller one is
rounding."""
DISPLACED = Fraction(1, 4)
"""Seconds by which audio may jump back and still be written close to its video."""


class AudioWatch:
    """Checks each packet of audio, in the file's order."""

    def __init__(self) -> None:
        self._ends: dict[int, Fraction] = {}
        self._latest: dict[int, Fraction] = {}
        self._gaps: Counter[int] = Counter()
        self._displaced: Counter[int] = Counter()

    def packet(self, packet: Packet[Any]) -> None:
        """Record a packet, with its time on the continuous clock (see `Parts`)."""
        if packet.pts is None:
            return
        index, begins = packet.stream_index, packet.pts * packet.time_base
        length = (packet.duration or 0) * packet.time_base
        gap = begins - self._ends.get(index, begins)
        if length and gap >= MISSING * length:
            self._gaps[index] += 1
        latest = self._latest.get(index, begins)
        self._displaced[index] += begins < latest - DISPLACED
        self._latest[index] = max(latest, begins)
        self._ends[index] = begins + length

    @property
    def gaps(self) -> set[int]:
        """Streams with gaps, which are pauses or losses."""
        return set(self._gaps)

    def notes(self, *, broken: Collection[int] = ()) -> list[str]:
        """Return a sentence for each stream with damage.

        Args:
            broken: Streams whose gaps are losses according to their container.
        """
        lost = [
            f"audio of stream {index} is missing in {count} places, where the file is damaged"
            for index, count in self._gaps.items()
            if index in broken
        ]
        return lost + [
            f"{count} packets of audio of stream {index} run back in time, away from the video"
            for index, count in self._displaced.items()
            if count
        ]
