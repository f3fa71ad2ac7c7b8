"""Decodes VP8 and VP9 with alpha: WebM stores alpha as a second stream of frames inside each packet.

FFmpeg's own VP8 and VP9 decoders ignore alpha. The libvpx decoders keep it, but allocate whatever size a
frame header states before it can be checked: a file of 2 KB can request 6 GB. Therefore FFmpeg's decoders,
which obey `max_pixels`, decode both streams.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av import Packet, VideoFrame, VideoStream
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

_HEAD = 8
"""Length in bytes of the BlockAddID, which FFmpeg puts before the data of a BlockAdditional."""
_IS_ALPHA = 1
"""The BlockAddID of alpha (WebM container guidelines)."""
_OPAQUE = 255


class AlphaDecoder:
    """Decodes the frames of a stream together with their alpha, as yuva420p."""

    def __init__(self, stream: VideoStream, *, threads: int, max_pixels: int) -> None:
        name, extradata = stream.codec_context.codec.canonical_name, stream.codec_context.extradata
        self._color = _decoder(name, extradata, threads, max_pixels)
        self._alpha = _decoder(name, None, threads, max_pixels)
        self._last: NDArray[np.uint8] | None = None

    @property
    def has_b_frames(self) -> bool:
        return False

    @property
    def pix_fmt(self) -> str | None:
        return self._color.pix_fmt

    def decode(self, packet: Packet[Any] | None = None) -> list[VideoFrame]:
        """Decode a packet; None marks the end. A frame without its own alpha keeps that of the previous
        frame.

        Raises:
            av.FFmpegError: the packet cannot be decoded, or its frame is larger than `max_pixels`.
        """
        frames = self._color.decode(packet)
        if packet is not None:
            self._see_alpha(packet)
        return [self._with_alpha(frame) for frame in frames]

    def _see_alpha(self, packet: Packet[Any]) -> None:
        if not packet.has_sidedata("matroska_block_additional"):
            return
        data = bytes(packet.get_sidedata("matroska_block_additional"))
        if int.from_bytes(data[:_HEAD], "big") != _IS_ALPHA:
            return
        for frame in self._alpha.decode(Packet(data[_HEAD:])):
            self._last = _samples(frame, 0).copy()

    def _with_alpha(self, color: VideoFrame) -> VideoFrame:
        if color.format.name != "yuv420p":  # alpha is supported for this format only
            return color
        out = VideoFrame(color.width, color.height, "yuva420p")
        for number in range(3):
            _samples(out, number)[:] = _samples(color, number)
        alpha = _samples(out, 3)
        alpha[:] = _OPAQUE
        if self._last is not None and self._last.shape == alpha.shape:
            alpha[:] = self._last
        out.pts, out.dts, out.time_base, out.duration = color.pts, color.dts, color.time_base, color.duration
        out.key_frame = color.key_frame  # type: ignore[misc]
        out.colorspace, out.color_range = color.colorspace, color.color_range
        out.color_trc, out.color_primaries = color.color_trc, color.color_primaries
        return out


def _decoder(name: str, extradata: bytes | None, threads: int, max_pixels: int) -> VideoCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = extradata
    context.thread_type = "SLICE"
    context.thread_count = threads
    context.options = {"max_pixels": str(max_pixels)}
    return context


def _samples(frame: VideoFrame, number: int) -> NDArray[np.uint8]:
    """Return a view `(H, W)` of an 8-bit plane."""
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
