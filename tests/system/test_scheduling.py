"""No encoder leaves real-time threads in this process."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.media.pass_through import fitted, open_for, settings_for
from tests.media_maker import make_clip
from vsr.media.decode.source import open_video
from vsr.system.scheduling import kept_priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")


def policies() -> set[int]:
    found = set()
    for entry in Path("/proc/self/task").iterdir():
        try:
            found.add(os.sched_getscheduler(int(entry.name)))
        except ProcessLookupError:
            continue
    return found


def test_no_thread_is_real_time_while_svt_av1_encodes(tmp_path: Path) -> None:
    """Only root is affected: libsvtav1 requests real-time threads for root."""
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


# Any user may set and leave SCHED_BATCH, unlike the real-time policies.


def test_a_librarys_changes_to_the_callers_thread_are_undone() -> None:
    with kept_priority():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_threads_that_a_library_starts_get_the_callers_scheduling() -> None:
    with ExitStack() as stack:
        with kept_priority():
            pool = stack.enter_context(ThreadPoolExecutor(1))
            pool.submit(os.sched_setscheduler, 0, os.SCHED_BATCH, os.sched_param(0)).result()
        assert pool.submit(os.sched_getscheduler, 0).result() == os.SCHED_OTHER


@pytest.mark.parametrize("caller", [True, False])
def test_the_hosts_scheduling_of_its_threads_is_kept(caller: bool) -> None:
    """One thread has the policy SCHED_BATCH: the caller's or another one. Opening an encoder changes
    neither.
    """
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(os.sched_setscheduler, 0, os.SCHED_BATCH, os.sched_param(0)).result()
        assert other.submit(os.sched_getscheduler, 0).result() == os.SCHED_OTHER
        (one if caller else other).submit(_open_something).result()
        assert one.submit(os.sched_getscheduler, 0).result() == os.SCHED_BATCH
        assert other.submit(os.sched_getscheduler, 0).result() == os.SCHED_OTHER


def _open_something() -> None:
    with kept_priority():
        pass
