"""Corrects the times of MP4 and QuickTime whose edit list begins inside a frame or a text.

See `vsr.media.formats.sample_times` for what FFmpeg does. Audio is not touched: FFmpeg hides samples of it.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av import Packet, VideoStream
from av.container import InputContainer
from av.stream import Disposition, Stream

from vsr.media.files.stdio import is_pipe
from vsr.media.formats.sample_times import Showing, showings_of

logger = logging.getLogger(__name__)

LEAST = Fraction(1, 20)
"""In seconds; of a frame in which an edit begins, at least this much must remain. Less is left out, as FFmpeg
and its players do: a lossless cut rarely falls exactly between two frames, and audio that is late by as
little is not noticed (ITU-R BT.1359: 125 ms)."""

Showings = dict[int, list[Showing]]
"""When the packets of a stream are shown, by their offset in the file."""


def by_edits(container: InputContainer, path: str, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Return the packets of a file with the times of its edit lists.

    Args:
        container: The file that the packets are from.
        path: Path of the file.
        packets: Of all streams, in file order.
    """
    tables = {
        stream.index: found for stream in container.streams if (found := showings(container, stream, path))
    }
    return _corrected(packets, tables) if tables else packets


def frames_begun(container: InputContainer, stream: VideoStream, path: str) -> int:
    """Return the number of frames in which an edit begins, which FFmpeg's index does not count as shown."""
    found = showings(container, stream, path).values()
    return sum(showing.is_cut for several in found for showing in several)


def showings(container: InputContainer, stream: Stream, path: str) -> Showings:
    """Return when the packets of a stream are shown; empty where FFmpeg's times are right."""
    is_cover = bool(stream.disposition & Disposition.attached_pic)
    if "mp4" not in container.format.name or is_pipe(path) or stream.type == "audio" or is_cover:
        return {}
    try:
        return showings_of(path, stream.id, least=LEAST if stream.type == "video" else Fraction(0))
    except (OSError, ValueError, struct.error) as error:
        logger.debug("%s: the tables of stream %s cannot be read (%s)", path, stream.index, error)
        return {}


def _corrected(packets: Iterator[Packet[Any]], tables: dict[int, Showings]) -> Iterator[Packet[Any]]:
    tracks = {index: _Track(table) for index, table in tables.items()}
    for packet in packets:
        track = tracks.get(packet.stream_index)
        yield packet if track is None else track.corrected(packet)


class _Track:
    """Corrects the packets of a stream, which come edit by edit."""

    def __init__(self, table: Showings) -> None:
        self._table = table
        self._edits = sorted({showing.edit for several in table.values() for showing in several})
        self._edit = -1
        """Number of the edit of the last shown packet. A frame in which an edit begins may be decoded after
        others of that edit."""

    def corrected(self, packet: Packet[Any]) -> Packet[Any]:
        """Return the packet with its time, and one in which the next edit begins as one that is shown."""
        shown = self._table.get(-1 if packet.pos is None else packet.pos, [])
        if packet.pts is None:
            return packet
        if packet.is_discard:
            following = next((edit for edit in self._edits if edit > self._edit), None)
            found = [one for one in shown if one.is_cut and one.edit in (self._edit, following)]
            return self._cut(packet, found[0], shown) if found else packet
        own = packet.pts
        whole = [one for one in shown if not one.is_cut and one.edit >= self._edit]
        nearest = min(whole, key=lambda one: abs(one.begin - own), default=None)
        return packet if nearest is None else self._moved(packet, nearest, nearest.begin - own)

    def _cut(self, packet: Packet[Any], showing: Showing, shown: list[Showing]) -> Packet[Any]:
        shown.remove(showing)
        made: Packet[Any] = Packet(bytes(packet))  # PyAV cannot take back the mark
        for data in packet.iter_sidedata():
            made.set_sidedata(data)
        made.stream, made.time_base, made.is_keyframe = packet.stream, packet.time_base, packet.is_keyframe
        made.pts = made.dts = showing.begin
        if packet.stream.type == "video":  # the next one in decoding order may be shown before
            made.dts = None if packet.dts is None else packet.dts + showing.early
        made.duration, self._edit = showing.duration, showing.edit
        return made

    def _moved(self, packet: Packet[Any], showing: Showing, ticks: int) -> Packet[Any]:
        packet.dts = None if packet.dts is None else packet.dts + ticks
        packet.pts, packet.duration, self._edit = showing.begin, showing.duration, showing.edit
        return packet
