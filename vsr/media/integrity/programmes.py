"""Reads the programmes of a transport stream (ISO/IEC 13818-1, 2.4.4): which streams belong together.

A recording of a whole multiplex contains several programmes, each with its own clock. PyAV does not expose
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vsr.media.integrity.transport import SYNC, unit_of
from vsr.media.remote.reader import open_bytes

_SEARCHED = 1 << 23
"""Bytes from the start of the file that are searched; the tables are sent ten times a second."""
_ASSOCIATIONS, _MAP = 0, 2
"""Table IDs of the PAT and the PMT."""
_PAT_PID = 0
_CRC = 4


def programmes(path: Path) -> list[frozenset[int]]:
    """Return the PIDs of each programme's streams; an empty list for a file that is not a transport stream.

    Args:
        path: Path of the file.
    """
    with open_bytes(path) as file:
        data = file.read(_SEARCHED)
    unit = unit_of(data[:1024])
    if unit is None:
        return []
    packets: dict[int, list[bytes]] = {}
    for at in range(unit[1], len(data) - 187, unit[0]):
        packets.setdefault(_pid(data, at + 1), []).append(data[at : at + 188])
    table = next(_sections(packets.get(_PAT_PID, []), _ASSOCIATIONS), b"")
    maps = [_pid(table, at + 2) for at in range(8, len(table) - _CRC, 4) if table[at : at + 2] != b"\0\0"]
    found = (next(_sections(packets.get(pid, []), _MAP), None) for pid in maps)
    return [_streams(section) for section in found if section is not None]


def _sections(packets: list[bytes], number: int) -> Iterator[bytes]:
    """Yield the complete sections of a table from the packets of one PID."""
    section = b""
    for packet in packets:
        if packet[0] != SYNC or not packet[3] & 0x10:
            continue
        start = 5 + packet[4] if packet[3] & 0x20 else 4
        payload = packet[start:]
        if packet[1] & 0x40:  # a section begins after a pointer
            payload = payload[1 + payload[0] :] if payload else b""
            section = payload
        elif section:
            section += payload
        length = 3 + (int.from_bytes(section[1:3], "big") & 0xFFF)
        if len(section) >= max(length, 12):
            if section[0] == number:
                yield section[:length]
            section = b""


def _streams(section: bytes) -> frozenset[int]:
    """Return the PIDs that a PMT lists."""
    at = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF)
    pids = set()
    while at + 5 <= len(section) - _CRC:
        pids.add(_pid(section, at + 1))
        at += 5 + (int.from_bytes(section[at + 3 : at + 5], "big") & 0xFFF)
    return frozenset(pids)


def _pid(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x1FFF
