"""Damage is counted and always reported, and intact files are not reported as damaged."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from tests.media.pass_through import fitted, open_for
from tests.media_maker import Audio, make_clip, number_in, truncated
from vsr.errors import InputError
from vsr.frame import Damage, YuvFrame
from vsr.media.decode.source import open_video

CUT: dict[str, dict[str, Any]] = {
    "a.mkv": {},
    "sound.mkv": {"audio": [Audio(codec="flac")]},
    "a.webm": {"codec": "libvpx-vp9"},
    "fast.mp4": {"container_options": {"movflags": "faststart"}},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "a.avi": {
        "codec": "mpeg4",
        "width": 320,
        "height": 240,
    },  # more than 5.7 kB of AVI headers
    "a.flv": {},
    "a.ts": {},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "a.apng": {"codec": "apng", "pix_fmt": "rgb24"},
}

FRAGMENTED: dict[str, Any] = {"container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}


def read(path: Path, *, strict: bool = False) -> tuple[list[YuvFrame], Damage]:
    with open_video(path, strict=strict) as source:
        return list(source.frames()), source.damage


def jpeg_clip(path: Path) -> tuple[Path, list[int]]:
    """Write a clip of 12 JPEG frames; return where each begins."""
    make_clip(path, codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xd8\xff", at)]
    assert len(starts) == 12
    return path, starts


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_truncated_file_is_reported(tmp_path: Path, name: str, share: float) -> None:
    whole = make_clip(tmp_path / name, frames=60, gop=6, **CUT[name])
    path = truncated(whole, tmp_path / f"cut_{name}", share)
    frames, damage = read(path)
    assert 0 < len(frames) < 60
    whole_frames = frames[:-1]  # half of the last frame may be there
    assert [number_in(frame.planes[0]) for frame in whole_frames] == list(range(len(whole_frames)))
    assert damage
    assert damage.notes
    with pytest.raises(InputError, match="Without `strict`"):
        read(path, strict=True)


@pytest.mark.parametrize("name", ["a.mkv", "fast.mp4", "a.avi"])
def test_frames_missing_from_a_truncated_file_are_counted(tmp_path: Path, name: str) -> None:
    whole = make_clip(tmp_path / name, frames=60, gop=6, **CUT[name])
    frames, damage = read(truncated(whole, tmp_path / f"cut_{name}", 0.5))
    lost = damage.missing_frames + damage.broken_packets
    assert abs(len(frames) + lost - 60) <= 1  # Matroska states its duration, which is exact to one frame


@pytest.mark.parametrize("suffix", ["mkv", "mov", "avi"])
def test_a_broken_packet_costs_only_its_own_frame(tmp_path: Path, suffix: str) -> None:
    path, starts = jpeg_clip(tmp_path / f"a.{suffix}")
    data = bytearray(path.read_bytes())
    data[starts[5] : starts[5] + 200] = bytes(200)
    path.write_bytes(data)
    frames, damage = read(path)
    assert [number_in(frame.planes[0]) for frame in frames] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert damage.broken_packets == 1
    assert "0.200 s" in damage.notes[0]
    with pytest.raises(InputError, match=r"packet at 0\.200 s"):
        read(path, strict=True)


def test_a_hole_in_a_matroska_file_is_counted(tmp_path: Path) -> None:
    """The demuxer skips to the next cluster without a message."""
    path = make_clip(
        tmp_path / "a.mkv", codec="ffv1", frames=60, container_options={"cluster_time_limit": "400"}
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    frames, damage = read(path)
    lost = 60 - len(frames)
    assert lost > 0
    assert damage.missing_frames + damage.broken_packets == lost


def test_a_hole_in_a_transport_stream_is_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", codec="mpeg2video", gop=1, frames=60)
    data = path.read_bytes()
    middle = len(data) // 2 // 188 * 188
    path.write_bytes(data[:middle] + data[middle + 40 * 188 :])
    frames, damage = read(path)
    assert len(frames) < 60
    assert damage.missing_frames + damage.corrupt_frames + damage.broken_packets >= 60 - len(frames)


def test_frames_lost_from_an_avi_are_counted_although_its_header_counts_an_empty_packet(
    tmp_path: Path,
) -> None:
    """FFmpeg's muxer writes an empty packet first if B-frames delay the others."""
    path = make_clip(tmp_path / "a.avi", codec="mpeg4", bframes=2, frames=30)
    assert read(path)[1] == Damage()
    data = bytearray(path.read_bytes())
    at = [at for at in range(len(data)) if data.startswith(b"00dc", at)][10]
    data[at : at + 8] = bytes(8)  # the head of a packet
    path.write_bytes(data)
    frames, damage = read(path)
    assert len(frames) < 30
    assert damage.missing_frames == 30 - len(frames)


@pytest.mark.parametrize("part", ["mfhd", "tfhd"])
def test_a_broken_fragment_of_mp4_is_counted(tmp_path: Path, part: str) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60, gop=10, **FRAGMENTED)
    data = bytearray(path.read_bytes())
    at = [at for at in range(len(data)) if data.startswith(part.encode(), at)][2]
    data[at - 4 : at + 8] = b"\xff" * 12
    path.write_bytes(data)
    frames, damage = read(path)
    assert len(frames) == 50
    assert damage.missing_frames == 10
    assert any("fragment at byte" in note for note in damage.notes)


def test_a_missing_fragment_is_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60, gop=10, **FRAGMENTED)
    data = path.read_bytes()
    starts = [at - 4 for at in range(len(data)) if data.startswith(b"moof", at)]
    path.write_bytes(data[: starts[2]] + data[starts[3] :])
    frames, damage = read(path)
    assert len(frames) == 50
    assert damage.missing_frames == 10


def test_a_pause_between_fragments_is_not_damage(tmp_path: Path) -> None:
    pts = [40 * i + (2000 if i >= 30 else 0) for i in range(60)]
    clip = make_clip(tmp_path / "a.mp4", gop=10, pts=pts, time_base=Fraction(1, 1000), **FRAGMENTED)
    frames, damage = read(clip)
    assert len(frames) == 60
    assert not damage


def test_concealed_errors_are_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=40, gop=40, width=128, height=96)
    data = bytearray(path.read_bytes())
    random = Random(3)
    for _ in range(12):
        data[random.randrange(len(data) // 3, len(data) * 9 // 10)] ^= 0x55
    path.write_bytes(data)
    _, damage = read(path)
    assert damage.corrupt_frames or damage.broken_packets
    assert damage.notes


def test_a_damaged_stream_decodes_the_same_every_time(tmp_path: Path) -> None:
    """With frame threads it does not, and a resumed run would join frames that differ."""
    path = make_clip(tmp_path / "a.mkv", frames=60, gop=60, width=320, height=240, bframes=2)
    data = bytearray(path.read_bytes())
    random = Random(5)
    for _ in range(20):
        data[random.randrange(len(data) // 4, len(data))] ^= 0x10
    path.write_bytes(data)
    runs = [read(path)[0] for _ in range(3)]
    for other in runs[1:]:
        assert [frame.stamp for frame in other] == [frame.stamp for frame in runs[0]]
        for a, b in zip(runs[0], other, strict=True):
            assert all(torch.equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))


def test_a_recording_that_starts_without_a_key_frame_is_not_damaged(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", frames=40, gop=20)
    data = path.read_bytes()
    path.write_bytes(data[len(data) * 3 // 10 // 188 * 188 :])
    with open_video(path) as source:
        frames = list(source.frames())
    assert frames
    assert not source.damage, source.damage


DROPPED = [*range(10), *range(21, 51)]
"""Times of frames, of which FFmpeg's AVI muxer writes each that is left out as an empty chunk."""
EMPTY = b"00dc\0\0\0\0"


def test_frames_that_a_capture_program_dropped_are_no_damage(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", codec="mpeg4", frames=40, pts=DROPPED)
    assert EMPTY * 11 in path.read_bytes()
    frames, damage = read(path)
    assert len(frames) == 40
    assert frames[10].stamp.seconds - frames[9].stamp.seconds == 12 / Fraction(25)
    assert not damage, damage


def test_a_hole_in_a_recording_is_damage_beside_dropped_frames_too(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", codec="mpeg4", frames=40, pts=DROPPED)
    path.write_bytes(path.read_bytes().replace(EMPTY * 2, b"00dc\x08\0\0\0" + EMPTY, 1))
    assert read(path)[1]


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_crashes_and_is_always_reported(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    name = random.choice(["a.mkv", "fast.mp4", "a.avi", "a.flv"])
    data = bytearray(make_clip(tmp_path / name, frames=40, gop=8, **CUT[name]).read_bytes())
    for _ in range(random.choice([1, 8, 64])):  # after the headers
        data[random.randrange(len(data) // 5, len(data))] = random.randrange(256)
    path = tmp_path / f"bad_{name}"
    path.write_bytes(data)
    try:
        frames, damage = read(path)
    except InputError:
        return
    assert len(frames) == 40 or damage


def sound_damage(path: Path, target: Path) -> Damage:
    """Return the damage that the sink finds in the other streams of a file."""
    with open_video(path, threads=1) as video, open_for(path, target, video.info) as sink:
        for frame in video.frames():
            sink.write(replace(fitted(frame, sink.layout), color=sink.color))
        sink.finish()
        return sink.damage


def test_a_truncated_program_stream_is_reported(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mpg", codec="mpeg2video", frames=60, audio=[Audio(codec="mp2")])
    assert read(path)[1] == Damage()
    assert not sound_damage(path, tmp_path / "o.mkv")
    cut = truncated(path, tmp_path / "cut.mpg", 0.88)  # not between two packs
    assert "cut off" in read(cut)[1].notes[0]


def test_audio_lost_from_a_transport_stream_is_reported(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", frames=60, audio=[Audio(codec="aac")])
    assert not sound_damage(path, tmp_path / "whole.mkv")
    data = path.read_bytes()
    units = [data[at : at + 188] for at in range(0, len(data), 188)]
    audio = [at for at, unit in enumerate(units) if (unit[1] & 0x1F) << 8 | unit[2] == 0x101]
    lost = set(audio[len(audio) // 2 :][:21])  # not a multiple of 16, at which continuity counters wrap
    path.write_bytes(b"".join(unit for at, unit in enumerate(units) if at not in lost))
    assert "audio of stream 1 is missing" in sound_damage(path, tmp_path / "o.mkv").notes[0]
    assert not read(path)[1], "the video is complete"
