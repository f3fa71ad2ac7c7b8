"""What containers state is checked: missing parts are reported, and intact files are not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.inputs.mutations import CONTAINERS, frames_of, originals
from tests.judges import run
from tests.media_maker import make_clip, truncated
from vsr.errors import InputError
from vsr.media.decode.source import open_video
from vsr.media.formats.boxes import find_boxes
from vsr.media.structure.walk import structure_of

Damage = Callable[[bytes, int], bytes]


def cut(data: bytes, _: int) -> bytes:
    return data[: len(data) * 7 // 10]


def zeroed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(len(data[at : at + 4096])) + data[at + 4096 :]


def removed(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + 4096 :]


def noisy(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(range(1, 251)) + data[at:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return originals(tmp_path_factory.mktemp("whole"))


def read(path: Path) -> tuple[int, bool]:
    """Return the number of frames, and whether damage or a warning was reported."""
    try:
        source = open_video(path)
        number = sum(1 for _ in source.frames())
    except InputError:
        return 0, True
    return number, bool(source.damage)


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_intact_file_is_not_reported_as_damaged(whole: dict[str, Path], name: str) -> None:
    assert read(whole[name]) == (frames_of(name), False)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8], ids=lambda share: f"at {share}")
@pytest.mark.parametrize("damage", [cut, zeroed, removed, noisy])
@pytest.mark.parametrize("name", ["ogv", "wmv", "mxf", "ivf", "dv", "nut", "mp4", "mov"])
def test_missing_frames_are_reported(
    whole: dict[str, Path], tmp_path: Path, name: str, damage: Damage, share: float
) -> None:
    data = whole[name].read_bytes()
    path = tmp_path / f"in.{name}"
    path.write_bytes(damage(data, int(len(data) * share)))
    number, reported = read(path)
    assert reported or number == frames_of(name)


@pytest.mark.parametrize("name", ["gif", "mjpeg"])
def test_a_truncated_file_of_bare_frames_is_reported(
    whole: dict[str, Path], tmp_path: Path, name: str
) -> None:
    number, reported = read(truncated(whole[name], tmp_path / f"in.{name}", 0.7))
    assert reported
    assert number < frames_of(name)


@pytest.mark.parametrize("name", ["mjpeg", "dv"])
def test_a_warning_says_that_missing_frames_cannot_be_detected(whole: dict[str, Path], name: str) -> None:
    source = open_video(whole[name])
    assert len(list(source.frames())) == frames_of(name)
    assert any("cannot be checked" in line for line in source.warnings)


@pytest.mark.parametrize("table", [b"stts", b"stsc", b"stsz"])
def test_index_tables_that_disagree_are_reported(tmp_path: Path, table: bytes) -> None:
    path = make_clip(tmp_path / "in.mp4", frames=20)
    with path.open("rb") as file:
        places = find_boxes(file, 0, path.stat().st_size, b"moov", b"trak", b"mdia", b"minf", b"stbl", table)
        ((at, _),) = list(places)
    data = bytearray(path.read_bytes())
    # The first sample count becomes 2: that of one row in stts and stsc, the total in stsz.
    struct.pack_into(">I", data, at + {b"stts": 8, b"stsc": 12, b"stsz": 8}[table], 2)
    path.write_bytes(data)
    fault = structure_of(path, "mov,mp4").fault
    assert fault is not None
    assert "20" in fault
    assert "2" in fault
    number, reported = read(path)
    assert reported
    assert number <= 20


ELSEWHERE = {
    "theora.ogv": ["-c:v", "libtheora", "-c:a", "libvorbis"],
    "a.wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
    "b.asf": ["-c:v", "wmv1", "-c:a", "wmav1"],
    "a.mxf": ["-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"],
    "a.gif": ["-map", "0:v"],
    "a.mjpeg": ["-map", "0:v", "-c:v", "mjpeg"],
    "av1.ivf": ["-map", "0:v", "-c:v", "libaom-av1", "-cpu-used", "8"],
    "a.nut": [],
    "ntsc.dv": ["-s", "720x480", "-r", "30000/1001", "-pix_fmt", "yuv411p", "-ar", "48000", "-ac", "2"],
    "dv50.dv": ["-s", "720x576", "-pix_fmt", "yuv422p", "-map", "0:v", "-c:v", "dvvideo"],
}
"""Files of another FFmpeg and other encoders: maps a name to the arguments."""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_files_of_other_programs_are_not_reported_as_damaged(tmp_path: Path, name: str) -> None:
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4:r=25", "-f", "lavfi", "-i", "sine=d=0.4"]
    path = tmp_path / name
    run("ffmpeg", "-v", "error", *inputs, *ELSEWHERE[name], str(path))
    source = open_video(path)
    assert len(list(source.frames())) >= 5
    assert not source.damage, source.damage
