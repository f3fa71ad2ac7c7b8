"""Decodes streams whose frame size changes, without losing a frame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from av import Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

from vsr.media.decoders.decoder import FrameDecoder

_MPEG = re.compile(rb"\x00\x00\x01\xb3(.{3})", re.DOTALL)
"""The width and height in a sequence header (ISO/IEC 13818-2, 6.2.2.1)."""
_MPEG4 = re.compile(rb"\x00\x00\x01[\x20-\x2f](.*?)(?=\x00\x00\x01|\Z)", re.DOTALL)
"""A video object layer (ISO/IEC 14496-2, 6.2.3); its size is at no fixed bit position, so all of it is
compared."""
_SEQUENCE_HEADERS = {"mpeg1video": _MPEG, "mpeg2video": _MPEG, "mpeg4": _MPEG4}
_COMMENTS = b"\x81theora"
"""The beginning of Theora's comment header, which stands before each part of an Ogg file joined of several;
FFmpeg's decoder (8.1) reconfigures itself for the other headers, but calls this one an error."""
_HEADER_BYTES = 256
"""The number of bytes of a packet in which a header is searched."""


class Sequences:
    """Decodes packets so that no frame is lost where the size changes.

    FFmpeg's decoders of MPEG-1, 2 and 4 drop the frame that they hold back when a sequence of another size
    begins. Therefore the decoder is drained before a packet with a different header.
    """

    def __init__(self, codec: str, decoder: FrameDecoder) -> None:
        """Start before the first packet.

        Args:
            codec: FFmpeg's name of the codec.
            decoder: Decoder of the stream.
        """
        self._header, self._decoder = _SEQUENCE_HEADERS.get(codec), decoder
        self._theora = codec == "theora"
        self._before: bytes | None = None

    def decode(self, packet: Packet[Any] | None) -> Iterator[VideoFrame]:
        """Yield the frames that are ready after `packet`; None marks the end.

        Raises:
            READ_ERRORS: the packet is damaged.
        """
        if self._theora and packet is not None and bytes(memoryview(packet)[: len(_COMMENTS)]) == _COMMENTS:
            return
        header = self._header_of(packet)
        if header is not None and header != self._before:
            if self._before is not None:
                yield from self._decoder.decode(None)
                assert isinstance(self._decoder, VideoCodecContext)
                self._decoder.flush_buffers()
            self._before = header
        yield from self._decoder.decode(packet)

    def _header_of(self, packet: Packet[Any] | None) -> bytes | None:
        if packet is None or self._header is None:
            return None
        found = self._header.search(memoryview(packet)[:_HEADER_BYTES])
        return None if found is None else bytes(found[1])
