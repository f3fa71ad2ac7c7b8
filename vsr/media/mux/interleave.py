"""Muxes the packets of all streams in order of time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr.errors import InputError
from vsr.frame import Damage
from vsr.media.files.pyav import time_base_of
from vsr.media.formats.muxers import REFUSED, cannot_write
from vsr.media.formats.timestamps import Clock
from vsr.media.mux.decode_order import DecodingOrder, RisingTimes
from vsr.media.mux.mp4_durations import state_duration
from vsr.media.passthrough.copier import StreamCopier


class Interleaver:
    """Muxes an output's video together with the copied streams."""

    def __init__(
        self,
        output: OutputContainer,
        video: VideoStream,
        copier: StreamCopier,
        clock: Clock,
        *,
        target: Path,
        damage: Damage,
        alone: bool,
        mp4: bool,
    ) -> None:
        """Start before the first packet.

        Args:
            output: Its header is written before the first packet.
            video: Video stream of `output`.
            copier: Source of the packets of all other streams.
            clock: Converts the source's times to the output's; may be replaced before the first packet.
            target: Path of the output, for messages.
            damage: Packets that are left out are counted here.
            alone: Whether there are no other streams; then a packet that the muxer refuses is an error.
            mp4: Whether the last video packet determines the end of the video, and times must not repeat.
        """
        self.clock = clock
        self.refused = 0
        """The number of the source's packets that the muxer refused."""
        self._output, self._video, self._copier = output, video, copier
        self._target, self._damage, self._alone, self._mp4 = target, damage, alone, mp4
        self._order = DecodingOrder()
        self._rising = RisingTimes(strict=mp4)
        self._begun: set[int] = set()

    def push(self, packets: Iterable[Packet[Any]]) -> None:
        """Mux video packets, in the source's time base and on its clock, and the other streams' packets
        before them.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        for packet in packets:
            self._ready(self._order.push(packet))

    def rest(self, end: int) -> None:
        """Mux all remaining packets; `end` is where the last frame ends, in ticks.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        if self._mp4:
            self._order.fill_up(end)
        self._ready(self._order.flush())
        for packet in self._copier.rest():
            self._mux_other(packet)

    def moved(self) -> list[str]:
        """Return a sentence for each kind of packet whose time had to be changed."""
        said = []
        if self._order.raised:
            said.append(
                f"{self._order.raised} timestamps are too far back to be written; they get their neighbours' "
                "times"
            )
        if self._rising.moved:
            said.append(
                f"{self._rising.moved} packets of audio or subtitles run back in time or repeat a time; "
                "they are moved after their neighbours"
            )
        return said

    def _ready(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            assert packet.dts is not None
            packet.stream = self._video
            for other in self._copier.packets_until(packet.dts * packet.time_base):
                self._mux_other(other)
            self._mux(self.clock.stamp(packet))

    def _mux_other(self, packet: Packet[Any]) -> None:
        """Mux a packet of another stream. If the output cannot store its time, it is left out and counted."""
        try:
            stamped = self.clock.stamp(packet)
        except InputError:
            self.refused += 1
            self._damage.broken_packets += 1
            return
        if self._mp4 and stamped.stream_index not in self._begun:
            self._begun.add(stamped.stream_index)
            begin_exactly(stamped, self.clock.delays.get(stamped.stream_index, 0))
        ready = self._rising.push(stamped)
        if self._mp4:
            state_duration(ready, told=self._copier.from_mp4)
        self._mux(ready)

    def _mux(self, packet: Packet[Any]) -> None:
        """Mux a packet. A damaged one of the source's is left out and counted, and muxing continues.

        The muxer may hold a packet until the next one, so the refused packet need not be `packet`.
        `check_written` checks that it was not a video packet.
        """
        try:
            self._output.mux_one(packet)
        except REFUSED as error:
            if self._alone:
                raise cannot_write(self._target, error) from error
            self.refused += 1
            self._damage.broken_packets += 1
        except (av.FFmpegError, OSError, ValueError) as error:
            raise cannot_write(self._target, error) from error


def begin_exactly(packet: Packet[Any], delay: int) -> None:
    """Set the begin of a track to its codec's delay before zero, if its time is that but for rounding.

    Matroska rounds times to milliseconds, and MP4 hides what is before zero: too many or too few samples.

    Args:
        packet: Its stream is the output's, the ticks are the source's.
        delay: In nanoseconds; 0 if the codec has none.
    """
    exact, base, ticks = -Fraction(delay, 10**9), time_base_of(packet), time_base_of(packet.stream)
    if packet.pts is None or not delay or ticks >= base or abs(packet.pts * base - exact) >= base:
        return
    duration = (packet.duration or 0) * base
    packet.pts = packet.dts = round(exact / ticks)
    packet.duration, packet.time_base = round(duration / ticks), ticks
