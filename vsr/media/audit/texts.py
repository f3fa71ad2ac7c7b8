"""Reads subtitles as lines of text with times, for comparison."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, cast

from av import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from vsr.media.audit.contents import FOREVER, Line
from vsr.media.files.pyav import time_base_of
from vsr.media.text.captions import CAPTION_DECODERS, CaptionReader
from vsr.media.text.drawings import without_drawings

_MARKUP = re.compile(r"\{[^}]*\}|<[^>]*>")
"""Override tags of ASS, and the HTML that SubRip and WebVTT allow."""
_ASS_FIELDS = 8
"""The number of commas before the text in an event from FFmpeg's decoders."""
_UNTIL_NEXT = 2**32 - 1
"""FFmpeg's value for "until the next one", in milliseconds."""


class TextReader:
    """Decodes a stream of text subtitles."""

    def __init__(self, stream: Stream) -> None:
        self._decoder = cast(SubtitleCodecContext, stream.codec_context)
        self._shown: list[tuple[Fraction, Fraction | None, list[str]]] = []
        self._captions = CaptionReader(stream) if self._decoder.name in CAPTION_DECODERS else None

    def push(self, packet: Packet[Any]) -> None:
        """Decode a packet. A packet that cannot be decoded has no text."""
        if self._captions is not None:
            self._captions.push(packet)
            return
        base = time_base_of(packet)
        begin = (packet.pts or 0) * base
        try:
            text = self._decoder.decode2(packet)
        except FFmpegError:
            text = None
        lines = _all_lines(text)
        end = begin + packet.duration * base if packet.duration else None
        if end is None and text is not None and 0 < text.end_display_time < _UNTIL_NEXT:
            end = begin + Fraction(text.end_display_time, 1000)
        self._shown.append((begin, end, lines))

    def result(self, origin: Fraction) -> tuple[Line, ...]:
        """Return all lines. A line without an end is shown until the next text, or without end."""
        captions = self._captions.captions() if self._captions is not None else []
        self._shown += [(caption.begin, caption.end, _all_lines(caption.text)) for caption in captions]
        shown = sorted(self._shown, key=lambda row: row[0])
        following = [row[0] for row in shown[1:]] + [None]
        found = []
        for (begin, end, lines), later in zip(shown, following, strict=True):
            until = end if end is not None else later
            last = FOREVER if until is None else float(until - origin)
            found += [Line(float(begin - origin), last, line) for line in lines]
        return tuple(found)


def _all_lines(text: SubtitleSet | None) -> list[str]:
    return [line for rect in (text.rects if text else ()) for line in _lines_of(rect)]


def _lines_of(rect: object) -> list[str]:
    """Return the lines of a text without markup and surrounding spaces."""
    if not isinstance(rect, AssSubtitle):
        return []
    event = rect.ass.decode("utf-8", "replace").split(",", _ASS_FIELDS)
    text = _MARKUP.sub("", without_drawings(event[-1])).replace("\\h", " ")
    return [line.strip() for line in re.split(r"\\[Nn]|\n", text) if line.strip()]


def missing_time(line: Line, others: Sequence[Line]) -> float:
    """Return the seconds of `line` during which none of `others` shows its text."""
    spans = [(other.begin, other.end) for other in others if other.text == line.text]
    return line.end - line.begin - covered(line.begin, line.end, spans)


def covered(begin: float, end: float, spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds of a time range that are in at least one of `spans`."""
    total, at = 0.0, begin
    for first, last in sorted(spans):
        first, last = max(first, at), min(last, end)
        if last > first:
            total += last - first
            at = last
    return total
