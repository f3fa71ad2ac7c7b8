"""A frame keeps the source's timestamp; only missing or restarting times are replaced, with a note."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from tests.media.decode.test_frame_times import frames
from vsr.media.decode.frame_times import FrameTimes
from vsr.media.decode.timeline import Timeline


def stamped(
    pts: Sequence[int | None], dts: Sequence[int | None] | None = None
) -> tuple[list[int], list[str]]:
    """Return the pts from a millisecond timeline of 25 frames per second, and its notes."""
    timeline = Timeline(time_base=Fraction(1, 1000), step=40)
    timed = FrameTimes().timed(frames(pts, dts or [None] * len(pts)), lambda: True)
    return [timeline.stamp(frame, time).pts for frame, time in timed], timeline.notes


def test_the_sources_times_are_kept_whatever_their_spacing() -> None:
    times = [-80, -40, 0, 1, 7, 500, 100_000]
    assert stamped(times) == (times, [])


def test_wrong_times_are_kept_and_reported_once() -> None:
    times = [0, 79, 113, 146, 133, 213, 213, 246, 230]  # as in one of the real clips
    out, notes = stamped(times)
    assert out == times
    assert len(notes) == 1


def test_times_that_start_again_continue_at_the_nominal_step() -> None:
    out, notes = stamped([10_000, 10_040, 0, 40, 80])
    assert out == [10_000, 10_040, 10_080, 10_120, 10_160]
    assert "jump back at 10.040 s" in notes[0]


def test_a_short_section_that_starts_again_does_not_overlap_the_first() -> None:
    assert stamped([0, 40, 80, 0, 40, 80])[0] == [0, 40, 80, 120, 160, 200]
    assert stamped([0, 40, 0, 40, 0, 40])[0] == [0, 40, 80, 120, 160, 200]


def test_missing_times_follow_at_the_nominal_step() -> None:
    assert stamped([None, None, None])[0] == [0, 40, 80]
    out, notes = stamped([100, None, 180, None])
    assert out == [100, 140, 180, 220]
    assert "nominal rate of 25 a second" in notes[0]


def test_decoding_times_are_used_if_there_are_no_others() -> None:
    out, notes = stamped([None, None, None], [3, 50, 90])
    assert out == [3, 50, 90]
    assert "decoding time" in notes[0]
