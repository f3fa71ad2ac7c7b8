"""Without a folder for temporary files, a command ends with one line that says what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.media_maker import make_clip
from vsr.errors import OutputError
from vsr.system.scratch import new_scratch_folder, scratch_file, scratch_folder


@pytest.fixture
def _no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = str(tmp_path / "gone")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [gone])


@pytest.mark.usefixtures("_no_temporary_folder")
@pytest.mark.parametrize(
    "use", [lambda: scratch_folder("a").__enter__(), lambda: new_scratch_folder("a"), scratch_file]
)
def test_an_unusable_tmpdir_is_one_line(use: Callable[[], object]) -> None:
    with pytest.raises(OutputError, match=r"no folder for temporary files can be used .*set TMPDIR"):
        use()


def test_a_folder_is_removed_at_the_end() -> None:
    with scratch_folder("vsr-test-") as folder:
        make_clip(folder / "in.mkv", frames=1)
    assert not folder.exists()
