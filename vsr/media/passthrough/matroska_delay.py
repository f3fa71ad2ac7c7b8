"""Sets the CodecDelay of a stream: the time that Matroska hides at the start of a track (RFC 9559,
5.1.4.1.25).

FFmpeg's muxer writes it from the stream's parameters, which PyAV cannot change. FFmpeg's demuxer reads it
into them. Therefore the header of a Matroska file is made in memory, the element is added, and the header is
read.
"""

from __future__ import annotations

import io
from fractions import Fraction

import av
from av import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from vsr.media.audio.copies import add_copy
from vsr.media.files.opening import open_own
from vsr.media.formats.matroska import (
    CODEC_DELAY,
    INFO,
    SEGMENT,
    TRACK_ENTRY,
    TRACKS,
    children,
    segment_of,
    span,
    walk,
)

_CLUSTER = 0x1F43B675
_TIMESTAMP = 0xE7


def add_hidden(output: OutputContainer, stream: Stream, delay: Fraction) -> Stream:
    """Add a stream to `output`, a Matroska or WebM file, that hides `delay` seconds at its start.

    Args:
        output: Not started yet.
        stream: Audio of an open source.
        delay: In seconds.

    Raises:
        ValueError: the container does not support the codec.
    """
    with with_delay(stream, delay, output.format.name) as described:
        return add_copy(output, described.streams[0])


def with_delay(stream: Stream, delay: Fraction, muxer: str) -> InputContainer:
    """Open a description of `stream` whose first audio stream hides `delay` seconds; the caller closes it.

    Args:
        stream: Audio of an open source.
        delay: In seconds.
        muxer: FFmpeg's name of the muxer: matroska or webm.

    Raises:
        ValueError, av.FFmpegError: the muxer refuses the stream.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer) as output:
        add_copy(output, stream)
        output.start_encoding()
    element = _element(CODEC_DELAY, round(delay * 10**9).to_bytes(8, "big"))
    opened = open_own(_header_with(buffer, element), "matroska")
    assert isinstance(opened.streams[0], AudioStream)
    return opened


def _header_with(buffer: io.BytesIO, element: bytes) -> bytes:
    """Return the header in `buffer` with a further element in its track entry, and an empty cluster."""
    data, segment, parts = buffer.getvalue(), segment_of(buffer), []
    for part in children(buffer, *span(segment)):
        if part.id == INFO:
            parts.append(_element(INFO, data[slice(*span(part))]))
        elif part.id == TRACKS:
            entry = next(walk(buffer, part, TRACK_ENTRY))
            kept = [e for e in children(buffer, *span(entry)) if e.id != CODEC_DELAY]
            inside = b"".join(_element(e.id, data[slice(*span(e))]) for e in kept)
            parts.append(_element(TRACKS, _element(TRACK_ENTRY, inside + element)))
    parts.append(_element(_CLUSTER, _element(_TIMESTAMP, b"\0")))
    ebml = data[: data.index(SEGMENT.to_bytes(4, "big"))]
    return ebml + _element(SEGMENT, b"".join(parts))


def _element(id_: int, content: bytes) -> bytes:
    """Return an element whose length is stored in eight bytes."""
    return (
        id_.to_bytes((id_.bit_length() + 7) // 8, "big")
        + (1 << 56 | len(content)).to_bytes(8, "big")
        + content
    )
