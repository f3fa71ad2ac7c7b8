"""Audio that begins late in a transport stream, which has no header that lists its streams."""

from __future__ import annotations

from pathlib import Path

from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, make_clip

FILLED = {"x264-params": "nal-hrd=cbr:bitrate=40000:vbv-maxrate=40000:vbv-bufsize=4000"}
"""40 Mbit/s, mostly filler: 5 MB per second."""


def test_audio_that_begins_megabytes_later_is_kept(tmp_path: Path) -> None:
    late = Audio(codec="aac", start=1.6, seconds=0.5)
    path = make_clip(tmp_path / "a.ts", frames=50, options=FILLED, audio=[late])
    passed = pass_through(path, tmp_path / "o.mkv")
    (audio,) = tracks(passed.path, "audio")
    assert audio.codec == "aac"
    assert not any("left out" in warning for warning in passed.warnings)


def test_audio_that_begins_too_late_is_left_out_with_that_reason(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", frames=25, audio=[Audio(codec="aac", start=0.9, seconds=0.1)])
    data = path.read_bytes()
    units = [data[at : at + 188] for at in range(0, len(data), 188)]
    sound_id = 0x101  # FFmpeg's muxer numbers PIDs from 0x100
    path.write_bytes(b"".join(u for u in units if (u[1] & 0x1F) << 8 | u[2] != sound_id))
    passed = pass_through(path, tmp_path / "o.mkv")
    assert tracks(passed.path, "audio") == []
    assert any("too late in the file to be identified" in warning for warning in passed.warnings)
