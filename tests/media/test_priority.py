"""Claims: no encoder makes threads of this process real-time ones, whoever runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.media.pass_through import fitted, open_for, settings_for
from tests.media_maker import make_clip
from vsr.media.priority import kept_priority
from vsr.media.source import open_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")


def policies() -> set[int]:
    found = set()
    for entry in Path("/proc/self/task").iterdir():
        try:
            found.add(os.sched_getscheduler(int(entry.name)))
        except ProcessLookupError:
            continue
    return found


def test_no_thread_is_a_real_time_one_while_svt_av1_encodes(tmp_path: Path) -> None:
    """As root, which libsvtav1 asks for; other users never saw it."""
    clip = make_clip(tmp_path / "in.mp4", frames=4, width=128, height=128)
    seen = set()
    with open_video(clip) as video:
        sink = open_for(clip, tmp_path / "out.mkv", video.info, settings=settings_for("libsvtav1"))
        with sink:
            for frame in video.frames():
                sink.write(fitted(frame, sink.layout))
                seen |= policies()
            sink.finish()
    assert seen == {os.SCHED_OTHER}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may")
def test_what_a_library_changes_is_taken_back() -> None:
    with kept_priority():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        assert os.sched_getscheduler(0) == os.SCHED_FIFO
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may")
def test_what_the_user_chose_stays() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        with kept_priority():
            pass
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
