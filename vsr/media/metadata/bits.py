"""Writes bit fields one after the other."""

from __future__ import annotations


class BitWriter:
    """Writes whole numbers of any width, the highest bit first."""

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def put(self, value: int, bits: int) -> None:
        """Append `value` in `bits` bits.

        Raises:
            ValueError: the value does not fit.
        """
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{value} does not fit into {bits} bits")
        self._value = self._value << bits | value
        self._bits += bits

    def done(self) -> bytes:
        """Return all bytes; the last one is padded with zero bits."""
        spare = -self._bits % 8
        return (self._value << spare).to_bytes((self._bits + spare) // 8, "big")
