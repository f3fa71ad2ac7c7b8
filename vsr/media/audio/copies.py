"""Streams copied packet for packet, and whether a muxer takes one."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any, cast

import av
from av import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.media.audio.audio_facts import AudioFacts
from vsr.media.files.opening import open_own
from vsr.media.files.pyav import TEXT, time_base_of
from vsr.media.formats.muxers import REFUSED

USUAL_SPEAKERS = dict(enumerate(("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"), start=1))
"""Number of channels to FFmpeg's default layout."""
_NO_TAG = "\0\0\0\0"
_SILENCE = (
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\x02\0\0\0\0\0"
)
"""A WAV file of one sample: a stream of a codec that every muxer but WebM's takes."""


def add_copy(output: OutputContainer, stream: Stream, facts: AudioFacts | None = None) -> Stream:
    """Return a new stream of `output` with the codec parameters of `stream`; metadata are the caller's.

    Args:
        output: Not yet started.
        stream: Of an open source.
        facts: Of an audio stream. Channels that the source only counts (AVI) are named as usual for MP4 and
            MOV, which refuse audio without names.

    Raises:
        ValueError: the container does not take the codec.
    """
    made = _add(output, stream)
    if facts is not None and facts.nameless and output.format.name in ("mp4", "mov"):
        usual = USUAL_SPEAKERS.get(facts.channels)
        if usual is not None:
            cast(AudioStream, made).codec_context.layout = usual
    return made


def _add(output: OutputContainer, stream: Stream) -> Stream:
    """Matroska's muxer writes any audio that has a number in WAV files, though it does not list it.

    PyAV adds no audio for which FFmpeg has no decoder (AC-4, MPEG-H); the muxer is asked all the same.
    """
    try:
        return output.add_stream_from_template(stream, opaque=True)
    except ValueError:
        undecoded = getattr(stream, "codec_context", None) is None and output.format.name != "webm"
        if stream.type != "audio" or not (undecoded or output.format.name == "matroska"):
            raise
    return _add_unlisted(output, stream)


def _add_unlisted(output: OutputContainer, stream: Stream) -> Stream:
    """A copy of an audio stream without asking the container's list of codecs; its header decides.

    PyAV's `add_stream_from_template` asks that list. So a stream of a listed codec is added, and then takes
    all parameters from the output of a bitstream filter that changes nothing.
    """
    with open_own(_SILENCE, "wav") as placeholder:
        made = output.add_stream_from_template(placeholder.streams.audio[0], opaque=True)
    BitStreamFilterContext("null", stream, made)
    made.codec_context.codec_tag = _NO_TAG  # of the old container
    made.time_base = stream.time_base
    return made


def muxer_takes(
    stream: Stream, muxer: str, packets: list[Packet[Any]], facts: AudioFacts | None = None
) -> bool:
    """Whether FFmpeg's muxer writes a copy of `stream`; tried in memory, to the end: some faults show there.

    Args:
        stream: Of an open source.
        muxer: FFmpeg's name.
        packets: The first of the stream; their times change. Damaged ones do not count, unless all are.
            Without any (an empty stream), the header decides.
        facts: Of an audio stream.
    """
    output = av.open(io.BytesIO(), "w", format=muxer, **TEXT)
    try:
        made = add_copy(output, stream, facts)
        output.start_encoding()
        if packets:
            taken = [_taken(output, made, n, packet) for n, packet in enumerate(packets)]
            output.close()
            return any(taken)
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):  # a trailer without packets may fail; it is thrown away
            output.close()
    return True


def _taken(output: OutputContainer, stream: Stream, second: int, packet: Packet[Any]) -> bool:
    """Mux a packet at a given second; False where it is damaged."""
    packet.stream = stream
    packet.pts = packet.dts = round(second / time_base_of(packet))
    try:
        output.mux_one(packet)
    except REFUSED:
        return False
    return True
