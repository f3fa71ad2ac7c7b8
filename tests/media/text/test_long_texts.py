"""Texts with long durations, or with long gaps between them, can be stored in MP4."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.packet import Packet

from tests.media.pass_through import pass_through
from tests.media_maker import Subtitle, make_clip
from vsr.media.text.long_texts import BLANK, MOST_TICKS, LongTexts

TICK = Fraction(1, 1_000_000)
MS = Fraction(1, 1000)
MOST = int(MOST_TICKS * TICK / MS)


def text(start: int, end: int, payload: bytes = b"\0\1x") -> Packet:  # type: ignore[type-arg]
    packet = Packet(payload)
    packet.pts = packet.dts = start
    packet.duration, packet.time_base = end - start, MS
    return packet


def spans(*packets: Packet) -> list[tuple[int, int, bytes]]:  # type: ignore[type-arg]
    texts = LongTexts()
    made = [piece for packet in packets for piece in texts.push(packet, TICK)]
    return [(p.pts, p.pts + p.duration, bytes(p)) for p in made if p.pts is not None and p.duration]


def test_usual_texts_are_unchanged() -> None:
    usual = [text(0, 900), text(1000, 2000), text(2000, 2000 + MOST), text(2000 + 2 * MOST, 2001 + 2 * MOST)]
    assert spans(*usual) == [(p.pts, p.pts + p.duration, bytes(p)) for p in usual]


@pytest.mark.parametrize("length", [MOST + 1, 2 * MOST, 2 * MOST + 1, 7 * MOST - 1])
def test_a_long_text_is_repeated_without_a_gap(length: int) -> None:
    found = spans(text(500, 500 + length))
    assert {payload for _, _, payload in found} == {b"\0\1x"}
    assert (found[0][0], found[-1][1]) == (500, 500 + length)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert max(end - start for start, end, _ in found) <= MOST


@pytest.mark.parametrize("gap", [MOST + 1, 3 * MOST, 3 * MOST + 1])
def test_a_long_gap_is_filled_with_blank_texts(gap: int) -> None:
    found = spans(text(0, 100), text(100 + gap, 200 + gap))
    assert [payload for _, _, payload in found[1:-1]] == [BLANK] * (len(found) - 2)
    assert len(found) > 2
    assert max(other[0] - one[1] for one, other in pairwise(found)) <= MOST
    assert max(end - start for start, end, _ in found) <= MOST


HOURS = [(1.0, 2.0, "first"), (9000.0, 9001.0, "after hours"), (9002.0, 16000.0, "for hours")]


@pytest.mark.parametrize("codec", ["subrip", "mov_text"])
def test_a_video_of_hours_with_few_texts_goes_into_mp4(codec: str, tmp_path: Path) -> None:
    suffix = "mkv" if codec == "subrip" else "mp4"
    clip = make_clip(
        tmp_path / f"in.{suffix}",
        frames=5,
        pts=[0, 4000, 8000, 12000, 16000],
        time_base=Fraction(1),
        subtitles=[Subtitle(codec=codec, lines=HOURS)],
    )
    out = pass_through(clip, tmp_path / "out.mp4")
    shown: dict[bytes, list[float]] = {}
    with av.open(str(out.path)) as box:
        for packet in box.demux(subtitles=0):
            if packet.size > 2 and packet.pts is not None:
                span = shown.setdefault(bytes(packet)[2:], [float(packet.pts * packet.time_base), 0.0])
                span[1] = float((packet.pts + (packet.duration or 0)) * packet.time_base)
    assert shown == {words.encode(): pytest.approx([start, end], abs=0.01) for start, end, words in HOURS}


def test_a_text_of_no_duration_gets_a_tick() -> None:
    assert spans(text(0, 500), text(500, 500, BLANK)) == [(0, 500, b"\0\1x"), (500, 501, BLANK)]
