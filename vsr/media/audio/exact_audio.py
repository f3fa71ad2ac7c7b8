"""Converts audio without loss if the output's container does not support its codec.

This applies to other forms of PCM (big-endian, signed 8-bit, from DVD, Blu-ray, SMPTE 302M), lossless codecs,
and codecs whose decoders return integers (A-law, ADPCM, GSM). Their samples are written as PCM, or as FLAC,
which more players support in MP4. Lossy codecs that decode to floating point are not converted: integer PCM
cannot hold the samples exactly, and floating-point PCM would be ten times as large.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
from av import AudioFrame, AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.media.audio.audio_facts import AudioFacts
from vsr.media.audio.copies import USUAL_SPEAKERS
from vsr.media.audio.samples import TYPES, SampleReader, is_readable
from vsr.media.files.pyav import TEXT

if TYPE_CHECKING:
    from vsr.media.audio.samples import Samples

_PCM = {
    "u8": "pcm_u8",
    "s16": "pcm_s16le",
    "s24": "pcm_s24le",
    "s32": "pcm_s32le",
    "flt": "pcm_f32le",
    "dbl": "pcm_f64le",
}
"""Maps a kind of samples to the PCM codec that holds them; s24 is 32 bits with the upper 24 significant."""
_FLAC = _PCM | dict.fromkeys(("u8", "s16", "s24"), "flac")
_TARGETS = {"matroska": _PCM, "mov": _PCM, "mp4": _FLAC}
"""Maps FFmpeg's name of a muxer to the codecs to which audio is converted for it."""
_FLAC_CHANNELS = 8
_FLAC_PCM = {"u8": "pcm_s16le", "s16": "pcm_s16le", "s24": "pcm_s24le"}
"""The replacement for FLAC where audio has more than its eight channels or a layout without loudspeakers."""
_GAP = Fraction(1, 500)
"""Seconds between packets above which audio has a gap; less is rounding and jitter of timestamps."""
_SHORT_GAP = Fraction(1, 50)
"""Seconds below which a gap is not filled with silence: the shift of the later audio is inaudible."""
_LONGEST_SILENCE = 60
"""Seconds of gaps that are always filled. More is filled only if it is not longer than the audio so far,
because gaps of hours come from damaged timestamps."""


def exact_target(stream: Stream, facts: AudioFacts | None, muxer: str) -> str | None:
    """Return the codec to which an audio stream can be converted without loss, or None.

    Args:
        stream: Of an open source, with a decoder.
        facts: Of the stream.
        muxer: FFmpeg's name of the muxer.
    """
    context = stream.codec_context
    if facts is None or context is None:
        return None
    if not is_readable(stream, facts):
        return None
    if facts.sample_format in ("flt", "dbl") and not context.codec.lossless:
        return None
    kind = _kind(facts)
    compressed = muxer == "matroska" and context.codec.lossless and not context.name.startswith("pcm_")
    to = (_FLAC if compressed else _TARGETS.get(muxer, {})).get(kind)
    if to == "flac" and (facts.custom or facts.channels > _FLAC_CHANNELS):
        to = _FLAC_PCM[kind]
    return to if to is not None and _is_written(to, facts, muxer) else None


def _is_written(to: str, facts: AudioFacts, muxer: str) -> bool:
    """Return whether a muxer can write a complete file with this audio. MP4 refuses some layouts only at the
    end.
    """
    output = av.open(io.BytesIO(), "w", format=muxer, **TEXT)
    try:
        stream = _add_stream(output, to, facts)
        output.start_encoding()
        sample: Packet[Any] = Packet(bytes(facts.channels * 8))
        sample.pts = sample.dts = 0
        sample.stream = stream
        output.mux_one(sample)
        output.close()
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):
            output.close()
    return True


def _add_stream(output: OutputContainer, to: str, facts: AudioFacts) -> AudioStream:
    """Add a stream of codec `to`, whose time base is one sample."""
    stream = cast(AudioStream, output.add_stream(to, rate=facts.rate))
    context = stream.codec_context
    context.time_base = stream.time_base = Fraction(1, facts.rate)
    context.layout = _safe_layout(facts)
    if to == "flac":
        context.format = "s32" if _kind(facts) == "s24" else "s16"
    return stream


def _kind(facts: AudioFacts) -> str:
    return "s24" if facts.sample_format == "s32" and facts.bits <= 24 else facts.sample_format


class ExactConverter:
    """Converts the packets of an audio stream to packets of PCM or FLAC."""

    def __init__(
        self, source: Stream, output: OutputContainer, to: str, facts: AudioFacts, *, fill: bool
    ) -> None:
        """Add a stream of codec `to` to `output`.

        Args:
            source: Of an open source; its decoder is used here and nowhere else.
            output: Not started yet.
            to: As returned by `exact_target`.
            facts: Of the stream.
            fill: Whether to fill gaps with silence, because MP4 plays audio without pauses.
        """
        self._reader, self._facts, self._fill = SampleReader(source, facts), facts, fill
        self.broken = 0
        """The number of packets that could not be decoded."""
        self.stream = _add_stream(output, to, facts)
        self._encoder = self.stream.codec_context
        self._tick = Fraction(1, facts.rate)
        self._packed = _packing(to, _kind(facts))
        self._encode = self._as_flac if to == "flac" else self._as_pcm
        self._next: int | None = None
        """The time of the next sample, in ticks."""
        self._heard = self._filled = 0
        """Samples of each channel so far: of the source, and of inserted silence."""

    def convert(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the packets that are ready after `packet`; the samples keep their times."""
        return self._all(packet)

    def until(self, seconds: Fraction) -> list[Packet[Any]]:
        """Return nothing: audio does not wait for overlapping packets."""
        return []

    def flush(self) -> list[Packet[Any]]:
        """Return the packets that the decoder and the encoder still hold."""
        if self._next is None:  # there was no packet, and the decoder may not be open
            return []
        return self._all(None) + (self._flushed() if self._encode == self._as_flac else [])

    def damage_note(self, index: int) -> str | None:
        """Return a sentence if packets of the source's stream `index` could not be decoded, else None."""
        return f"{self.broken} packets of audio stream {index} cannot be decoded" if self.broken else None

    def note(self, index: int) -> str | None:
        """Return None: nothing else can change."""
        return None

    def _all(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        made: list[Packet[Any]] = []
        try:
            for pts, samples in self._reader.read(packet):
                made += self._placed(pts, samples)
        except (av.FFmpegError, ValueError):
            self.broken += 1
        return made

    def _placed(self, pts: Fraction | None, samples: Samples) -> list[Packet[Any]]:
        """Return packets of samples at their times: directly after the earlier samples, except after a gap.

        Where gaps are filled, samples never move back, because the output has no times of its own.
        """
        begins = None if pts is None else round(pts / self._tick)
        if self._next is None:
            self._next = begins or 0
        ahead = 0 if begins is None else begins - self._next
        if abs(ahead) <= _GAP * self._facts.rate:
            return self._put(samples)
        short = abs(ahead) <= _SHORT_GAP * self._facts.rate
        if not self._fill or (short and self._encode == self._as_flac):
            self._next += ahead
            return self._put(samples)
        return (self._silence(ahead) if ahead > 0 and not short else []) + self._put(samples)

    def _put(self, samples: Samples) -> list[Packet[Any]]:
        assert self._next is not None
        count = len(samples) // self._facts.channels
        if not count:
            return []
        begins, self._next = self._next, self._next + count
        self._heard += count
        return self._encode(begins, count, self._packed(samples))

    def _silence(self, ticks: int) -> list[Packet[Any]]:
        import numpy as np

        self._filled += ticks
        if self._filled > max(self._heard, _LONGEST_SILENCE * self._facts.rate):
            return []
        size = ticks * self._facts.channels
        kind = TYPES[self._facts.sample_format]
        return self._put(np.full(size, 128 if kind == "u1" else 0, kind))

    def _as_pcm(self, begins: int, count: int, samples: Samples) -> list[Packet[Any]]:
        made: Packet[Any] = Packet(samples.tobytes())
        made.pts = made.dts = begins
        made.duration, made.time_base, made.is_keyframe = count, self._tick, True
        return [made]

    def _as_flac(self, begins: int, count: int, samples: Samples) -> list[Packet[Any]]:
        frame = AudioFrame.from_ndarray(
            samples.reshape(1, -1), format=self._encoder.format.name, layout=_safe_layout(self._facts)
        )
        frame.sample_rate, frame.time_base, frame.pts = self._facts.rate, self._tick, begins
        return _full(self._encoder.encode(frame), self._tick)

    def _flushed(self) -> list[Packet[Any]]:
        return _full(self._encoder.encode(None), self._tick)


def _safe_layout(facts: AudioFacts) -> str:
    """Return a layout by name, never one that lists its channels, because PyAV would free that one twice."""
    if not (facts.nameless or facts.custom):
        return facts.layout
    return USUAL_SPEAKERS.get(facts.channels, f"{facts.channels} channels")


def _packing(to: str, kind: str) -> Callable[[Samples], Samples]:
    """Return a function that arranges samples for the codec `to`."""
    if to == "pcm_s24le":
        return lambda samples: samples.astype("<i4").view("u1").reshape(-1, 4)[:, 1:]
    if kind == "u8" and to != "pcm_u8":
        return lambda samples: (samples.astype("<i2") - 128) << 8
    return lambda samples: samples


def _full(packets: list[Packet[Any]], tick: Fraction) -> list[Packet[Any]]:
    """Return an encoder's packets with their time base, without the empty last one (FLAC's checksum)."""
    for packet in packets:
        packet.time_base = packet.time_base or tick
    return [packet for packet in packets if packet.size]
