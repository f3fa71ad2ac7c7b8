"""A video is decoded from a key frame near the wanted frame; nothing differs from a decode of all."""

from __future__ import annotations

import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsr
from tests.media_maker import Audio, Subtitle, make_clip, truncated
from tests.paff_maker import write_paff
from vsr.frame import YuvFrame
from vsr.media.decode import source
from vsr.media.decode.entry import Entry, Survey
from vsr.media.decode.source import open_video
from vsr.media.files.opening import open_media
from vsr.media.filters.filters import Filter, run_up_of
from vsr.media.integrity.damage import Damage

X264 = {"codec": "libx264", "bframes": 3}
OPEN_264 = X264 | {"options": {"x264-params": "open-gop=1"}}
OPEN_265 = {
    "codec": "libx265",
    "options": {
        "x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=4:b-adapt=0:log-level=none:pools=none"
    },
}
MPEG2 = {"codec": "mpeg2video", "bframes": 2, "options": {"b:v": "400k"}}
HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "16", "b:v": "200k"}
VARIABLE = {"pts": [5000 + 40 * i + i * i % 31 for i in range(50)], "time_base": Fraction(1, 1000)}
STRETCHED = {"pts": [1000 + 100 * i + 3 * i * i for i in range(50)], "time_base": Fraction(1, 3000)}
SOUGHT: dict[str, dict[str, Any]] = {
    "a.mkv": X264,
    "open.mkv": OPEN_264,
    "open.ts": OPEN_264,
    "open.mp4": OPEN_264,
    "open.flv": OPEN_264,
    "interlaced.mkv": X264 | {"interlaced": "top"},
    "variable.mkv": X264 | VARIABLE,
    "variable.mov": X264 | STRETCHED,
    "no-cues.mkv": X264 | {"container_options": {"live": "1"}},
    "fragments.mp4": X264 | {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "closed-265.mkv": {"codec": "libx265", "bframes": 3},
    "open-265.mkv": OPEN_265,
    "open-265.ts": OPEN_265,
    "open-265.mp4": OPEN_265,
    "mpeg2.ts": MPEG2,
    "mpeg2.mxf": MPEG2,
    "mpeg2.mkv": MPEG2 | {"interlaced": "top"},
    "vp8.webm": {"codec": "libvpx", "options": HIDDEN},
    "vp9.webm": {"codec": "libvpx-vp9", "options": HIDDEN | {"cpu-used": "8"}},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "motion-jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "motion-jpeg.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p"} | VARIABLE,
    "ffv1.avi": {"codec": "ffv1"},
}
"""Videos in which decoding can begin late."""
DECODED_WHOLE: dict[str, dict[str, Any]] = {
    "refresh.mkv": X264 | {"options": {"x264-params": "intra-refresh=1"}},
    "no-times.mpg": MPEG2,
    "no-times.avi": X264,
    "raw.h264": X264,
    "packed.avi": {"codec": "mpeg4", "bframes": 2},
    "one-group.mkv": X264 | {"gop": 250},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
"""Videos in which nobody can say where decoding may begin, or what number a frame has."""


def clip(tmp_path: Path, name: str, knobs: dict[str, Any]) -> Path:
    return make_clip(tmp_path / name, **({"frames": 50, "gop": 12} | knobs))


def facts(frames: list[YuvFrame]) -> list[tuple[Any, ...]]:
    return [
        (one.stamp, one.color, [zlib.crc32(np.ascontiguousarray(plane)) for plane in one.planes])
        for one in frames
    ]


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[Entry | None]:
    """The entries that were found, in order."""
    found: list[Entry | None] = []

    def remembered(*arguments: Any, **keywords: Any) -> Entry | None:
        found.append(find(*arguments, **keywords))
        return found[-1]

    find = source.find_entry
    monkeypatch.setattr(source, "find_entry", remembered)
    return found


def read(path: Path, first: int = 0, **keywords: Any) -> tuple[list[tuple[Any, ...]], Damage]:
    with open_video(path, **keywords) as video:
        return facts(list(video.frames(first))), video.damage


@pytest.mark.parametrize("name", SOUGHT)
def test_frames_by_number_are_those_of_a_run_from_the_start(
    tmp_path: Path, name: str, entries: list[Entry | None]
) -> None:
    path = clip(tmp_path, name, SOUGHT[name])
    whole, damage = read(path)
    assert not damage
    for first in (1, 13, 24, 25, 47, 49):
        assert read(path, first) == (whole[first:], damage)
    late = [entry for entry in entries[-4:] if entry is not None]
    assert len(late) == 4
    assert all(first - entry.index <= 13 for first, entry in zip((24, 25, 47, 49), late, strict=True))


@pytest.mark.parametrize("name", ["variable.mkv", "open.ts", "open-265.mp4", "mpeg2.mkv", "vp8.webm"])
def test_frames_from_a_time_on_are_those_of_a_run_from_the_start(tmp_path: Path, name: str) -> None:
    path = clip(tmp_path, name, SOUGHT[name])
    whole, _ = read(path)
    origin = whole[0][0].seconds
    for number in (13, 31, 48):
        exact = whole[number][0].seconds - origin
        assert read(path, start=exact)[0] == whole[number:]
        assert read(path, start=exact + Fraction(1, 10**6))[0] == whole[number + 1 :]
        assert read(path, start=exact, end=exact + Fraction(1, 10**6))[0] == whole[number : number + 1]
    assert read(path, start=Fraction(1000))[0] == []


@pytest.mark.parametrize("name", DECODED_WHOLE)
def test_all_is_decoded_where_an_entry_cannot_be_proved(
    tmp_path: Path, name: str, entries: list[Entry | None]
) -> None:
    path = clip(tmp_path, name, DECODED_WHOLE[name])
    whole, _ = read(path)
    assert read(path, 40)[0] == whole[40:]
    assert entries == [None, None]  # the first is that of the whole video


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_all_is_decoded_where_fields_are_packets_of_their_own(
    tmp_path: Path, suffix: str, entries: list[Entry | None]
) -> None:
    path = tmp_path / f"a.{suffix}"
    write_paff(path, 20, every=4)
    whole, _ = read(path)
    assert len(whole) == 20
    assert read(path, 15)[0] == whole[15:]
    assert entries == [None, None]


@pytest.mark.parametrize(
    "keywords",
    [
        {"deinterlace": "double"},
        {"deinterlace": "auto"},
        {"deinterlace": "bottom-first"},
        {"filters": ("atadenoise=s=5", "unsharp")},
        {"filters": ("deflicker=size=5",)},
        {"filters": ("fftdnoiz",)},
        {"filters": ("crop=w=32:x='mod(n,20)'",)},
    ],
    ids=str,
)
def test_filters_that_remember_frames_give_the_same(tmp_path: Path, keywords: dict[str, Any]) -> None:
    path = clip(tmp_path, "a.mkv", X264 | {"interlaced": "top", "frames": 160})
    whole, _ = read(path, **keywords)
    for first in (15, 150):
        assert read(path, first, **keywords)[0] == whole[first:]


def test_a_first_interlaced_frame_is_deinterlaced_alike_wherever_decoding_begins(tmp_path: Path) -> None:
    progressive = clip(tmp_path, "p.ts", MPEG2)
    woven = clip(tmp_path, "i.ts", MPEG2 | {"interlaced": "top", "first_number": 50})
    both = tmp_path / "both.ts"
    both.write_bytes(progressive.read_bytes() + woven.read_bytes() + progressive.read_bytes())
    mixed = clip(tmp_path, "mixed.mkv", X264 | {"interlaced": "top"})
    for path in (both, mixed):
        whole, _ = read(path)
        for first in (47, 50, 51, 99):
            assert read(path, first)[0] == whole[first:]


@pytest.mark.parametrize("fault", ["times", "frames"])
def test_an_entry_that_does_not_give_what_it_promises_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = clip(tmp_path, "a.mkv", X264)
    whole, _ = read(path)
    find = source.find_entry

    def wrong(*arguments: Any, **keywords: Any) -> Entry | None:
        entry = find(*arguments, **keywords)
        if entry is None:
            return None
        if fault == "times":
            return replace(entry, expected=(*entry.expected[:-1], entry.expected[-1] + 1))
        return replace(entry, packets=entry.packets + 1)  # not a key frame

    monkeypatch.setattr(source, "find_entry", wrong)
    with open_video(path) as video:
        assert facts(list(video.frames(30))) == whole[30:]
        assert not video.damage
        assert not video.warnings


def test_a_filter_that_remembers_all_frames_gets_them_all(tmp_path: Path) -> None:
    assert run_up_of([Filter("hqdn3d", "4")]) is None
    assert run_up_of([Filter("crop", "w=32:x=mod(n,20)")]) is None
    assert run_up_of([Filter("unsharp", "lx=5:la=0.5"), Filter("fftdnoiz", "")]) == 2


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_file_of_a_late_start_is_that_of_a_run_which_decodes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    lines = ((0.0, 0.4, "early"), (1.1, 1.5, "late"))
    path = clip(tmp_path, f"in{suffix}", X264 | {"audio": [Audio()]})
    if suffix == ".mkv":
        path = clip(tmp_path, "in.mkv", X264 | {"audio": [Audio()], "subtitles": [Subtitle(lines=lines)]})
    late = tmp_path / f"late{suffix}"
    report = vsr.upscale(path, late, model="bicubic", start=Fraction(5, 4), end=Fraction(19, 10))
    assert report.frames_in == 16
    monkeypatch.setattr(source, "find_entry", lambda *_, **__: None)
    whole = tmp_path / f"whole{suffix}"
    vsr.upscale(path, whole, model="bicubic", start=Fraction(5, 4), end=Fraction(19, 10))
    assert packets(late) == packets(whole)


def packets(path: Path) -> list[tuple[Any, ...]]:
    with open_media(path) as media:
        return [(p.stream_index, p.pts, p.dts, p.duration, bytes(p)) for p in media.demux()]


def test_a_wrong_index_leads_nowhere(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.mkv", X264)
    whole, _ = read(path)
    data = bytearray(path.read_bytes())
    cues = data.index(b"\x1c\x53\xbb\x6b")
    places = [at for at in range(cues, len(data) - 2) if data[at] == 0xF1 and data[at + 1] & 0xF0 == 0x80]
    assert places
    for at in places:  # CueClusterPosition
        data[at + 2 : at + 2 + (data[at + 1] & 15)] = bytes(data[at + 1] & 15)
    path.write_bytes(data)
    assert read(path, 40)[0] == whole[40:]
    assert read(path, start=Fraction(8, 5))[0] == whole[40:]


def test_a_video_that_is_closed_reads_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path, "a.mkv", X264)
    taken: list[object] = []
    take = Survey._take
    with open_video(path) as video:

        def closing(self: Survey, packet: Any) -> None:
            taken.append(packet)
            if len(taken) == 20:
                video.close()
            take(self, packet)

        monkeypatch.setattr(Survey, "_take", closing)
        assert list(video.frames(40)) == []
    assert len(taken) == 20


def test_damage_after_the_start_is_found_as_before(tmp_path: Path) -> None:
    path = truncated(clip(tmp_path, "a.ts", OPEN_264), tmp_path / "cut.ts", 0.8)
    whole, damage = read(path)
    late, same = read(path, 26)
    assert late == whole[26:]
    assert (same.broken_packets, same.missing_frames) == (damage.broken_packets, damage.missing_frames)
