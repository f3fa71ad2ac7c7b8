"""A dry run ends with the error with which the run would end before its first frame, and changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

import vsr
from tests.media_maker import make_clip
from tests.pipeline.job.interrupted import SETTINGS, cut_off, parts
from vsr.media.mux.resumable.entry import folder_of
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.pipeline.job import host_memory

QUICK = {"model": "bicubic", "scale": 2, "preset": "ultrafast", "segment_seconds": 0.2}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run that is refused."""

    name: str
    message: str
    settings: dict[str, Any]
    before: Callable[[Path, pytest.MonkeyPatch], AbstractContextManager[Any]] = lambda folder, patch: (
        nullcontext()
    )
    """Prepares the folder with `in.mkv`; the run happens inside the context."""


def kept_job(folder: Path, patch: pytest.MonkeyPatch) -> AbstractContextManager[Any]:
    cut_off(folder / "in.mkv", folder / "out.mkv", SETTINGS, after=12)
    assert parts(folder)
    return nullcontext()


def running_job(folder: Path, patch: pytest.MonkeyPatch) -> AbstractContextManager[Any]:
    work = WorkFolder(folder / "out.mkv")

    class Running(nullcontext[None]):
        def __exit__(self, *rest: object) -> None:
            work.leave(done=True)

    return Running()


def unusable_folder(folder: Path, patch: pytest.MonkeyPatch) -> AbstractContextManager[Any]:
    folder_of(folder / "out.mkv").write_bytes(b"a file of another program")
    return nullcontext()


def little_memory(folder: Path, patch: pytest.MonkeyPatch) -> AbstractContextManager[Any]:
    """Enough for one worker, and not for two."""
    patch.setattr(host_memory, "_free", lambda known: int(1.5 * 128 * 96 * host_memory.BYTES))
    return nullcontext()


SHARED = "several workers share out the segments of a resumable run"
CASES = [
    Case(name="no resume", message=SHARED, settings={"device": "cpu:2", "resume": False}),
    Case(
        name="memory for one worker only",
        message="need about",
        settings={"device": "cpu:2", "batch": 1},
        before=little_memory,
    ),
    *(
        Case(
            name=f"other settings on {device}",
            message="an unfinished job is kept here",
            settings={"device": device, "filters_after": ("unsharp",)},
            before=kept_job,
        )
        for device in ("cpu", "cpu:2")
    ),
    Case(
        name="another process makes it",
        message="another vsr process is making it",
        settings={"device": "cpu:2"},
        before=running_job,
    ),
    *(
        Case(
            name=f"no work folder on {device}",
            message="for its parts cannot be used",
            settings={"device": device},
            before=unusable_folder,
        )
        for device in ("cpu", "cpu:2")
    ),
    Case(name="no worker", message="is no worker", settings={"device": "cpu:0"}),
    Case(name="too many workers", message="the limit is 64", settings={"device": "cpu:65"}),
]


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_run_refuses_a_dry_run_refuses_with_the_same_words(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, target = make_clip(tmp_path / "in.mkv", frames=24), tmp_path / "out.mkv"
    with case.before(tmp_path, monkeypatch):
        before = state(tmp_path)
        with pytest.raises(vsr.VsrError, match=case.message) as dry:
            vsr.estimate(clip, target, **QUICK | case.settings)
        assert state(tmp_path) == before
        with pytest.raises(vsr.VsrError) as real:
            vsr.upscale(clip, target, **QUICK | case.settings)
    assert (type(dry.value), str(dry.value)) == (type(real.value), str(real.value))


def test_what_no_worker_can_read_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    fsspec.filesystem("memory").pipe("/in.mkv", clip.read_bytes())
    for run in (vsr.estimate, vsr.upscale):
        with pytest.raises(vsr.ConfigError, match=SHARED):
            run("memory://in.mkv", tmp_path / "out.mkv", **QUICK | {"device": "cpu:2"})


@pytest.mark.parametrize("restart", [False, True])
def test_a_dry_run_leaves_the_segments_of_a_kept_job_to_the_run(restart: bool, tmp_path: Path) -> None:
    """Also with `restart`, with which the run itself removes them."""
    clip, target = make_clip(tmp_path / "in.mkv", frames=24), tmp_path / "out.mkv"
    cut_off(clip, target, SETTINGS, after=12)
    before, settings = state(tmp_path), QUICK | {"device": "cpu"}
    found = vsr.estimate(clip, target, restart=restart, **settings)
    assert found.frames_measured == 24
    assert state(tmp_path) == before
    assert vsr.upscale(clip, target, **settings).frames_kept > 0
