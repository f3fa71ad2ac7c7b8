"""Files joined end to end are played in sequence: no frames overlap, and audio stays in sync."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import pytest

from tests import judges
from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, make_clip, number_in
from vsr.media.decode.source import open_video
from vsr.media.decoders.concatenated import MOST, Parts

MS = Fraction(1, 1000)
PICTURE, SOUND = 0, 1


@dataclass
class Packet:
    """The attributes that `Parts` reads; the file position of PyAV's packets cannot be set."""

    stream_index: int
    pts: int
    dts: int
    pos: int
    time_base: Fraction = MS


def joined(
    tmp_path: Path, packets: Iterable[tuple[int, int, int]]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Take packets as (stream, time in milliseconds, file position); return the packets, and the notes."""
    with av.open(str(make_clip(tmp_path / "a.mkv"))) as box:
        parts = Parts(box.streams.video[PICTURE])
    made: Any = (Packet(index, time, time, place) for index, time, place in packets)
    return [(packet.stream_index, cast(int, packet.pts)) for packet in parts.joined(made)], parts.notes


def pictures(times: list[int]) -> list[tuple[int, int, int]]:
    return [(PICTURE, time, 100 * place) for place, time in enumerate(times)]


def test_times_that_never_decrease_are_kept(tmp_path: Path) -> None:
    times = [0, 40, 80, 5000, 5001, 5040]
    assert joined(tmp_path, pictures(times)) == ([(PICTURE, time) for time in times], [])


def test_a_single_frame_with_an_earlier_time_is_not_moved(tmp_path: Path) -> None:
    times = [0, 79, 113, 146, 133, 213, 246, 230]
    assert joined(tmp_path, pictures(times)) == ([(PICTURE, time) for time in times], [])


@pytest.mark.parametrize("back", [0, 100, 1000])
def test_times_that_fall_and_stay_low_continue_after_the_last(tmp_path: Path, back: int) -> None:
    first, second = [1000, 1040, 1080], [1000 - back, 1040 - back, 1080 - back]
    out, notes = joined(tmp_path, pictures(first + second + second))
    assert [time for _, time in out] == list(range(1000, 1360, 40))
    assert len(notes) == 1
    assert "jump back at 1.080 s" in notes[0]


def test_audio_is_shifted_like_the_video_even_if_it_comes_first(tmp_path: Path) -> None:
    packets = [
        (SOUND, 0, 0), (PICTURE, 0, 10), (SOUND, 20, 20), (PICTURE, 40, 30), (SOUND, 40, 40),
        (SOUND, 0, 60), (PICTURE, 80, 50), (PICTURE, 0, 70), (SOUND, 20, 80), (PICTURE, 40, 90),
        (PICTURE, 80, 100), (SOUND, 40, 110),
    ]  # fmt: skip
    out, _ = joined(tmp_path, packets)
    assert [time for index, time in out if index == PICTURE] == [0, 40, 80, 120, 160, 200]
    assert [time for index, time in out if index == SOUND] == [0, 20, 40, 120, 140, 160]


def test_audio_that_never_falls_back_is_shifted_by_its_file_position(tmp_path: Path) -> None:
    """The first part's audio ended long before its video."""
    packets = [(SOUND, 0, 0), *((PICTURE, 40 * i, 10 + i) for i in range(10))]
    packets += [(PICTURE, 200, 100), (SOUND, 200, 101), (PICTURE, 240, 102), (PICTURE, 280, 103)]
    out, _ = joined(tmp_path, packets)
    assert [time for index, time in out if index == SOUND] == [0, 400]


def test_audio_without_video_is_not_held_back_forever(tmp_path: Path) -> None:
    packets = [(PICTURE, 0, 0), *((SOUND, i, i) for i in range(MOST + 10)), (PICTURE, 40, 1)]
    out, notes = joined(tmp_path, packets)
    assert len(out) == len(packets)
    assert notes == []


def concatenated(tmp_path: Path, **knobs: Any) -> Path:
    """Write two seconds in two parts; the second shows the numbers from 25 on."""
    both = b""
    for first in (0, 25):
        part = make_clip(
            tmp_path / f"{first}.ts", frames=25, first_number=first, audio=[Audio(codec="aac")], **knobs
        )
        both += part.read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(both)
    return path


def test_frames_of_joined_transport_streams_follow_each_other(tmp_path: Path) -> None:
    with open_video(concatenated(tmp_path, bframes=2)) as source:
        frames = list(source.frames())
    times = [frame.stamp.seconds for frame in frames]
    assert [number_in(frame.planes[0]) for frame in frames] == list(range(50))
    assert all(b - a == Fraction(1, 25) for a, b in pairwise(times))
    assert not source.damage
    assert any("jump back" in warning for warning in source.warnings)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_audio_of_joined_transport_streams_stays_in_sync(tmp_path: Path, suffix: str) -> None:
    path = concatenated(tmp_path)
    (before,) = tracks(path, "audio")
    passed = pass_through(path, tmp_path / f"o.{suffix}")
    (after,) = tracks(passed.path, "audio")
    assert after.payloads == [data[7:] for data in before.payloads]  # without the headers of ADTS
    half = len(after.times) // 2
    for one, two in zip(after.times[:half], after.times[half:], strict=True):
        # One second later; a part's first packet is priming, which overlaps the previous part.
        assert abs(two - one - 1) < Fraction(25, 1000)
    assert after.times == sorted(after.times)


def test_a_range_in_the_second_part_has_its_audio(tmp_path: Path) -> None:
    passed = pass_through(concatenated(tmp_path), tmp_path / "o.mkv", start=Fraction(3, 2))
    (audio,) = tracks(passed.path, "audio")
    assert Fraction(45, 100) < audio.times[-1] - audio.times[0] < Fraction(60, 100)


def test_joined_ogg_files_have_all_frames_and_no_damage(tmp_path: Path) -> None:
    parts = []
    for first, quality in ((0, "9"), (40, "5")):
        clip, part = (
            make_clip(tmp_path / f"{first}.mkv", frames=10, first_number=first),
            tmp_path / f"{first}.ogv",
        )
        judges.run("ffmpeg", "-v", "error", "-i", str(clip), "-c:v", "libtheora", "-q:v", quality, str(part))
        parts.append(part)
    whole = tmp_path / "whole.ogv"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_video(whole) as source:
        frames = list(source.frames())
    assert [number_in(frame.planes[0]) for frame in frames] == [*range(10), *range(40, 50)]
    assert not source.damage, source.damage
    assert all(one.stamp.seconds < other.stamp.seconds for one, other in pairwise(frames))
