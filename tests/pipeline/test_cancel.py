"""A program can cancel a run; it leaves the same files as Ctrl-C, and run it again to resume."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import vsr
from tests.folders import names_in
from tests.media_maker import make_clip, numbers_of

QUICK = {"model": "bicubic", "device": "cpu", "preset": "ultrafast"}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=40)


@pytest.mark.parametrize("how", ["event", "function", "progress"])
def test_a_cancelled_run_leaves_no_files(clip: Path, how: str) -> None:
    event = threading.Event()
    asked: list[int] = []
    cancel = {"event": event, "function": lambda: len(asked) > 6, "progress": None}[how]

    def on_progress(now: vsr.Progress) -> None:
        asked.append(now.frames)
        if now.frames == 5 and how == "event":
            event.set()
        if now.frames == 5 and how == "progress":
            raise KeyError("the caller's own")

    with pytest.raises(KeyError if how == "progress" else vsr.CancelledError) as told:
        vsr.upscale(
            clip, clip.with_name("out.mkv"), on_progress=on_progress, cancel=cancel, resume=False, **QUICK
        )
    assert [p.name for p in clip.parent.iterdir()] == ["in.mkv"]
    assert len(asked) < 40
    if how != "progress":
        assert "in.mkv: cancelled by the caller; nothing is kept" in str(told.value)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("vsr-")]


def test_the_same_call_resumes_from_the_kept_segments(clip: Path) -> None:
    target = clip.with_name("out.mkv")
    done: list[int] = []
    count = lambda now: done.append(now.frames)  # noqa: E731
    wishes = {"segment_seconds": "0.4", "encoder": "ffv1", "model": "bicubic", "device": "cpu"}
    with pytest.raises(vsr.CancelledError, match="frames are kept; run it again to resume"):
        vsr.upscale(clip, target, on_progress=count, cancel=lambda: len(done) >= 30, **wishes)
    assert not target.exists()
    report = vsr.upscale(clip, target, **wishes)
    assert report.frames_kept >= 10
    assert numbers_of(target) == list(range(40))
    assert names_in(clip.parent) == ["in.mkv", "out.mkv"]


def test_a_cancelled_run_keeps_an_existing_output(clip: Path) -> None:
    target = clip.with_name("out.mkv")
    target.write_bytes(b"old")
    with pytest.raises(vsr.CancelledError):
        vsr.upscale(clip, target, overwrite=True, cancel=lambda: True, **QUICK)
    assert target.read_bytes() == b"old"


def test_keywords_are_settings(clip: Path) -> None:
    report = vsr.upscale(
        clip, clip.with_name("out.mkv"), scale=3, encoder="ffv1", end="0.2", **QUICK | {"preset": None}
    )
    assert (report.width, report.height, report.frames_out) == (192, 144, 5)
    assert report.encoder["codec"] == "ffv1"
    with pytest.raises(vsr.ConfigError, match=r"vsr.upscale: unknown setting 'scael'"):
        vsr.upscale(clip, clip.with_name("b.mkv"), scael=3)  # type: ignore[call-arg]
