"""The video stream of a file, its decoder, and its packets in spite of errors. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from vsr.errors import ConfigError, InputError
from vsr.media.files.opening import MAX_PIXELS, shown

ALPHA_CODECS = frozenset({"vp8", "vp9"})
"""Codecs whose frames carry alpha beside them in WebM."""
_RAW = "h264 hevc vvc h263 h261 m4v mpegvideo vc1 cavsvideo avs2 avs3 dirac dnxhd evc obu mjpeg apv dv"
RAW = frozenset(_RAW.split())
"""FFmpeg's demuxers of bare streams: no container counts their pictures or stamps them."""
READ_ERRORS = (av.FFmpegError, LookupError, MemoryError, ValueError)
"""What PyAV raises while it reads or decodes a damaged file."""
MAX_ERRORS_IN_A_ROW = 100
"""Failed reads, with no packet between them, after which the rest of the file is given up."""


class FrameDecoder(Protocol):
    """What a video decoder is used for."""

    @property
    def has_b_frames(self) -> bool: ...

    @property
    def pix_fmt(self) -> str | None: ...

    def decode(self, packet: Packet[Any] | None = None) -> list[VideoFrame]: ...


def choose_stream(container: InputContainer, path: str, *, index: int | None = None) -> VideoStream:
    """FFmpeg's choice of video stream, cover pictures aside, or the stream with a given index.

    Raises:
        ConfigError: `index` is no video stream.
        InputError: no video stream, or there is no decoder for it.
    """
    films = films_of(container)
    if index is not None:
        stream = next((s for s in container.streams.video if s.index == index), None)
        if stream is None:
            what = ", ".join(f"{s.index} ({_codec_name(s)})" for s in container.streams.video) or "none"
            raise ConfigError(f"{shown(path)}: stream {index} is no video stream; video streams are: {what}")
    elif not films:
        held = ", ".join(f"{s.index} {s.type}" for s in container.streams) or "nothing"
        raise InputError(f"{shown(path)}: holds no video stream (streams: {held}). Give a file with pictures")
    else:
        best = container.streams.best("video")
        stream = next((s for s in films if best is not None and s.index == best.index), films[0])
    if stream.codec_context is None:
        raise InputError(
            f"{shown(path)}: FFmpeg here has no decoder for its video. Convert it to H.264 first"
        )
    return stream


def films_of(container: InputContainer) -> list[VideoStream]:
    """The video streams that are no cover pictures."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def decoder_of(stream: VideoStream, *, threads: int = 0, max_pixels: int = MAX_PIXELS) -> FrameDecoder:
    """A decoder for the stream's packets, not yet opened.

    Args:
        stream: Of an open container.
        threads: Decoder threads; 0 lets FFmpeg decide.
        max_pixels: Larger pictures are refused, also when the size changes on the way.
    """
    context = stream.codec_context
    if context.codec.canonical_name in ALPHA_CODECS and _has_alpha(stream):
        from vsr.media.decoders.alpha_decoder import (
            AlphaDecoder,  # here: numpy is a fifth of the start of `vsr info`
        )

        return AlphaDecoder(stream, threads=threads, max_pixels=max_pixels)
    # Slices, never frames: with frame threads a damaged stream decodes differently from run to run, and an
    # error loses the pictures that are in flight.
    context.thread_type = "SLICE"
    context.thread_count = threads
    context.options = {"max_pixels": str(max_pixels)}
    return context


def _has_alpha(stream: VideoStream) -> bool:
    """Matroska's own field is `alpha_mode`; tools copy it as a tag, in capitals."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def leave_out_others(container: InputContainer, stream: VideoStream) -> None:
    """Let the demuxer skip all other streams."""
    for other in container.streams:  # streams that appear later are told apart by the caller
        if other.index != stream.index:
            other.discard = Discard.all


def read_packets(container: InputContainer, on_error: Callable[[Exception], None]) -> Iterator[Packet[Any]]:
    """Packets that hold data, of all streams that are not discarded, going on after read errors.

    Empty packets (a dropped picture in AVI) are left out: to a decoder they would mean the end.
    """
    failures = 0
    while failures < MAX_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux():
                failures = 0
                if packet.size:
                    yield packet
            return
        except READ_ERRORS as error:
            failures += 1
            on_error(error)


def _codec_name(stream: VideoStream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else "no decoder"
