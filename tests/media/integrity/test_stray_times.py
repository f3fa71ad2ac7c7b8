"""A single timestamp far from its neighbours is damage: it is repaired and counted."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip, numbers_of
from vsr.media.decode.source import open_video
from vsr.media.integrity.stray_times import StrayTimes

N = 20
TICK = Fraction(1, 1000)
STEADY = [40 * i for i in range(N)]


def settled(times: list[int]) -> tuple[list[int], int]:
    strays = StrayTimes[int](TICK)
    found = [pair for number, time in enumerate(times) for pair in strays.push(number, time)]
    found += strays.flush()
    assert [number for number, _ in found] == list(range(len(times)))
    return [time for _, time in found], strays.repaired


@pytest.mark.parametrize("value", [2**31, 2**57, -(2**31), -(2**57), 40 * 9 + 5000])
def test_a_single_wrong_time_is_moved_between_its_neighbours(value: int) -> None:
    times = [*STEADY[:10], value, *STEADY[11:]]
    assert settled(times) == (STEADY, 1)


@pytest.mark.parametrize(
    "times",
    [
        STEADY,
        [*STEADY[:10], *(time + 10**6 for time in STEADY[10:])],  # a recording with a pause
        [*STEADY[:10], *(time - 10**6 for time in STEADY[10:])],  # a recording that started again
        [5000 * i for i in range(N)],  # a slide show
        [0, 40, 30, 80, 120, 110],  # a little out of order
        [0, 3000, 3040, 9000, 9040],
        [0, 40, 10_000],  # a late last frame
    ],
)
def test_times_from_which_the_stream_continues_are_kept(times: list[int]) -> None:
    assert settled(times) == (times, 0)


def test_a_last_time_that_is_very_far_off_is_wrong_too() -> None:
    assert settled([*STEADY[:-1], 2**40]) == (STEADY, 1)


def with_stray(folder: Path, kind: str, value: int, suffix: str) -> Path:
    """Write a clip in which one packet of a stream has the given presentation time."""
    whole, bad = make_clip(folder / "whole.mkv", frames=N, audio=[Audio()]), folder / f"in{suffix}"
    with av.open(str(whole)) as source, av.open(str(bad), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        seen = dict.fromkeys(streams, 0)
        for packet in source.demux():
            if packet.dts is None:
                continue
            index = packet.stream_index
            if source.streams[index].type == kind and seen[index] == 10:
                packet.pts = value
            seen[index] += 1
            packet.stream = streams[index]
            target.mux_one(packet)
    return bad


@pytest.mark.parametrize("target", [".mkv", ".mp4"])
@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize(("value", "suffix"), [(2**31, ".mkv"), (2**40, ".nut")])
def test_one_wrong_time_does_not_change_the_duration(
    kind: str, value: int, suffix: str, target: str, tmp_path: Path
) -> None:
    bad = with_stray(tmp_path, kind, value, suffix)
    with open_video(bad) as video:
        steps = {b.stamp.pts - a.stamp.pts for a, b in pairwise(video.frames())}
        assert max(steps) * video.info.time_base < Fraction(1, 10)
        assert bool(video.damage) == (kind == "video")
    out = pass_through(bad, tmp_path / f"out{target}")
    assert numbers_of(out.path) == list(range(N))
    with av.open(str(out.path)) as box:
        last = {p.stream_index: p.pts * p.time_base for p in box.demux() if p.pts is not None}
    assert all(end < 1 for end in last.values()), last


@pytest.mark.parametrize(
    ("start_code", "kind"), [(b"\x00\x00\x01\xe0", "picture"), (b"\x00\x00\x01\xc0", "audio")]
)
def test_a_flipped_bit_in_a_timestamp_does_not_start_a_new_recording(
    start_code: bytes, kind: str, tmp_path: Path
) -> None:
    """The highest bit of a 33-bit time is thirteen hours, from one packet to the next and back."""
    clip = make_clip(tmp_path / "in.ts", frames=N, audio=[Audio()])
    data = bytearray(clip.read_bytes())
    places = [i for i in range(len(data)) if data[i : i + 4] == start_code]
    data[places[len(places) // 2] + 9] ^= 0x08
    clip.write_bytes(data)
    out = pass_through(clip, tmp_path / "out.mkv")
    assert numbers_of(out.path) == list(range(N))
    with av.open(str(out.path)) as box:
        assert all(p.pts * p.time_base < 2 for p in box.demux() if p.pts is not None), kind
