"""A job's folder is private even in a shared folder, and its lock is removed last."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from vsr.errors import OutputError
from vsr.media.mux.resumable.entry import folder_of
from vsr.media.mux.resumable.journal import Journal, read_journal, write_journal
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.system import locks

FACTS = {"engine": 1}


def begun(place: Path) -> WorkFolder:
    work = WorkFolder(place)
    work.begin({"input": "a"}, FACTS, restart=False)
    return work


def finish_part(work: WorkFolder, number: int) -> None:
    work.segment(number).write_bytes(b"part %d" % number)
    work.add(number, hashlib.sha256(b"part %d" % number).hexdigest())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    probe = WorkFolder(tmp_path / "out.mkv")
    probe.leave(done=True)
    probe.path.mkdir(mode=0o700)
    os.chown(probe.path, 12345, 12345)
    with pytest.raises(OutputError, match="belongs to another user"):
        WorkFolder(tmp_path / "out.mkv")
    assert list(tmp_path.iterdir()) == [probe.path]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    probe = WorkFolder(tmp_path / "out.mkv")
    probe.leave(done=True)
    probe.path.mkdir()
    probe.path.chmod(0o777)
    with pytest.raises(OutputError, match="others can write to it"):
        WorkFolder(tmp_path / "out.mkv")


def test_a_disk_without_owners_and_modes_is_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On such a disk, every folder has the owner and mode of the mount."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    work = WorkFolder(tmp_path / "out.mkv")
    work.leave(done=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_replaces_the_work_folder_is_not_written_to(tmp_path: Path) -> None:
    """In a shared folder another user can move the work folder away and create another one."""
    work = begun(tmp_path / "out.mkv")
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    work.path.rename(tmp_path / "moved")
    work.path.mkdir()
    for name in (work.result.name, work.segment(0).name, "journal-1.part", "journal-1.json"):
        (work.path / name).symlink_to(mine)
    work.result.write_bytes(b"film")
    finish_part(work, 0)
    assert mine.read_bytes() == b"precious"
    assert {p.name for p in (tmp_path / "moved").iterdir()} >= {"result.tmp", "00000000.segment"}
    assert all(p.is_symlink() for p in work.path.iterdir())
    work.leave(done=True)


def test_a_link_in_place_of_the_journal_does_not_change_its_target(tmp_path: Path) -> None:
    work = begun(tmp_path / "out.mkv")
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    (work.path / "journal-1.part").symlink_to(mine)
    finish_part(work, 0)
    assert mine.read_bytes() == b"precious"
    work.leave(done=True)


def test_the_lock_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise another run could start in the folder, and its parts would be removed, too."""
    work = begun(tmp_path / "out.mkv")
    finish_part(work, 0)
    finish_part(work, 1)
    gone: list[str] = []
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        gone.append(path.name)
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    work.leave(done=True)
    assert len(gone) > 3
    assert gone.index("lock") == len(gone) - 1
    assert not list(tmp_path.iterdir())


def test_a_lock_that_was_removed_meanwhile_locks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    real = os.open

    def late(name: Path, *rest: object) -> int:
        handle = real(name, *rest)  # type: ignore[arg-type]
        Path(name).unlink()
        return handle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", late)
        assert locks.take(path) is None
    handle = locks.take(path)
    assert handle is not None
    os.close(handle)


def test_folders_inside_the_work_folder_are_cleared_too(tmp_path: Path) -> None:
    work = begun(tmp_path / "out.mkv")
    (work.path / "folder").mkdir()
    (work.path / "folder" / "file").write_bytes(b"")
    work.leave(done=True)
    assert not list(tmp_path.iterdir())
    begun(tmp_path / "out.mkv").leave(done=True)


SOUND = Journal(key={"input": "a"}, facts=FACTS, segments={0: "00"}, turn=3)


def test_a_journal_can_be_read_back(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal-0.json", SOUND)
    assert read_journal(tmp_path / "journal-0.json") == SOUND


BODY = {"key": {}, "facts": {}, "segments": {}, "turn": 1}


@pytest.mark.parametrize(
    "body",
    [
        BODY | {"key": []},
        BODY | {"facts": 7},
        BODY | {"facts": None},
        BODY | {"turn": "many"},
        BODY | {"turn": float("inf")},
        BODY | {"turn": True},
        BODY | {"segments": [1]},
        BODY | {"segments": {"-1": "00"}},
        BODY | {"segments": {"one": "00"}},
        BODY | {"segments": {"0": 5}},
        BODY | {"segments": {"0": None}},
        {"key": {}},
        [],
        "text",
        None,
    ],
)
def test_a_journal_with_wrong_types_is_ignored(body: object, tmp_path: Path) -> None:
    text = json.dumps(body)
    path = tmp_path / "journal-0.json"
    path.write_text(json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "journal": text}))
    assert read_journal(path) is None


@pytest.mark.parametrize("text", ["[" * 100_000, "", "null", "1", '{"sha256": 1, "journal": 2}', "\ud800"])
def test_a_file_that_is_not_a_journal_is_ignored(text: str, tmp_path: Path) -> None:
    path = tmp_path / "journal-0.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert read_journal(path) is None
    path.unlink()
    os.mkfifo(path)  # a reader would wait for ever
    assert read_journal(path) is None
    path.unlink()
    path.mkdir()
    assert read_journal(path) is None
    shutil.rmtree(path)


def test_a_note_stays_as_the_last_file_until_the_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begun(tmp_path / "out.mkv")
    finish_part(work, 0)
    work.note({"result": "a"})
    work.leave(done=True, keep_note=True)
    assert {path.name for path in folder_of(tmp_path / "out.mkv").iterdir()} == {"finished.json", "lock"}
    work = WorkFolder(tmp_path / "out.mkv")
    assert work.noted() == {"result": "a"}
    gone: list[str] = []
    real = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **how: (gone.append(path.name), real(path, **how)))
    finish_part(work, 1)
    work.leave(done=True)
    assert gone[-2:] == ["finished.json", "lock"]
    assert not list(tmp_path.iterdir())


def test_a_new_job_forgets_the_note_of_another(tmp_path: Path) -> None:
    work = begun(tmp_path / "out.mkv")
    work.note({"result": "a"})
    work.leave(done=True, keep_note=True)
    work = begun(tmp_path / "out.mkv")
    assert work.noted() == {}
    work.leave(done=True)
