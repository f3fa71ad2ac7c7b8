"""Side data of every kind can be read from frames, and no kind stops a run."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.media_maker import picture
from tests.picture_maker import profile
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.metadata.side_data import side_data, side_data_of

_ORIENTATION = 274
_TURNED = 6
"""EXIF's number for an orientation that is displayed rotated clockwise by 90 degrees."""


def _exif(orientation: int = _TURNED) -> bytes:
    """Return a TIFF header with one entry, the orientation (Exif 2.3, 4.6.4)."""
    entry = struct.pack("<HHIHH", _ORIENTATION, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def _encoded(codec: str, pix_fmt: str) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, pix_fmt
    encoder.time_base = Fraction(1)
    (packet,) = [*encoder.encode(picture(3, pix_fmt=pix_fmt)), *encoder.encode(None)]
    return bytes(packet)


def _jpeg() -> bytes:
    plain, exif = _encoded("mjpeg", "yuvj420p"), b"Exif\0\0" + _exif()
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]


def _png() -> bytes:
    plain, exif = _encoded("png", "rgb24"), _exif()
    head = 8 + 25  # signature and IHDR
    checked = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + checked + struct.pack(">I", zlib.crc32(checked))
    return plain[:head] + chunk + plain[head:]


def _mjpeg(path: Path) -> Path:
    with av.open(str(path), "w") as box:
        stream = box.add_mux_stream("mjpeg", rate=25, width=64, height=48, time_base=Fraction(1, 25))
        for number in range(3):
            packet = av.Packet(_jpeg())
            packet.stream, packet.pts, packet.dts, packet.duration = stream, number, number, 1
            packet.time_base = Fraction(1, 25)
            box.mux(packet)
    return path


@pytest.mark.parametrize(("name", "made"), [("a.jpg", _jpeg), ("a.png", _png)])
def test_a_photo_with_exif_is_read_with_its_orientation(
    tmp_path: Path, name: str, made: Callable[[], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(made())
    assert probe(path).rotation == 270
    with open_video(path) as video:
        assert len(list(video.frames())) == 1


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mov"])
def test_a_video_with_exif_in_every_frame_is_read_completely(tmp_path: Path, suffix: str) -> None:
    with open_video(_mjpeg(tmp_path / f"a.{suffix}")) as video:
        assert len(list(video.frames())) == 3
        assert not video.damage


def test_kinds_that_pyav_does_not_know_have_ffmpegs_names_and_their_bytes() -> None:
    with av.open(io.BytesIO(_jpeg()), format="jpeg_pipe") as box:
        (frame,) = box.decode(video=0)
    assert [name for name, _ in side_data_of(frame)] == ["DISPLAYMATRIX", "EXIF"]
    assert (side_data(frame, "EXIF") or b"")[:4] == b"II*\0"
    assert side_data(frame, "A53_CC") is None


def test_a_profile_with_a_name_does_not_end_the_process(tmp_path: Path) -> None:
    """PyAV frees the metadata of side data, which belongs to the frame; see `_keep_metadata`."""
    path, out = tmp_path / "profile.png", io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", icc_profile=profile())
    path.write_bytes(out.getvalue())
    program = (
        "import gc, sys; from vsr.media.decode.facts.probe import probe\n"
        "for _ in range(5): print(probe(sys.argv[1]).side_data); gc.collect()"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "('ICC_PROFILE',)\n" * 5)
