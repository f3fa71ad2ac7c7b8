"""Sound that begins far into a transport stream, which has no header that would announce it."""

from __future__ import annotations

from pathlib import Path

from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, make_clip

FILLED = {"x264-params": "nal-hrd=cbr:bitrate=40000:vbv-maxrate=40000:vbv-bufsize=4000"}
"""40 Mbit/s, most of it filler: 5 MB a second."""


def test_sound_that_begins_megabytes_later_is_kept(tmp_path: Path) -> None:
    late = Audio(codec="aac", start=1.6, seconds=0.5)
    path = make_clip(tmp_path / "a.ts", frames=50, options=FILLED, audio=[late])
    passed = pass_through(path, tmp_path / "o.mkv")
    (sound,) = tracks(passed.path, "audio")
    assert sound.codec == "aac"
    assert not any("left out" in warning for warning in passed.warnings)


def test_sound_that_is_not_found_near_the_beginning_is_left_out_for_that_reason(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", frames=25, audio=[Audio(codec="aac", start=0.9, seconds=0.1)])
    data = path.read_bytes()
    units = [data[at : at + 188] for at in range(0, len(data), 188)]
    sound_id = 0x101  # FFmpeg's muxer counts from 0x100
    path.write_bytes(b"".join(u for u in units if (u[1] & 0x1F) << 8 | u[2] != sound_id))
    passed = pass_through(path, tmp_path / "o.mkv")
    assert tracks(passed.path, "audio") == []
    assert any("too late in the file to be identified" in warning for warning in passed.warnings)
