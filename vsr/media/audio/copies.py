"""Adds streams that are copied packet by packet, and tests whether a muxer accepts one."""

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
from vsr.media.files.ffmpeg_log import described_codec, described_tag
from vsr.media.files.opening import open_own
from vsr.media.files.pyav import TEXT, time_base_of
from vsr.media.formats.muxers import REFUSED

USUAL_SPEAKERS = dict(enumerate(("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"), start=1))
"""Maps a number of channels to FFmpeg's default layout."""
_NO_TAG = "\0\0\0\0"
_SILENCE = (
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\x02\0\0\0\0\0"
)
"""A WAV file of one sample. Every muxer except WebM's accepts its codec."""


def add_copy(output: OutputContainer, stream: Stream, facts: AudioFacts | None = None) -> Stream:
    """Add a stream to `output` with the codec parameters of `stream`; the caller copies the metadata.

    Args:
        output: Not started yet.
        stream: Of an open source.
        facts: Of an audio stream. If the source states only the number of channels (AVI), MP4 and MOV get
            FFmpeg's default layout, because they refuse audio without one.

    Raises:
        ValueError: the container does not support the codec.
    """
    made = _add(output, stream)
    if facts is not None and facts.nameless and output.format.name in ("mp4", "mov"):
        usual = USUAL_SPEAKERS.get(facts.channels)
        if usual is not None:
            cast(AudioStream, made).codec_context.layout = usual
    return made


def _add(output: OutputContainer, stream: Stream) -> Stream:
    """Add a stream, even if PyAV refuses to.

    Matroska's muxer writes any audio codec that has a number in WAV files, although its list lacks them. PyAV
    refuses audio (AC-4, MPEG-H) and subtitles (TTML) for which FFmpeg has no decoder, although the muxer may
    accept them.
    """
    undecoded = getattr(stream, "codec_context", None) is None
    try:
        return output.add_stream_from_template(stream, opaque=True)
    except ValueError:
        if undecoded and stream.type == "subtitle":
            return _add_undecoded(output, stream)
        taken = output.format.name == "matroska" or (undecoded and output.format.name != "webm")
        if stream.type != "audio" or not taken:
            raise
    return _add_unlisted(output, stream)


def _add_undecoded(output: OutputContainer, stream: Stream) -> Stream:
    """Add a copy of subtitles of a codec that the container lists, and that FFmpeg has no decoder for."""
    made = output.add_mux_stream(described_codec(stream.container, stream.index))
    BitStreamFilterContext("null", stream, made)
    made.time_base = stream.time_base
    return made


def _add_unlisted(output: OutputContainer, stream: Stream) -> Stream:
    """Add a copy of an audio stream without checking the container's list of codecs; the header shows the
    outcome.

    PyAV's `add_stream_from_template` checks that list. Therefore a stream of a listed codec is added first,
    and then gets all parameters from the output of a bitstream filter that changes nothing.
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
    """Return whether FFmpeg's muxer can write a copy of `stream`.

    This is tried in memory, to the end of the file, because some errors appear only there.

    Args:
        stream: Of an open source.
        muxer: FFmpeg's name of the muxer.
        packets: The first packets of the stream; their times are changed. Damaged ones do not count, unless
            all are damaged. For an empty stream, the header decides.
        facts: Of an audio stream.
    """
    buffer = io.BytesIO()
    output = av.open(buffer, "w", format=muxer, **TEXT)
    try:
        made = add_copy(output, stream, facts)
        output.start_encoding()
        if packets:
            taken = [_taken(output, made, n, packet) for n, packet in enumerate(packets)]
            output.close()
            return any(taken) and (stream.type != "data" or _is_read_back(buffer, muxer, stream))
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):  # a trailer without packets may fail; it is not needed
            output.close()
    return True


def _is_read_back(buffer: io.BytesIO, muxer: str, stream: Stream) -> bool:
    """Return whether a demuxer finds packets of data, and their codec. MP4's and MOV's muxers write codecs
    without a name, which nobody can identify then (KLV, all that FFmpeg does not know), or of which no packet
    is read (timed ID3).
    """
    with open_own(buffer.getvalue(), muxer) as media:
        named = [_name_of(found) for found in media.streams.data] == [_name_of(stream)]
        return named and any(packet.size for packet in media.demux(data=0))


def _name_of(stream: Stream) -> str:
    """Return FFmpeg's name of the codec of data; the container's, if FFmpeg does not know it."""
    return getattr(stream, "name", None) or described_tag(stream.container, stream.index)


def _taken(output: OutputContainer, stream: Stream, second: int, packet: Packet[Any]) -> bool:
    """Mux a packet at a given second; return False if it is damaged."""
    packet.stream = stream
    packet.pts = packet.dts = round(second / time_base_of(packet))
    packet.duration = packet.duration or 1  # without, MP4 hides a last packet
    try:
        output.mux_one(packet)
    except REFUSED:
        return False
    return True
