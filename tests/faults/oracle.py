"""Contents of a finished file, for comparisons, and the other files in its folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from vsr.media.files.pyav import TEXT
from vsr.pipeline.queue.record import NAME


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Contents of a video file; equal if nothing relevant differs."""

    pictures: tuple[str, ...]
    """Hash of each decoded frame."""
    times: tuple[Fraction | None, ...]
    """Display time of each frame in seconds."""
    packets: tuple[tuple[int, str, str, str], ...]
    """(stream, display time, decoding time, hash) of each packet of the other streams, by stream."""


def contents(path: Path) -> Contents:
    """Read a whole file; fails if any part of it is damaged."""
    pictures, times, packets = [], [], []
    with av.open(str(path), **TEXT) as box:
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
    """Return the number of video packets in a finished file."""
    with av.open(str(path), **TEXT) as box:
        return sum(packet.size > 0 for packet in box.demux(box.streams.video[0]))


def remains(folder: Path, *known: str) -> list[str]:
    """Return the names in a folder except the known files, and the record of results."""
    return sorted(path.name for path in folder.iterdir() if path.name not in (*known, NAME))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
