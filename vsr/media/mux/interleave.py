"""Packets of all streams in the order of time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr.errors import InputError
from vsr.frame import Damage
from vsr.media.formats.muxers import REFUSED, cannot_write
from vsr.media.formats.timestamps import Clock
from vsr.media.mux.decode_order import DecodingOrder, RisingTimes
from vsr.media.passthrough.copier import StreamCopier


class Interleaver:
    """Muxes an output's frame together with all that is copied beside it."""

    def __init__(
        self,
        output: OutputContainer,
        picture: VideoStream,
        copier: StreamCopier,
        clock: Clock,
        *,
        target: Path,
        damage: Damage,
        alone: bool,
        mp4: bool,
    ) -> None:
        """Nothing is written yet.

        Args:
            output: Whose header is written before the first packet.
            frame: The stream of the frame in it.
            copier: Has the packets of all other streams.
            clock: From the source's times to the output's; may be replaced before the first packet.
            target: For messages.
            damage: Packets that are left out are counted here.
            alone: Whether the frame is all that there is: what the muxer refuses is then no damage.
            mp4: Whether the frame's last packet says where the film ends, and times may not repeat.
        """
        self.clock = clock
        self.refused = 0
        """Packets of the source that made no sense to the muxer."""
        self._output, self._picture, self._copier = output, picture, copier
        self._target, self._damage, self._alone, self._mp4 = target, damage, alone, mp4
        self._order = DecodingOrder()
        self._rising = RisingTimes(strict=mp4)

    def pictures(self, packets: Iterable[Packet[Any]]) -> None:
        """Mux frames, in the source's time base and on its clock.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        for packet in packets:
            self._ready(self._order.push(packet))

    def rest(self, end: int) -> None:
        """Mux all that is left, of the frame and beside it; `end` is where the last frame ends, in ticks.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        if self._mp4:
            self._order.fill_up(end)
        self._ready(self._order.flush())
        for packet in self._copier.rest():
            self._beside(packet)

    def moved(self) -> list[str]:
        """A sentence for each kind of packet whose time could not stay what it was."""
        said = []
        if self._order.raised:
            said.append(
                f"{self._order.raised} timestamps lie too far back to be written; moved to their neighbours'"
            )
        if self._rising.moved:
            said.append(
                f"{self._rising.moved} packets of audio or subtitles run back in time or repeat one; "
                "moved behind their neighbours"
            )
        return said

    def _ready(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            assert packet.dts is not None
            packet.stream = self._picture
            for other in self._copier.packets_until(packet.dts * packet.time_base):
                self._beside(other)
            self._mux(self.clock.stamp(packet))

    def _beside(self, packet: Packet[Any]) -> None:
        """Mux a packet of another stream; one whose time the output cannot say is left out and counted."""
        try:
            stamped = self.clock.stamp(packet)
        except InputError:
            self.refused += 1
            self._damage.broken_packets += 1
            return
        self._mux(self._rising.push(stamped))

    def _mux(self, packet: Packet[Any]) -> None:
        """Mux a packet; one of the source's that is damaged is left out and counted, not the film's end.

        The muxer may hold a packet until the next one, so the refused one need not be `packet`; that no
        frame was, `check_written` finds out.
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
