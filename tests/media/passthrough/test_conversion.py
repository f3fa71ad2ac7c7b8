"""Packets that a conversion cannot read are damage of the input, like frames that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, Subtitle, make_clip
from vsr.errors import InputError
from vsr.pipeline.run import upscale


def spoilt(source: Path, path: Path, kind: str, number: int, how: Callable[[bytes], bytes]) -> Path:
    """Copy a clip with one packet of its only stream of a kind changed."""
    with av.open(str(source)) as media, av.open(str(path), "w") as made:
        streams = {s.index: made.add_stream_from_template(s, opaque=True) for s in media.streams}
        made.start_encoding()
        seen = 0
        for packet in media.demux():
            if not packet.size:
                continue
            stream = packet.stream
            if stream.type == kind:
                seen += 1
            if stream.type == kind and seen == number:
                changed = av.Packet(how(bytes(packet)))
                changed.pts, changed.dts, changed.duration = packet.pts, packet.dts, packet.duration
                changed.time_base, changed.is_keyframe = packet.time_base, packet.is_keyframe
                packet = changed
            packet.stream = streams[stream.index]
            made.mux(packet)
    return path


def damaged_flac(tmp_path: Path) -> Path:
    clip = make_clip(tmp_path / "whole.mkv", frames=25, audio=[Audio(codec="flac", layout="mono")])
    return spoilt(clip, tmp_path / "in.mkv", "audio", 4, lambda data: bytes(len(data)))


def damaged_latm(tmp_path: Path) -> Path:
    options = {"mpegts_flags": "latm"}
    clip = tmp_path / "in.ts"
    make_clip(clip, codec="mpeg2video", frames=25, audio=[Audio()], container_options=options)
    data = bytearray(clip.read_bytes())
    packet = data.index(b"\0\0\1\xc0", len(data) // 2)
    at = packet + 9 + data[packet + 8]
    assert (data[at], data[at + 1] & 0xE0) == (0x56, 0xE0), "a LATM packet begins with its sync word"
    data[at + 3 : at + 9] = b"\xff" * 6  # a length far beyond its end
    clip.write_bytes(data)
    return clip


def damaged_text(tmp_path: Path) -> Path:
    clip = make_clip(tmp_path / "whole.mp4", frames=25, subtitles=[Subtitle(codec="mov_text")])
    return spoilt(clip, tmp_path / "in.mp4", "subtitle", 1, lambda data: data[:1])


@pytest.mark.parametrize(
    ("make", "suffix", "said"),
    [
        (damaged_flac, ".mov", "packets of audio stream 1 cannot be decoded"),
        (damaged_latm, ".mkv", "packets of audio stream 1 are damaged and left out"),
        (damaged_text, ".mkv", "texts of stream 1 cannot be read and are left blank"),
    ],
)
def test_packets_that_a_conversion_cannot_read_are_damage(
    tmp_path: Path, make: Callable[[Path], Path], suffix: str, said: str
) -> None:
    source, target = make(tmp_path), tmp_path / f"out{suffix}"
    report = upscale(source, target, model="bicubic", scale=2)
    assert report.damage.broken_packets >= 1
    assert [note for note in report.damage.notes if said in note]
    assert report.exit_code == 10
    assert not [warning for warning in report.warnings if said in warning]
    with pytest.raises(InputError, match="Without `strict`"):
        upscale(source, target, model="bicubic", scale=2, strict=True, overwrite=True)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_an_undamaged_clip_has_no_damage(tmp_path: Path, suffix: str) -> None:
    clip = make_clip(tmp_path / "in.mkv", audio=[Audio(codec="flac")], subtitles=[Subtitle()])
    assert pass_through(clip, tmp_path / f"out{suffix}").warnings == []
    assert tracks(clip, "audio")
