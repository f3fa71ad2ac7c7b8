"""What a result lacks of its source, for any two files, whoever made the second: what `vsr verify` says.

Both files are read once and decoded whole (`reading`), into what can be compared (`contents`): frames as
thumbnails (`thumbnails`, `images`), audio as samples (`listening`), subtitles as lines of text (`texts`). All
times count from the first frame, so that every stream is held against the video. A check is a function that
yields a sentence for each loss; `checks` has those of the video and the file, `stream_checks` the others'. A
new comparison is a field of `Contents` and a check in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.media.audit import checks, stream_checks
from vsr.media.audit.contents import Contents
from vsr.media.audit.reading import read_contents
from vsr.media.audit.span import Span
from vsr.media.files.opening import MAX_PIXELS

Check = Callable[[Contents, Contents, Span], Iterable[str]]
"""Of source, result, and the part of the source that the result was made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What came of comparing a result with its source, a sentence each."""

    lost: tuple[str, ...]
    """Empty where nothing is lost of what was compared."""
    not_compared: tuple[str, ...]
    """What the files do not allow to compare."""


CHECKS: tuple[Check, ...] = (
    checks.check_frames,
    checks.check_picture_tags,
    checks.check_shape,
    checks.check_beside,
    stream_checks.check_streams,
    checks.check_flags,
    checks.check_attachments,
    checks.check_chapters,
    checks.check_tags,
)
"""Each yields what is lost."""
UNCOMPARED: tuple[Check, ...] = (checks.uncompared_frames, stream_checks.uncompared_streams)
"""Each yields what cannot be compared."""


def audit(
    source: Path,
    result: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    start: Fraction | None = None,
    end: Fraction | None = None,
) -> Audit:
    """Compare a result with its source.

    Args:
        source: The video that was upscaled.
        result: What came of it.
        max_pixels: Larger frames are refused, of both.
        start: Seconds from the first frame of the source, where the result was told to begin.
        end: Seconds from the first frame of the source, where the result was told to end.

    Raises:
        InputError: one of them cannot be opened, or holds no frame.
    """
    before, after = (read_contents(path, max_pixels=max_pixels) for path in (source, result))
    span = Span(start=start, end=end)
    lost, uncompared = (
        tuple(line for check in table for line in check(before, after, span))
        for table in (CHECKS, UNCOMPARED)
    )
    return Audit(lost=lost, not_compared=uncompared)
