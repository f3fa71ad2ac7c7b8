"""The packets in a file are counted correctly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media_maker import Audio, Subtitle, make_clip, truncated
from vsr.errors import InputError, OutputError
from vsr.media.mux.read_back import Written, check_written, recount


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "a.mkv"
    texts = [Subtitle(lines=((0.0, 0.1, "a"), (0.2, 0.3, "b"), (0.3, 0.4, "c")))]
    files = [("a.txt", "text/plain", b"c")]
    return make_clip(path, frames=20, audio=[Audio(codec="flac")], subtitles=texts, attachments=files)


def test_recount_lists_streams_and_their_packets(clip: Path) -> None:
    found = recount(clip)
    assert [(s.kind, s.packets) for s in found.streams if s.kind != "audio"] == [
        ("video", 20),
        ("subtitle", 3),
        ("attachment", 0),
    ]
    assert found.count("audio") == 1
    assert found.bytes == clip.stat().st_size


def test_a_complete_file_passes(clip: Path) -> None:
    audio = recount(clip).streams[1].packets
    check_written(
        clip,
        [Written("video", 20), Written("audio", audio), Written("subtitle", 3), Written("attachment", 0)],
        name="a",
    )


@pytest.mark.parametrize(
    "wanted",
    [
        [Written("video", 21)],
        [Written("video", 19)],
        [Written("video", 20), Written("subtitle", 4)],
        [Written("video", 20), Written("video", 1)],
    ],
)
def test_anything_missing_or_too_much_is_an_error(clip: Path, wanted: list[Written]) -> None:
    with pytest.raises(OutputError, match="were written"):
        check_written(clip, wanted, name="a")


def test_half_a_file_is_an_error(clip: Path, tmp_path: Path) -> None:
    half = truncated(clip, tmp_path / "half.mkv", 0.5)
    with pytest.raises(OutputError, match="were written"):
        check_written(half, [Written("video", 20)], name="a")


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.mkv"
    path.touch()
    with pytest.raises(InputError):
        recount(path)
    with pytest.raises(OutputError, match="read back"):
        check_written(path, [Written("video", 1)], name="a")


def test_pcm_is_counted_in_bytes_as_mp4_splits_it_differently(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mov", frames=20, audio=[Audio(codec="pcm_s16le", seconds=0.5)])
    size = int(0.5 * 48000) * 2 * 2
    check_written(path, [Written("video", 20), Written("audio", 3, size)], name="a")
    with pytest.raises(OutputError, match=f"{size} bytes where {size + 4} were written"):
        check_written(path, [Written("video", 20), Written("audio", 3, size + 4)], name="a")
