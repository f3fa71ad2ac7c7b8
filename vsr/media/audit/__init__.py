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
from dataclasses import dataclass, replace

from vsr.media.audit import checks, stream_checks
from vsr.media.audit.contents import Contents
from vsr.media.audit.reading import read_contents
from vsr.media.audit.span import Span, likely_work
from vsr.media.audit.still import lost_of_picture
from vsr.media.decode.interlacing import field_work
from vsr.media.files.named import Named, paths_of
from vsr.media.files.opening import MAX_PIXELS
from vsr.media.pictures.kinds import is_picture
from vsr.settings.schema import Deinterlace, ForcedOrder
from vsr.settings.times import Seconds, seconds

Check = Callable[[Contents, Contents, Span], Iterable[str]]
"""Takes the source, the result, and the part of the source from which the result was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The outcome of comparing a result with its source, one sentence for each finding."""

    lost: tuple[str, ...]
    """Empty if nothing of what was compared is lost."""
    not_compared: tuple[str, ...]
    """What could not be compared."""
    notes: tuple[str, ...] = ()
    """What was taken for granted."""


CHECKS: tuple[Check, ...] = (
    checks.check_frames,
    checks.check_video_tags,
    checks.check_shape,
    checks.check_side_data,
    stream_checks.check_streams,
    checks.check_flags,
    checks.check_attachments,
    checks.check_chapters,
    checks.check_layers,
    checks.check_tags,
)
"""Each yields what is lost."""
UNCOMPARED: tuple[Check, ...] = (checks.uncompared_frames, stream_checks.uncompared_streams)
"""Each yields what cannot be compared."""


def verify(
    source: Named,
    result: Named,
    *,
    start: Seconds | None = None,
    end: Seconds | None = None,
    deinterlace: Deinterlace | None = None,
    field_order: ForcedOrder = "auto",
    max_pixels: int | None = None,
    allow_network: bool = False,
) -> Audit:
    """Compare a result with its source, and say what the result lacks.

    Both files are decoded completely. Frames are compared by number, time, order and content, audio by its
    samples, subtitles by their text, and all else (chapters, attachments, tags, colour) by what it says. Two
    still pictures are compared as they are shown, with their EXIF data, profile, XMP, IPTC and texts.

    Args:
        source: The video or picture that was upscaled: a path, a URL, or a file object that is open
            for reading.
        result: The output, whichever program made it, named in the same ways.
        start: The `start` with which the result was made, in seconds after the first frame of the source;
            None is the beginning.
        end: The `end` with which the result was made, in the same seconds; None is the end.
        deinterlace: The `deinterlace` with which the result was made. With `double` and `film`, it has other
            frames than the source, at other times; the frames of the source are made alike and compared then.
            None finds out whether the result has the number of frames that one of the two makes.
        field_order: The `field_order` with which the result was made.
        max_pixels: Frames with more pixels are refused in both files; None is 8192 x 8192.
        allow_network: Whether the network may be used for URLs.

    Returns:
        What is lost, and what could not be compared. Nothing is lost where `lost` is empty.

    Raises:
        InputError: a file cannot be opened, or contains no frame.
        ConfigError: `start` or `end` is not a time.

    >>> vsr.verify("in.mp4", "out.mp4").lost
    ()
    """
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    work = field_work(deinterlace or "auto", field_order)
    span = Span(
        start=None if start is None else seconds(start, name="start"),
        end=None if end is None else seconds(end, name="end"),
    )
    notes = []
    with paths_of(source, result, allow_network=allow_network) as (source_path, result_path):
        if is_picture(source_path) and is_picture(result_path):
            losses = lost_of_picture(source_path, result_path, max_pixels=limit)
            return Audit(lost=tuple(losses), not_compared=())
        before = read_contents(source_path, max_pixels=limit, fields=work)
        after = read_contents(result_path, max_pixels=limit)
        for how in likely_work(before, after, span) if deinterlace is None else ():
            alike = read_contents(source_path, max_pixels=limit, fields=replace(work, how=how))
            if len(span.frames(alike.frames.times)) == len(after.frames.times):
                before = alike
                notes.append(f"the result has the frames that `deinterlace={how!r}` makes of the source")
    lost, uncompared = (
        tuple(line for check in table for line in check(before, after, span))
        for table in (CHECKS, UNCOMPARED)
    )
    return Audit(lost=lost, not_compared=uncompared, notes=tuple(notes))
