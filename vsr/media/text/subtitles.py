"""Converts text subtitles from one codec to another.

Each packet of the source becomes one packet with the same time. The exception is QuickTime text, which shows
one text at a time: texts that overlap are cut and joined (`flatten.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, cast

import av
from av import CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet

from vsr.media.files.pyav import time_base_of
from vsr.media.text.drawings import without_drawings
from vsr.media.text.flatten import Flattener, Text

BLANK = {"mov_text": b"\x00\x00", "subrip": b" ", "webvtt": b" ", "ass": b"0,0,Default,,0,0,0,,"}
"""A text that shows nothing. QuickTime text fills the gaps between its lines with such packets. They are kept
as blank lines, so that the number of packets stays the same; Matroska's demuxers would drop empty ones."""

_PLAIN = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,16

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""Header for ASS without one; FFmpeg's encoders require a header."""
_ASS_FIELDS = 8
"""The number of commas before the text in an event of ASS, as Matroska stores it."""


def is_text(stream: Stream) -> bool:
    """Return whether a stream contains subtitles as text that FFmpeg can decode."""
    context = getattr(stream, "codec_context", None)
    return stream.type == "subtitle" and context is not None and bool(context.codec.text_sub)


def fine_base(base: Fraction, others: Iterable[Fraction]) -> Fraction:
    """Return a time base for QuickTime text whose ticks divide `base` and are at least as fine as the others.

    FFmpeg's muxer (8.1.2) compares a text's end in its own ticks with other streams' times in their ticks.
    With coarser ticks it adds an empty packet after each text.
    """
    most = max([1_000_000, *(other.denominator for other in others)])
    return base / max(1, -(-most // base.denominator))


class TextConverter:
    """Converts the packets of a text stream to another codec."""

    def __init__(self, source: Stream, output: OutputContainer, codec: str) -> None:
        """Add a stream of `codec` to `output`; its header is written when `output` starts."""
        known = cast(SubtitleStream, source).codec_context  # None of Matroska's own WebVTT
        self._decoder = known or CodecContext.create("webvtt", "r")
        self._decoder.open(strict=False)
        self._is_ass = self._decoder.name in ("ass", "ssa")
        self._blank = BLANK[codec]
        self._flat = Flattener() if codec == "mov_text" else None
        self.broken = 0
        """The number of texts that could not be read; they show nothing."""
        self.stream = cast(SubtitleStream, output.add_stream(codec))
        self._encoder: SubtitleCodecContext = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header or _PLAIN
        self._base = time_base_of(source)
        self._encoder.time_base = self.stream.time_base = self._base

    def convert(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the text in the other codec with the same time; for QuickTime text, the earlier texts that
        have ended.
        """
        payload = self._payload(packet)
        if self._flat is None:
            return [_packet(payload, packet.pts, packet.duration or 0, time_base_of(packet))]
        start = packet.pts or 0
        end = start + packet.duration if packet.duration else None
        return [self._span(text) for text in self._flat.push(Text(start, end, payload))]

    def until(self, seconds: Fraction) -> list[Packet[Any]]:
        """Return the texts that have ended by `seconds` on the source's clock."""
        spans = [] if self._flat is None else self._flat.until(int(seconds / self._base))
        return [self._span(text) for text in spans]

    def flush(self) -> list[Packet[Any]]:
        """Return the remaining texts."""
        spans = [] if self._flat is None else self._flat.flush(int(1 / self._base))
        return [self._span(text) for text in spans]

    def damage_note(self, index: int) -> str | None:
        """Return a sentence if texts of the source's stream `index` could not be read, else None."""
        late = 0 if self._flat is None else self._flat.late
        said = []
        if late:
            said.append(f"{late} texts of stream {index} come too late in the file to be shown")
        if self.broken:
            said.append(f"{self.broken} texts of stream {index} cannot be read and are left blank")
        return "; ".join(said) or None

    def note(self, index: int) -> str | None:
        """Return None: nothing else can change."""
        return None

    def _span(self, text: Text) -> Packet[Any]:
        assert text.end is not None
        return _packet(text.payload, text.start, text.end - text.start, self._base)

    def _encoded(self, text: SubtitleSet) -> bytes:
        return bytes(self._encoder.encode_subtitle(text)) or self._blank

    def _payload(self, packet: Packet[Any]) -> bytes:
        try:
            text = self._decoder.decode2(_not_drawn(packet) if self._is_ass else packet)
            return self._encoded(text) if text else self._blank
        except av.FFmpegError:
            self.broken += 1
            return self._blank


def _not_drawn(packet: Packet[Any]) -> Packet[Any]:
    """Return an event of ASS without drawings."""
    *fields, text = bytes(packet).decode("utf-8", "surrogateescape").split(",", _ASS_FIELDS)
    event = ",".join([*fields, without_drawings(text)]).encode("utf-8", "surrogateescape")
    return _packet(event, packet.pts, packet.duration or 0, time_base_of(packet))


def _packet(payload: bytes, pts: int | None, duration: int, base: Fraction) -> Packet[Any]:
    made: Packet[Any] = Packet(payload)
    made.pts, made.dts, made.duration, made.time_base = pts, pts, duration, base
    return made
