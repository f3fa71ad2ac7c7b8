"""Missing or displaced audio is detected, without false alarms."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vsr.media.audio.audio_gaps import AudioWatch


@dataclass
class Packet:
    """The attributes of a packet that the watch reads."""

    pts: int | None
    duration: int = 20
    stream_index: int = 1
    time_base: Fraction = Fraction(1, 1000)


def notes(*packets: Any, broken: tuple[int, ...] = ()) -> list[str]:
    watch = AudioWatch()
    for packet in packets:
        watch.packet(packet)
    return watch.notes(broken=broken)


def test_continuous_audio_is_not_reported_as_damaged() -> None:
    assert notes(Packet(0), Packet(20), Packet(40), Packet(None), Packet(61), Packet(80)) == []


def test_a_pause_alone_is_not_damage() -> None:
    assert notes(Packet(0), Packet(20), Packet(4000), Packet(4020)) == []


def test_a_gap_in_a_broken_stream_is_counted() -> None:
    assert "stream 1 is missing in 1 places" in notes(Packet(0), Packet(40), Packet(60), broken=(1,))[0]
    assert notes(Packet(0), Packet(40), broken=(2,)) == []
    assert notes(Packet(0), Packet(21), Packet(40), broken=(1,)) == []


def test_audio_that_jumps_far_back_is_counted() -> None:
    assert notes(Packet(1000), Packet(800), Packet(1020)) == []
    (note,) = notes(Packet(1000), Packet(0), Packet(20), Packet(1020))
    assert "2 packets of audio of stream 1 run back" in note
