"""Compares two files and reports what the result lacks of its source, whichever program made it; for `vsr
verify`.

Both files are read once and decoded completely (`reading`), to data that can be compared (`contents`): frames
as thumbnails (`thumbnails`, `images`), audio as samples (`decoded_audio`), subtitles as lines of text
(`texts`). All times count from the first frame, so that every stream is compared relative to the video. A
check is a function that yields a sentence for each loss; `checks` has those of the video and the file,
`stream_checks` those of the other streams. A new comparison is a field of `Contents` and a check in `CHECKS`.
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
"""Takes the source, the result, and the part of the source from which the result was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The outcome of comparing a result with its source, one sentence for each finding."""

    lost: tuple[str, ...]
    """Empty if nothing of what was compared is lost."""
    not_compared: tuple[str, ...]
    """What could not be compared."""


CHECKS: tuple[Check, ...] = (
    checks.check_frames,
    checks.check_video_tags,
    checks.check_shape,
    checks.check_side_data,
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
        source: Path of the video that was upscaled.
        result: Path of the output.
        max_pixels: Larger frames are refused in both files.
        start: Value of `--start` with which the result was made, in seconds after the first frame of the
            source.
        end: Value of `--end` with which the result was made, in seconds after the first frame of the source.

    Raises:
        InputError: a file cannot be opened, or contains no frame.
    """
    before, after = (read_contents(path, max_pixels=max_pixels) for path in (source, result))
    span = Span(start=start, end=end)
    lost, uncompared = (
        tuple(line for check in table for line in check(before, after, span))
        for table in (CHECKS, UNCOMPARED)
    )
    return Audit(lost=lost, not_compared=uncompared)
