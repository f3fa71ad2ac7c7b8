"""Reads tracks of CEA-608 captions as text.

Such a track has two bytes for each frame, which draw a screen step by step. Therefore one text comes from
many packets, and is known only when the screen changes again. All packets are read when the converter is
created: the index of a MOV file leads to them, and they are small.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.subtitle import SubtitleSet

from vsr.media.decoders.decoder import read_packets
from vsr.media.files.opening import reopen_media
from vsr.media.files.pyav import time_base_of
from vsr.media.text.subtitles import TextConverter

CAPTION_DECODERS = frozenset({"cc_dec", "eia_608"})
"""FFmpeg's names of the codec of such a track, and of its decoder."""
_CONTROL = (0x14, 0x15)
"""First byte of most commands, of either field (ANSI/CTA-608-E)."""
_SECOND_CHANNEL = 0x08
"""The bit for the second channel in the first byte."""
_MODES = {0x20: False, 0x25: True, 0x26: True, 0x27: True, 0x29: True}
"""Commands that begin a caption, and whether it is written while it is shown: pop-on is loaded first, but not
roll-up of two to four rows, or paint-on."""
_ERASE_SHOWN, _END_OF_CAPTION = 0x2C, 0x2F
_ERASING = bytes([0xFC, 0x94, _ERASE_SHOWN])
"""That command in a packet: for field 1, and with the parity of each byte. It ends what is on the screen, of
which FFmpeg would drop what is not pop-on."""
_NOTHING = bytes([0x80, 0x80])
"""Two bytes of nothing, with parity."""
_SPECIAL = (0x11, 0x12, 0x13)
"""First bytes of letters that take two bytes."""
_MICROSECOND = Fraction(1, 1_000_000)
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Caption:
    """A screen of text."""

    begin: Fraction
    """In seconds on the source's clock."""
    end: Fraction
    text: SubtitleSet


class FirstChannel:
    """Follows the commands of a track: which bytes are of its first channel, and when text appears.

    FFmpeg mixes the letters of two channels. And it lets a caption that is written while it is shown
    (roll-up, paint-on) begin where the one before it ended, even minutes earlier.
    """

    def __init__(self) -> None:
        self._is_shown = False
        self._is_blank = True
        self._is_ours = True
        """Whether the last command was of this channel."""
        self.begin: Fraction | None = None
        """When something was last written on the empty screen, in seconds."""
        self.others = False
        """Whether the other channel has letters."""

    def read(self, data: bytes, seconds: Fraction) -> bytes:
        """Follow the bytes of a packet (a kind of field and two bytes with parity, several times), and return
        them with nothing in place of the other channel.
        """
        kept = bytearray(data)
        for at in range(0, len(data) - 2, 3):
            self._follow(data[at + 1] & 0x7F, data[at + 2] & 0x7F, seconds)
            if not self._is_ours:
                kept[at + 1 : at + 3] = _NOTHING
        return bytes(kept)

    def _follow(self, first: int, second: int, seconds: Fraction) -> None:
        if 0x10 <= first < 0x20:
            self._is_ours = not first & _SECOND_CHANNEL
        if not self._is_ours:
            self.others |= first >= 0x20
            return
        if first >= 0x20 or (first in _SPECIAL and 0x20 <= second < 0x40):
            if self._is_shown and self._is_blank:
                self.begin, self._is_blank = seconds, False
        elif first in _CONTROL and second in _MODES:
            self._is_shown = _MODES[second]
        elif first in _CONTROL and second == _END_OF_CAPTION:
            self._is_shown = self._is_blank = False
        elif first in _CONTROL and second == _ERASE_SHOWN:
            self._is_blank = True


class CaptionReader:
    """Takes the packets of a caption track, and returns the screens that they draw."""

    def __init__(self, stream: Stream) -> None:
        self._decoder = cast(SubtitleCodecContext, stream.codec_context)
        self._found: list[Caption] = []
        self._base, self._last = _MICROSECOND, Fraction(0)
        self.channel = FirstChannel()
        self.broken = 0
        """The number of packets that could not be decoded."""

    def push(self, packet: Packet[Any]) -> None:
        """Decode a packet."""
        self._base = base = time_base_of(packet)
        self._last = ((packet.pts or 0) + (packet.duration or 0)) * base
        begin = self.channel.begin
        data = self.channel.read(bytes(packet), (packet.pts or 0) * base)
        self._decode(self._packet(data, packet.pts), begin)

    def captions(self) -> list[Caption]:
        """Return all captions at the end. Each is shown at most until the next one, because it is the whole
        screen.
        """
        before = len(self._found)
        self._decode(self._packet(_ERASING, round(self._last / self._base)), self.channel.begin)
        self._found[before:] = [Caption(c.begin, self._last, c.text) for c in self._found[before:]]
        ends = [after.begin for _, after in pairwise(self._found)] + [self._last]
        ended = zip(self._found, ends, strict=True)
        return [Caption(c.begin, min(c.end, end), c.text) for c, end in ended if c.begin < end]

    def _packet(self, data: bytes, pts: int | None) -> Packet[Any]:
        made: Packet[Any] = Packet(data)
        made.pts, made.dts, made.time_base = pts, pts, self._base
        return made

    def _decode(self, packet: Packet[Any], written: Fraction | None) -> None:
        """Decode a packet, before which text was last written on the empty screen at `written`."""
        try:
            text = self._decoder.decode2(packet)
        except av.FFmpegError:
            self.broken += 1
            return
        if text and text.rects:
            begin, length = text.pts * _MICROSECOND, text.end_display_time * _MILLISECOND
            self._found.append(Caption(max(begin, written or begin), begin + length, text))


class CaptionConverter(TextConverter):
    """Converts a caption track to text.

    All texts are read at the beginning; a packet then only says how far the source has been read.
    """

    def __init__(self, source: Path, stream: Stream, output: OutputContainer, codec: str) -> None:
        """Read all captions, and add a stream of `codec` to `output`.

        Args:
            source: Path of the file that contains `stream`.
            stream: The caption track.
            output: Not started yet.
            codec: FFmpeg's name of the codec.
        """
        super().__init__(stream, output, codec)
        self._others = False
        self._waiting = deque(self._read(source, stream.index))
        self._reached: Fraction | None = None

    def convert(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the captions that have appeared. A caption from before the first packet is trimmed to start
        with it.
        """
        base = time_base_of(packet)
        begin = (packet.pts or 0) * base
        if self._reached is None:
            self._cut_before(begin)
        self._reached = begin + (packet.duration or 0) * base
        return self.until(begin)

    def until(self, seconds: Fraction) -> list[Packet[Any]]:
        """Return the captions that have appeared by `seconds` on the source's clock."""
        made = []
        while self._reached is not None and self._waiting and self._waiting[0].begin <= seconds:
            made.append(self._packet(self._waiting.popleft()))
        return made

    def flush(self) -> list[Packet[Any]]:
        """Return the remaining captions, if the track was read to its end."""
        return [] if self._reached is None else self.until(self._reached)

    def _cut_before(self, begin: Fraction) -> None:
        shown = [caption for caption in self._waiting if caption.end > begin]
        self._waiting = deque(Caption(max(c.begin, begin), c.end, c.text) for c in shown)

    def _packet(self, caption: Caption) -> Packet[Any]:
        base = self._base
        begin, end = round(caption.begin / base), round(caption.end / base)
        made: Packet[Any] = Packet(self._encoded(caption.text))
        made.pts = made.dts = begin
        made.duration, made.time_base = max(1, end - begin), base
        return made

    def _read(self, source: Path, index: int) -> list[Caption]:
        with reopen_media(source) as media:
            for stream in media.streams:
                stream.discard = Discard.none if stream.index == index else Discard.all
            reader = CaptionReader(media.streams[index])
            for packet in read_packets(media, lambda _: None, path=str(source)):
                if packet.stream_index == index:
                    reader.push(packet)
            captions = reader.captions()
        self.broken, self._others = reader.broken, reader.channel.others
        return captions

    def note(self, index: int) -> str | None:
        """Return a sentence if the track has captions of a second channel, else None."""
        said = (
            f"of the two channels of captions in stream {index}, only the first becomes text; MOV keeps both"
        )
        return said if self._others else None
