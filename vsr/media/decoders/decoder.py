"""Chooses the video stream of a file, creates its decoder, and reads packets in spite of errors.

Torch is not imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from vsr.errors import ConfigError, InputError
from vsr.media.decoders.avi_clock import by_chunks
from vsr.media.decoders.edited_times import by_edits
from vsr.media.files.opening import MAX_PIXELS, shown
from vsr.media.remote.reader import check_read

ALPHA_CODECS = frozenset({"vp8", "vp9"})
"""Codecs whose alpha WebM stores beside the frames."""
_RAW = "h264 hevc vvc h263 h261 m4v mpegvideo vc1 cavsvideo avs2 avs3 dirac dnxhd evc obu mjpeg apv dv"
RAW = frozenset(_RAW.split())
"""FFmpeg's demuxers of bare streams: there is no container that counts or timestamps the frames."""
READ_ERRORS = (av.FFmpegError, LookupError, MemoryError, ValueError)
"""The exceptions that PyAV raises when it reads or decodes a damaged file."""
MAX_ERRORS_IN_A_ROW = 100
"""The number of failed reads without a packet between them after which reading gives up."""


class FrameDecoder(Protocol):
    """The part of a video decoder's interface that is used here."""

    @property
    def has_b_frames(self) -> bool: ...

    @property
    def pix_fmt(self) -> str | None: ...

    def decode(self, packet: Packet[Any] | None = None) -> list[VideoFrame]: ...


def choose_stream(container: InputContainer, path: str, *, index: int | None = None) -> VideoStream:
    """Return FFmpeg's choice of video stream, except cover pictures, or the stream with a given index.

    Raises:
        ConfigError: `index` is not a video stream.
        InputError: there is no video stream, or no decoder for it.
    """
    videos = video_streams_of(container)
    if index is not None:
        stream = next((s for s in container.streams.video if s.index == index), None)
        if stream is None:
            what = ", ".join(f"{s.index} ({_codec_name(s)})" for s in container.streams.video) or "none"
            raise ConfigError(
                f"{shown(path)}: stream {index} is not a video stream; video streams are: {what}"
            )
    elif not videos:
        held = ", ".join(f"{s.index} {s.type}" for s in container.streams) or "nothing"
        raise InputError(f"{shown(path)}: contains no video stream (streams: {held}). Give a file with video")
    else:
        best = container.streams.best("video")
        stream = next((s for s in videos if best is not None and s.index == best.index), videos[0])
    if stream.codec_context is None:
        raise InputError(
            f"{shown(path)}: this FFmpeg has no decoder for its video. Convert it to H.264 first"
        )
    return stream


def video_streams_of(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are not cover pictures."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def decoder_of(stream: VideoStream, *, threads: int = 0, max_pixels: int = MAX_PIXELS) -> FrameDecoder:
    """Create a decoder for the stream's packets; it is not opened yet.

    Args:
        stream: Of an open container.
        threads: Number of decoder threads; 0 lets FFmpeg decide.
        max_pixels: Larger frames are refused, even if the size changes within the video.
    """
    context = stream.codec_context
    if context.codec.canonical_name in ALPHA_CODECS and _has_alpha(stream):
        # imported late: numpy takes a fifth of the start-up of `vsr info`
        from vsr.media.decoders.alpha_decoder import AlphaDecoder

        return AlphaDecoder(stream, threads=threads, max_pixels=max_pixels)
    # Slice threads, because frame threads decode a damaged stream differently each time, and lose the frames
    # in progress after an error.
    context.thread_type = "SLICE"
    context.thread_count = threads
    context.options = {"max_pixels": str(max_pixels)}
    return context


def _has_alpha(stream: VideoStream) -> bool:
    """Return whether the stream has alpha. Matroska's own field is `alpha_mode`; tools copy it as a tag in
    capitals.
    """
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def leave_out_others(container: InputContainer, stream: VideoStream) -> None:
    """Make the demuxer skip all streams except one."""
    for other in container.streams:  # the caller skips packets of streams that appear later
        if other.index != stream.index:
            other.discard = Discard.all


def read_packets(
    container: InputContainer, on_error: Callable[[Exception], None], *, path: str = ""
) -> Iterator[Packet[Any]]:
    """Yield the packets with data of all streams that are not discarded, and continue after read errors.

    Empty packets (a dropped frame in AVI) are left out, because to a decoder they would mean the end. Wrong
    times of audio in AVI are corrected (`avi_clock`), and those of edits that begin inside a frame or a text
    (`edited_times`).

    Args:
        container: An open container.
        on_error: Called with each error.
        path: Path of the file; without it, times of edits stay those of FFmpeg.

    Raises:
        InputError: the network or a file object failed; what is missing then is no damage.
    """
    packets = by_chunks(container, _packets(container, on_error))
    return by_edits(container, path, packets) if path else packets


def _packets(container: InputContainer, on_error: Callable[[Exception], None]) -> Iterator[Packet[Any]]:
    failures = 0
    while failures < MAX_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux():
                failures = 0
                if packet.size:
                    yield packet
            check_read(container)
            return
        except READ_ERRORS as error:
            check_read(container)
            failures += 1
            on_error(error)


def _codec_name(stream: VideoStream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else "no decoder"
