"""Creates the converter for a stream whose codec changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.media.audio.audio_facts import AudioFacts
from vsr.media.audio.exact_audio import ExactConverter
from vsr.media.audio.latm import LatmConverter
from vsr.media.formats.containers import Container
from vsr.media.passthrough.stream_kinds import PlannedStream
from vsr.media.text.captions import CAPTION_DECODERS, CaptionConverter
from vsr.media.text.subtitles import TextConverter


class Converter(Protocol):
    """Converts the packets of a source's stream to another codec."""

    @property
    def stream(self) -> Stream:
        """The stream in the output."""

    @property
    def broken(self) -> int:
        """The number of packets so far that could not be read."""

    def convert(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the packets that are ready after `packet`."""

    def until(self, seconds: Fraction) -> list[Packet[Any]]:
        """Return the packets that have ended by `seconds` on the source's clock."""

    def flush(self) -> list[Packet[Any]]:
        """Return the remaining packets."""

    def damage_note(self, index: int) -> str | None:
        """Return a sentence if packets of the source's stream `index` could not be read, else None."""

    def note(self, index: int) -> str | None:
        """Return a sentence if undamaged packets of stream `index` may not play in the output, else None."""


def converter_of(
    source: Path,
    stream: Stream,
    output: OutputContainer,
    container: Container,
    planned: PlannedStream,
    facts: AudioFacts | None,
) -> Converter:
    """Add a stream to `output` as planned, and return the converter that makes its packets from those of
    `stream`.

    Args:
        source: Path of the file that contains `stream`.
        stream: Of an open source; its decoder is used by the converter only.
        output: Not started yet.
        container: Container of `output`.
        planned: The plan for `stream`.
        facts: Of an audio stream.
    """
    if stream.type != "audio":
        if planned.codec in CAPTION_DECODERS:
            return CaptionConverter(source, stream, output, planned.to)
        return TextConverter(stream, output, planned.to)
    assert facts is not None
    if planned.latm is not None:
        return LatmConverter(output, planned.latm, facts)
    return ExactConverter(stream, output, planned.to, facts, fill=container.family == "mp4")
