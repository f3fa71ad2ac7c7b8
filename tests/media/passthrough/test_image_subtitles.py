"""Subtitles that are images are copied with their times, whatever their packets are like."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.judges import ffprobe, mkvmerge, run
from tests.media.pass_through import pass_through, tracks
from tests.media_maker import make_clip
from vsr.media.audit import verify

TIMES = (0.4, 0.8, 1.2, 1.6, 2.0)
Object = tuple[int, int, int, int, int]
"""Number, left, top, width (below 64) and height."""


def segment(kind: int, seconds: float, data: bytes) -> bytes:
    """Return a segment of PGS (US 2009/0185789 A1) with the header that it has in a file of its own."""
    return b"PG" + struct.pack(">IIBH", int(seconds * 90000), 0, kind, len(data)) + data


def display_set(
    seconds: float, number: int, objects: Sequence[Object], *, palette_only: bool = False
) -> bytes:
    """Return a screen of images, an empty one, or one that only gets other colours."""
    begins = bool(objects) and not palette_only
    composition = struct.pack(
        ">HHBHBBBB", 64, 48, 16, number, 128 * begins, 128 * palette_only, 0, len(objects)
    )
    composition += b"".join(struct.pack(">HBBHH", one, one, 0, left, top) for one, left, top, _, _ in objects)
    parts = [(0x16, composition)]
    windows = b"".join(struct.pack(">BHHHH", *one) for one in objects)
    if not palette_only:
        parts.append((0x17, bytes([len(objects)]) + windows))
    if objects:
        colours = b"".join(
            bytes([one + 1, 200, 128, 128, 64 if palette_only else 255]) for one, *_ in objects
        )
        parts.append((0x14, bytes([0, palette_only]) + colours))
    if begins:
        parts += [(0x15, image(*one)) for one in objects]
    return b"".join(segment(kind, seconds, data) for kind, data in [*parts, (0x80, b"")])


def image(number: int, left: int, top: int, width: int, height: int) -> bytes:
    rows = bytes([0, 0x80 | width, number + 1, 0, 0]) * height
    size = (len(rows) + 4).to_bytes(3, "big")
    return struct.pack(">HBB", number, 0, 0xC0) + size + struct.pack(">HH", width, height) + rows


def film(folder: Path, name: str, *options: str) -> Path:
    """Write a video with five screens: two objects, other colours for them, nothing, one object, nothing."""
    two, one = ((0, 4, 30, 40, 8), (1, 20, 4, 16, 6)), ((0, 4, 30, 40, 8),)
    sets = display_set(TIMES[0], 0, two) + display_set(TIMES[1], 1, two, palette_only=True)
    sets += display_set(TIMES[2], 2, ()) + display_set(TIMES[3], 3, one) + display_set(TIMES[4], 4, ())
    (folder / "subs.sup").write_bytes(sets)
    video = make_clip(folder / "video.mkv", frames=75)
    inputs = ("-i", str(video), "-itsoffset", str(TIMES[0]), "-i", str(folder / "subs.sup"))
    run(
        "ffmpeg", "-v", "error", *inputs, "-map", "0", "-map", "1", "-c", "copy", *options, str(folder / name)
    )
    return folder / name


def times(path: Path) -> list[float]:
    """Return the times of subtitles after the first frame."""
    packets = ffprobe(path, "-show_packets")["packets"]
    first = min(float(packet["pts_time"]) for packet in packets if packet["codec_type"] == "video")
    return [float(one["pts_time"]) - first for one in packets if one["codec_type"] == "subtitle"]


def content(path: Path) -> str:
    (track,) = tracks(path, "subtitle")
    return hashlib.sha256(b"".join(track.payloads)).hexdigest()


def lost(source: Path, made: Path) -> list[str]:
    return [line for line in verify(source, made).lost if "subtitle" in line]


@pytest.mark.parametrize("name", ["in.mkv", "in.m2ts"])
def test_screens_of_pgs_are_kept_with_palette_updates_and_several_objects(tmp_path: Path, name: str) -> None:
    """On Blu-ray each segment is a packet; Matroska's muxer joins those of a screen."""
    source = film(tmp_path, name)
    assert len(tracks(source, "subtitle")[0].payloads) == {"in.mkv": 5, "in.m2ts": 20}[name]
    made = pass_through(source, tmp_path / "out.mkv").path
    assert times(made) == pytest.approx(TIMES, abs=0.001)
    assert content(made) == content(source)
    assert mkvmerge(made)["tracks"][1]["properties"]["codec_id"] == "S_HDMV/PGS"
    assert lost(source, made) == []


def test_missing_screens_are_found(tmp_path: Path) -> None:
    source = film(tmp_path, "in.m2ts")
    cut = tmp_path / "cut.mkv"
    run("ffmpeg", "-v", "error", "-i", str(source), "-map", "0", "-c", "copy", "-t", "1.5", str(cut))
    assert "subtitle 0: 3 packets of 5" in lost(source, cut)


@pytest.mark.parametrize(
    ("codec", "suffixes"), [("dvdsub", [".mkv", ".mp4"]), ("dvbsub", [".mkv"])], ids=["VobSub", "DVB"]
)
def test_vobsub_and_dvb_subtitles_with_several_objects_are_kept(
    tmp_path: Path, codec: str, suffixes: list[str]
) -> None:
    source = tmp_path / "in.mkv"
    run("ffmpeg", "-v", "error", "-i", str(film(tmp_path, "pgs.mkv")), "-map", "0", "-c:v", "copy", "-c:s",
        codec, str(source))  # fmt: skip
    for suffix in suffixes:
        made = pass_through(source, tmp_path / f"out{suffix}").path
        assert content(made) == content(source)
        assert times(made) == pytest.approx(times(source), abs=0.001)
        assert lost(source, made) == []
