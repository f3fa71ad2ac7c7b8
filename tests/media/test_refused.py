"""Inputs that are refused with a specific reason, and inputs that must not be refused."""

from __future__ import annotations

import uuid
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media_maker import make_clip, picture
from vsr.errors import ConfigError, InputError
from vsr.media.decode.facts.probe import probe
from vsr.media.files.protection import is_protected
from vsr.pipeline.run import upscale

_CONTENT, _EXTENDED = "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e", "298ae614-2622-4c17-b935-dae07ee9289c"


def _wmv(path: Path) -> Path:
    with av.open(str(path), "w", format="asf") as box:
        stream = box.add_stream("wmv2", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            frame = picture(number)
            frame.pts = number
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", [_CONTENT, _EXTENDED])
def test_a_wmv_with_copy_protection_is_refused(tmp_path: Path, kind: str) -> None:
    path = _wmv(tmp_path / "a.wmv")
    assert not is_protected(str(path), "asf", 1)
    assert probe(path).width == 64
    data = path.read_bytes()
    added = uuid.UUID(kind).bytes_le + (24 + 16).to_bytes(8, "little") + bytes(16)
    size = int.from_bytes(data[16:24], "little") + len(added)
    count = int.from_bytes(data[24:28], "little") + 1
    head = data[:16] + size.to_bytes(8, "little") + count.to_bytes(4, "little") + data[28:30]
    path.write_bytes(head + added + data[30:])
    with pytest.raises(InputError, match="are encrypted"):
        probe(path)


def test_a_file_that_is_not_asf_is_not_protected(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0&" + bytes(3))
    assert not is_protected(str(path), "asf", 1)


def _mpeg(path: Path) -> Path:
    with av.open(str(path), "w", format="vob" if path.suffix == ".vob" else None) as box:
        stream = box.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = picture(number)
            frame.pts = number
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    return path


def test_a_dvd_and_a_broadcast_that_are_scrambled_are_refused(tmp_path: Path) -> None:
    dvd, broadcast = _mpeg(tmp_path / "a.vob"), _mpeg(tmp_path / "a.ts")
    assert probe(dvd).width == probe(broadcast).width == 64
    data = bytearray(dvd.read_bytes())
    at = data.find(b"\0\0\1\xe0")
    while at >= 0:
        data[at + 6] |= 0x10
        at = data.find(b"\0\0\1\xe0", at + 4)
    dvd.write_bytes(data)
    data = bytearray(broadcast.read_bytes())
    with av.open(str(broadcast)) as box:
        pid = box.streams.video[0].id
    for at in range(0, len(data), 188):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == pid:
            data[at + 3] |= 0x80
    assert not is_protected(str(broadcast), "mpegts", pid)
    broadcast.write_bytes(data)
    assert is_protected(str(broadcast), "mpegts", pid)
    with pytest.raises(InputError, match="are encrypted"):
        probe(dvd)


def test_an_animated_webp_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    with av.open(str(path), "w", format="webp") as box:
        stream = box.add_stream("libwebp_anim", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            frame = picture(40 * number)
            frame.pts = number
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"animated WebP.*GIF"):
        probe(path)


@pytest.mark.parametrize("rate", [Fraction(300), Fraction(1000), Fraction(30)])
def test_svt_av1_accepts_any_rate_and_the_container_states_it(tmp_path: Path, rate: Fraction) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=6, rate=rate, time_base=Fraction(1, 90000))
    result = tmp_path / "b.mkv"
    upscale(clip, result, model="bicubic", scale=2, encoder="libsvtav1", preset="12")
    stream = ffprobe(result)["streams"][0]
    assert Fraction(stream["avg_frame_rate"]) == pytest.approx(rate, rel=1e-2)
    assert probe(result).frame_rate == pytest.approx(rate, rel=1e-2)


def test_webm_has_its_own_default_encoder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=3)
    report = upscale(clip, tmp_path / "b.webm", model="bicubic", scale=2)
    assert report.encoder["codec"] == "libvpx-vp9"
    with pytest.raises(ConfigError, match="WebM does not support the output of libx264"):
        upscale(clip, tmp_path / "c.webm", model="bicubic", scale=2, encoder="libx264")


def test_webm_keeps_transparency_with_the_default_encoder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", pix_fmt="yuva420p", frames=3)
    report = upscale(clip, tmp_path / "b.webm", model="bicubic", scale=2)
    assert (report.encoder["codec"], report.encoder["pixel_format"]) == ("libvpx-vp9", "yuva420p")
