"""What a finished file holds, so that two can be compared; and what lies around beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Of a video file; equal where nothing that matters differs."""

    pictures: tuple[str, ...]
    """Hash of each decoded picture."""
    times: tuple[Fraction | None, ...]
    """When each is shown, in seconds."""
    packets: tuple[tuple[int, str, str, str], ...]
    """(stream, time shown, time decoded, hash) of each packet of the other streams, by stream."""


def contents(path: Path) -> Contents:
    """Read a whole file; fails where anything in it is damaged."""
    pictures, times, packets = [], [], []
    with av.open(str(path)) as box:
        film = box.streams.video[0]
        film.thread_type = "SLICE"
        for packet in box.demux():
            if packet.stream_index != film.index:
                if packet.size:
                    shown = (str(packet.pts), str(packet.dts), _digest(bytes(packet)))
                    packets.append((packet.stream_index, *shown))
                continue
            for frame in packet.decode():
                assert not frame.is_corrupt
                pictures.append(_digest(frame.to_ndarray().tobytes()))
                times.append(None if frame.pts is None else frame.pts * frame.time_base)
    packets.sort(key=lambda packet: packet[0])
    return Contents(pictures=tuple(pictures), times=tuple(times), packets=tuple(packets))


def pictures_in(path: Path) -> int:
    """Packets of the film in a finished file."""
    with av.open(str(path)) as box:
        return sum(packet.size > 0 for packet in box.demux(box.streams.video[0]))


def remains(folder: Path, *known: str) -> list[str]:
    """What lies in a folder besides the files that are known."""
    return sorted(path.name for path in folder.iterdir() if path.name not in known)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
