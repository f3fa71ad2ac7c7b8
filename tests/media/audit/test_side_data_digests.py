"""`audit` compares the side data of frames, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.message_maker import active_format, caption, carrying_clip, dynamic
from tests.media_maker import make_clip
from vsr.frame import Message
from vsr.media.audit import verify
from vsr.pipeline.run import upscale


def _lost(source: Path, result: Path) -> list[str]:
    return [line for line in verify(source, result).lost if "missing or different" in line]


def test_vsr_output_keeps_all_side_data(tmp_path: Path) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "h264", caption, active_format)
    result = tmp_path / "b.mp4"
    upscale(source, result, model="bicubic", scale=2, preset="ultrafast")
    assert _lost(source, result) == []


def test_missing_late_or_different_side_data_is_found(tmp_path: Path) -> None:
    def late(number: int) -> Message:
        return caption(number + 1)

    source = carrying_clip(tmp_path / "a.mkv", "h264", caption, active_format)
    plain = make_clip(tmp_path / "plain.mkv", frames=8)
    other = carrying_clip(tmp_path / "other.mkv", "h264", late, active_format)
    assert _lost(source, plain) == [
        f"{name}: missing or different in 8 of 8 frames"
        for name in ("closed captions", "the active format (AFD)")
    ]
    assert _lost(source, other) == ["closed captions: missing or different in 8 of 8 frames"]


@pytest.mark.parametrize(("encoder", "count"), [("libx265", 0), ("libx264", 1)])
def test_dynamic_metadata_are_compared(tmp_path: Path, encoder: str, count: int) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "hevc", dynamic, pix_fmt="yuv420p10le")
    result = tmp_path / "b.mkv"
    upscale(source, result, model="bicubic", scale=2, preset="ultrafast", encoder=encoder)
    assert len(_lost(source, result)) == count
