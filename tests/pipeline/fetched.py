"""A check of results that were fetched from where they are no files: stores and file objects."""

from __future__ import annotations

from pathlib import Path

import vsr
from tests.media_maker import numbers_of


def assert_is_result(data: bytes, clip: Path, folder: Path) -> None:
    """Check that bytes are the complete result of a clip, by `vsr verify` and by its frames."""
    result = folder / "fetched.mkv"
    result.write_bytes(data)
    assert vsr.verify(clip, result).lost == ()
    assert numbers_of(result) == numbers_of(clip)
