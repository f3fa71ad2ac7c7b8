"""Bombs (A27): content that declares more than `max_pixels` is rejected before memory is allocated for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.inputs.bombs import (
    claiming,
    sparse_gif,
    transparent_webm,
    with_cover_bomb,
    with_empty_atoms,
    with_tags,
)
from tests.faults.processes.fork_server import ForkServer
from tests.judges import mkvmerge
from tests.media_maker import make_clip
from vsr.errors import InputError
from vsr.media.decode.source import open_video
from vsr.media.files.opening import MAX_TAGS, open_media
from vsr.media.formats.atoms import MOST_EMPTY, top_level_atoms
from vsr.media.formats.boxes import find_boxes

MEMORY = 100e6
"""Bytes beyond the memory of a command that opens nothing; each bomb
here needs at least eight times as much."""


@pytest.fixture
def baseline(server: ForkServer, tmp_path: Path) -> float:
    """Return the memory of a command that opens nothing."""
    make_clip(tmp_path / "plain.mkv", frames=4)
    words = ["upscale", "plain.mkv", "plain-out.mkv", "-m", "bicubic"]
    return server.run(words, folder=tmp_path).memory


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("alpha", [False, True], ids=["the video", "its alpha"])
def test_a_transparent_webm_that_declares_too_many_pixels_is_rejected(
    codec: str, alpha: bool, server: ForkServer, baseline: float, tmp_path: Path
) -> None:
    claiming(transparent_webm(tmp_path / "in.webm", codec), tmp_path / "bomb.webm", alpha=alpha)
    for words in (["info", "bomb.webm"], ["upscale", "bomb.webm", "out.mkv", "-m", "bicubic"]):
        outcome = server.run(words, folder=tmp_path)
        assert outcome.wrong is None, outcome
        assert outcome.code == 3
        assert outcome.memory - baseline < MEMORY


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
def test_a_huge_cover_is_copied_and_never_decoded(
    target: str, server: ForkServer, baseline: float, tmp_path: Path
) -> None:
    with_cover_bomb(tmp_path / "in.mkv")
    outcome = server.run(["upscale", "in.mkv", target, "-m", "bicubic"], folder=tmp_path)
    assert outcome.wrong is None, outcome
    assert outcome.code == 0
    assert outcome.memory - baseline < MEMORY
    if target.endswith("mkv"):
        (held,) = mkvmerge(tmp_path / target)["attachments"]
        assert held["size"] == mkvmerge(tmp_path / "in.mkv")["attachments"][0]["size"]
    else:
        assert "'cover.png') is left out" in outcome.err
    told = server.run(["verify", "in.mkv", target], folder=tmp_path)
    assert told.code == (0 if target.endswith("mkv") else 4), told
    assert told.memory - baseline < MEMORY


def test_a_sparse_gif_over_the_limit_needs_no_memory(
    server: ForkServer, baseline: float, tmp_path: Path
) -> None:
    sparse_gif(tmp_path / "in.gif", 2000)
    words = ["in.gif", "out.mkv", "-m", "bicubic", "--max-pixels", "3999999"]
    outcome = server.run(["upscale", *words], folder=tmp_path)
    assert outcome.code == 3
    assert outcome.memory - baseline < MEMORY
    assert "limit of 3999999 pixels" in outcome.lines[0]


def test_a_file_with_too_many_tags_is_rejected(tmp_path: Path) -> None:
    open_media(with_tags(tmp_path / "few.mkv", MAX_TAGS - 10)).close()
    with pytest.raises(InputError, match=f"more than the limit of {MAX_TAGS}"):
        open_media(with_tags(tmp_path / "many.mkv", MAX_TAGS + 10))


@pytest.mark.parametrize("inside", [False, True])
def test_empty_atoms_are_not_all_read(inside: bool, tmp_path: Path) -> None:
    path = with_empty_atoms(tmp_path / "in.mp4", 50_000, inside=inside)
    with path.open("rb") as file:
        size = path.stat().st_size
        assert sum(1 for _ in top_level_atoms(file, size)) < MOST_EMPTY + 10
        reads = _Counting(file)
        list(find_boxes(reads, 0, size, b"moov", b"trak"))  # type: ignore[arg-type]
        assert reads.count < 2 * MOST_EMPTY + 20
    source = open_video(path)
    assert len(list(source.frames())) == 4
    assert not source.damage


class _Counting:
    """A file that counts the bytes that are read."""

    def __init__(self, file: object) -> None:
        self.file, self.count = file, 0

    def seek(self, place: int, whence: int = 0) -> int:
        return self.file.seek(place, whence)  # type: ignore[attr-defined]

    def read(self, length: int) -> bytes:
        self.count += 1
        return self.file.read(length)  # type: ignore[attr-defined]
