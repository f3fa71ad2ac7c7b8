"""Frames get their intended times, even if a container stores other times."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through
from tests.media_maker import make_clip, numbers_of
from vsr.media.audit import verify
from vsr.media.decode.frame_times import SETTLED_AFTER, FrameTimes
from vsr.media.decode.source import open_video
from vsr.media.decode.timeline import DECODING_TIMES

PACKED = {"codec": "libx264", "bframes": 2, "frames": 25}


def frames(pts: Sequence[int | None], dts: Sequence[int | None]) -> list[av.VideoFrame]:
    """Return empty frames with these times."""
    made = []
    for shown, decoded in zip(pts, dts, strict=True):
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts, frame.dts = shown, decoded
        made.append(frame)
    return made


def chosen(
    pts: Sequence[int | None], dts: Sequence[int | None], *, packets: Sequence[int | None] = ()
) -> list[int | None]:
    """Return the times that `FrameTimes` chooses if the decoder may reorder frames."""
    times = FrameTimes()
    for packet in packets:
        times.packet(packet)
    return [time for _, time in times.timed(frames(pts, dts), lambda: True)]


def best_effort(path: Path) -> list[float]:
    """Return the times of all frames from ffprobe, in seconds; the last few may be missing."""
    entries = "frame=best_effort_timestamp_time"
    found = ffprobe(path, "-select_streams", "v:0", "-show_frames", "-show_entries", entries)["frames"]
    key = "best_effort_timestamp_time"
    return [float(frame[key]) for frame in found if key in frame]


def steps(times: Sequence[Fraction]) -> set[Fraction]:
    return {after - before for before, after in pairwise(times)}


def remuxed(source: Path, target: Path) -> Path:
    """Write the same packets with times that increase in decoding order, as simple tools do."""
    with av.open(str(source)) as box, av.open(str(target), "w") as made:
        video = box.streams.video[0]
        copy = made.add_stream_from_template(video, opaque=True)
        for number, packet in enumerate(packet for packet in box.demux(video) if packet.size):
            packet.stream = copy
            packet.pts = packet.dts = round(number * Fraction(1, 25) / packet.time_base)
            made.mux(packet)
    return target


def test_increasing_times_are_kept_whatever_the_decoding_times() -> None:
    assert chosen([0, 40, 80, 120], [0, 10, 20, 30]) == [0, 40, 80, 120]
    assert chosen([0, 40, 80, 120], [0, 0, 0, 0]) == [0, 40, 80, 120]


def test_missing_times_are_replaced_by_decoding_times() -> None:
    assert chosen([None, None, 80, None], [0, 40, 80, None]) == [0, 40, 80, None]


def test_times_in_decoding_order_are_replaced_from_the_first_frame_on() -> None:
    pts = [0, 120, 40, 80, 240, 160, 200, 360, 280, 320]
    dts = list(range(80, 480, 40))
    assert chosen(pts, dts) == dts
    assert chosen(pts, [*dts[:-1], None]) == [*dts[:-1], None]


def test_a_single_wrong_time_changes_nothing() -> None:
    pts = [0, 40, 80, 120, 110, *range(160, 800, 40)]
    assert chosen(pts, list(range(0, 40 * len(pts), 40))) == pts


def test_decoding_times_are_not_used_if_they_decrease_as_often() -> None:
    pts = [0, 40, 20, 80, 60, 120, 100]
    assert chosen(pts, [9, 8, 7, 6, 5, 4, 3]) == pts


@pytest.mark.parametrize(("packets", "held"), [([0, 120, 40], 1), ([0, 40, 80], SETTLED_AFTER)])
def test_frames_are_held_back_only_while_the_right_time_is_unknown(packets: list[int], held: int) -> None:
    taken = 0
    times = FrameTimes()
    for packet in packets:
        times.packet(packet)

    def source() -> list[av.VideoFrame]:
        nonlocal taken
        for frame in frames(range(0, 800, 40), range(0, 800, 40)):
            taken += 1
            yield frame

    next(times.timed(source(), lambda: True))
    assert taken == held
    next(FrameTimes().timed(source(), lambda: False))
    assert taken == held + 1


@pytest.mark.parametrize("name", ["a.avi", "mpeg4.avi", "a.mkv", "a.mp4", "a.mxf"])
@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
def test_frames_are_evenly_spaced_if_a_file_stores_times_in_decoding_order(
    tmp_path: Path, name: str, target: str
) -> None:
    codec = "mpeg4" if "mpeg4" in name else "libx264"
    source = make_clip(tmp_path / f"in{Path(name).suffix}", **(PACKED | {"codec": codec}))
    if not name.endswith((".avi", ".mxf")):
        source = remuxed(source, tmp_path / name)
    passed = pass_through(source, tmp_path / target)
    assert steps(passed.times) == {Fraction(1, 25)}
    assert numbers_of(passed.path) == list(range(25))
    assert best_effort(passed.path) == pytest.approx([float(time) for time in passed.times], abs=0.001)
    assert [line for line in verify(source, passed.path).lost if not line.startswith("size")] == []


@pytest.mark.parametrize("name", ["a.avi", "a.mpg", "a.mkv", "a.ts"])
def test_times_equal_those_of_ffprobe(tmp_path: Path, name: str) -> None:
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    source = open_video(make_clip(tmp_path / name, **(PACKED | {"codec": codec})))
    times = [float(frame.stamp.seconds) for frame in source.frames()]
    judged = best_effort(tmp_path / name)
    assert len(judged) >= 20
    assert times[: len(judged)] == pytest.approx(judged, abs=1e-6)
    assert (DECODING_TIMES in source.warnings) == (name == "a.avi")


def test_frames_with_swapped_times_are_a_loss(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", **PACKED)
    with av.open(str(source)) as box, av.open(str(tmp_path / "wrong.mp4"), "w") as made:
        video = box.streams.video[0]
        copy = made.add_stream_from_template(video, opaque=True)
        swapped = {5 * 40: 6 * 40, 6 * 40: 5 * 40}
        for packet in box.demux(video):
            if packet.size:
                packet.stream = copy
                milliseconds = round(packet.pts * packet.time_base * 1000)
                packet.pts = round(swapped.get(milliseconds, milliseconds) / 1000 / packet.time_base)
                packet.dts -= round(Fraction(2, 25) / packet.time_base)
                made.mux(packet)
    lost = verify(source, tmp_path / "wrong.mp4").lost
    assert any(line.startswith("timestamps: 2 frames") for line in lost), lost
