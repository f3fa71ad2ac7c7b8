"""Checks the continuity counters of MPEG transport streams (ISO/IEC 13818-1), which show lost packets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsr.media.remote.reader import open_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

SYNC = 0x47
NULL_PID = 0x1FFF
_LAYOUTS = ((188, 0), (192, 4), (204, 0))
"""(bytes in a unit, offset of the packet in it): plain, with a time code (M2TS), with error correction."""
_UNITS_AT_ONCE = 1 << 16


def unit_of(head: bytes) -> tuple[int, int] | None:
    """Return the packet layout of a transport stream from its first kilobyte: an entry of `_LAYOUTS`, or
    None.
    """
    for size, offset in _LAYOUTS:
        marks = head[offset : offset + 4 * size : size]
        if len(marks) >= 2 and set(marks) == {SYNC}:
            return size, offset
    return None


def has_breaks(path: str | Path) -> bool:
    """Return whether packets were lost or overwritten: a sync byte or a continuity counter is wrong."""
    broken = broken_pids(path)
    return broken is None or bool(broken)


def broken_pids(path: str | Path) -> set[int] | None:
    """Return the streams (PIDs) whose continuity counters jump; None where packet boundaries are lost."""
    import numpy as np  # imported late: it takes a fifth of the start-up of `vsr info`

    broken: set[int] = set()
    with open_bytes(path) as file:
        unit = unit_of(file.read(1024))
        if unit is None:
            return None
        size, offset = unit
        file.seek(0)
        counters: dict[int, int] = {}
        while block := file.read(_UNITS_AT_ONCE * size):
            whole = len(block) // size
            packets = np.frombuffer(block, np.uint8, whole * size).reshape(whole, size)[:, offset:]
            if (packets[:, 0] != SYNC).any():
                return None
            broken |= _jumping(packets, counters)
    return broken


def _jumping(packets: Bytes, counters: dict[int, int]) -> set[int]:
    """Return the PIDs whose counter jumps; it has 4 bits and increases by one with each payload.

    `counters` carries the last value of each PID to the next block.
    """
    import numpy as np

    broken: set[int] = set()
    pids: NDArray[Any] = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
    counted = (packets[:, 3] & 0x10) != 0
    announced = ((packets[:, 3] & 0x20) != 0) & (packets[:, 4] > 0) & ((packets[:, 5] & 0x80) != 0)
    for pid in np.unique(pids):
        mine = (pids == pid) & counted
        values = packets[mine, 3].astype(np.int32) & 0x0F
        if pid == NULL_PID or not len(values):
            continue
        before = np.concatenate(([counters.get(int(pid), values[0])], values[:-1]))
        counters[int(pid)] = int(values[-1])
        if (((values - before) & 0x0F > 1) & ~announced[mine]).any():  # a packet may be sent twice
            broken.add(int(pid))
    return broken
