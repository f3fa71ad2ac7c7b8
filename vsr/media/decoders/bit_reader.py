"""Reads bit fields of video headers: fixed lengths, and the Exp-Golomb codes of H.264 and H.265."""

from __future__ import annotations


class BitReader:
    """Reads bits from the most significant one on; `EOFError` where they end."""

    def __init__(self, data: bytes) -> None:
        """Start at the first bit of `data`, from which emulation prevention bytes are removed."""
        self._bits = int.from_bytes(data)
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        self._left -= count
        if self._left < 0:
            raise EOFError("a header ends early")
        return self._bits >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        """Return the next bit."""
        return bool(self.read(1))

    def skip(self, count: int) -> None:
        """Pass over bits."""
        self.read(count)

    def unsigned(self) -> int:
        """Return the next ue(v), an Exp-Golomb code (ITU-T H.264, 9.1)."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > 32:
                raise EOFError("a code is too long")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """Return the next se(v)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def without_emulation(data: bytes) -> bytes:
    """Remove emulation prevention bytes (ITU-T H.264, 7.4.1)."""
    return data.replace(b"\0\0\3", b"\0\0")
