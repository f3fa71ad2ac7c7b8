"""A file object is decoded, judged and refused exactly as the local file with the same bytes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.media_maker import Audio, make_clip, truncated
from vsr.errors import InputError
from vsr.media.audit.reading import read_contents
from vsr.media.decode.source import open_video
from vsr.media.files.named import paths_of

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".ts", ".avi", ".nut")
CODECS = {".webm": "libvpx-vp9"}


def clip(folder: Path, suffix: str) -> Path:
    audio = [Audio(codec="libopus")] if suffix == ".webm" else [Audio()]
    return make_clip(folder / f"in{suffix}", frames=9, codec=CODECS.get(suffix, "libx264"), audio=audio)


def decoded(source: Any) -> tuple[object, ...]:
    """Return everything that decoding says: frames, times, damage, facts."""
    with open_video(source) as video:
        frames = [(f.stamp.pts, f.stamp.duration, f.planes[0].sum().item()) for f in video.frames()]
        info = video.info
        facts = (info.frames_promised, info.duration_seconds, info.start_seconds, info.color, info.layout)
        return frames, facts, video.damage, video.warnings


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [1.0, 0.6], ids=["whole", "truncated"])
def test_frames_times_and_damage_are_those_of_the_file(tmp_path: Path, suffix: str, part: float) -> None:
    path = clip(tmp_path, suffix)
    if part < 1:
        path = truncated(path, tmp_path / f"cut{suffix}", part)
    with path.open("rb") as file:
        found = outcome(file)
    assert found == outcome(path)


def outcome(source: Any) -> object:
    try:
        return decoded(source)
    except InputError as error:
        return str(error).split(": ", 1)[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_verify_reads_is_that_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = clip(tmp_path, suffix)
    here = read_contents(path, max_pixels=1 << 20)
    with path.open("rb") as file, paths_of(file) as (place,):
        there = read_contents(place, max_pixels=1 << 20)
    for name in ("frames", "tracks", "attachments", "chapters", "tags", "timecode", "dispositions"):
        assert repr(getattr(here, name)) == repr(getattr(there, name)), name
    assert replace(there.info, path=here.info.path) == here.info


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"words\n" * 99,
        b"#EXTM3U\n",
        b"ffconcat version 1.0\nfile x\n",
        b"<html>",
        b"PK\x03\x04" + bytes(99),
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\0\0\0\x18ftypheic" + bytes(99),
        b"\0\0\0\x18ftypisom" + bytes(99),
        bytes(range(256)) * 9,
    ],
    ids=["empty", "text", "HLS", "concat", "HTML", "ZIP", "LFS", "HEIC", "MP4 without index", "noise"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".jpg"])
def test_what_is_no_video_is_refused_with_the_same_words(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    path.write_bytes(data)
    source = io.BytesIO(data)
    source.name = path.name  # type: ignore[attr-defined] # as files have it
    words = [outcome(path), outcome(source)]
    assert words[0] == words[1]
    assert isinstance(words[0], str)
