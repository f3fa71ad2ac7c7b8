"""Metadata under custom keys (QuickTime's `mdta`), such as a phone's places and dates, is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import judges
from tests.media.pass_through import pass_through
from tests.media_maker import make_clip
from vsr.media.formats.boxes import first_box, split_boxes

PHONE = {
    "com.apple.quicktime.location.ISO6709": "+12.3456-056.7890+010.000/",
    "com.apple.quicktime.creationdate": "2024-05-06T07:08:09+0200",
    "com.apple.quicktime.model": "Telefon ü",
}


def phone_clip(path: Path) -> Path:
    """Write a clip with the keys of a phone, by FFmpeg."""
    options = {"movflags": "use_metadata_tags"} if path.suffix == ".mov" else {}
    return make_clip(path, frames=4, metadata=PHONE, container_options=options)


def tags(path: Path) -> dict[str, str]:
    return judges.ffprobe(path)["format"]["tags"]


@pytest.mark.parametrize("target", [".mov", ".mp4"])
@pytest.mark.parametrize("source", [".mov", ".mkv"])
def test_a_phones_places_and_dates_keep_their_keys(tmp_path: Path, source: str, target: str) -> None:
    clip = phone_clip(tmp_path / f"in{source}")
    out = pass_through(clip, tmp_path / f"out{target}")
    assert not [warning for warning in out.warnings if "metadata" in warning]
    found = tags(out.path)
    assert {key: found.get(key) for key in PHONE} == PHONE
    if target == ".mp4":
        assert found["location"].startswith("+12.3456-056.7890"), "the place that every reader knows"


def test_usual_tags_are_still_readable_beside_custom_keys(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=4, metadata={"title": "T", "artist": "A", "mood": "blue"})
    out = pass_through(clip, tmp_path / "out.mov")
    assert out.warnings == []
    found = tags(out.path)
    assert (found["title"], found["artist"], found["MOOD"]) == ("T", "A", "blue")
    general = judges.mediainfo(out.path)[0]
    assert (general["Title"], general["Performer"]) == ("T", "A")


def test_custom_keys_are_where_quicktime_expects_them(tmp_path: Path) -> None:
    data = pass_through(phone_clip(tmp_path / "in.mov"), tmp_path / "out.mov").path.read_bytes()
    moov = first_box(data, b"moov")
    assert moov is not None
    kinds = [kind for kind, _ in split_boxes(moov)[0]]
    assert kinds.index(b"meta") > max(kinds.index(b"trak"), kinds.index(b"udta") if b"udta" in kinds else 0)
    meta = first_box(moov, b"meta")
    assert meta is not None
    assert [kind for kind, _ in split_boxes(meta)[0]] == [b"hdlr", b"keys", b"ilst"]
