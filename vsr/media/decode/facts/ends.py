"""Returns when the last frame of a video ends, as its container states it."""

from __future__ import annotations

import logging

from av import VideoStream

from vsr.media.files.stdio import is_pipe
from vsr.media.formats.edit_list import end_by_edits

logger = logging.getLogger(__name__)


def end_of(stream: VideoStream, path: str) -> int | None:
    """Return the end of a video in ticks, or None where the container does not state it.

    FFmpeg takes the smallest of what three tables of MP4 and QuickTime state. The sum of the steps between
    decoding times is often too small (`edit_list`), and then the edit list decides.

    Args:
        stream: Of an open container; nothing is read from that.
        path: Path of the file.
    """
    start, duration = stream.start_time, stream.duration
    if start is None or duration is None:
        return None
    if is_pipe(path) or "mp4" not in stream.container.format.name:
        return start + duration
    try:
        by_edits = end_by_edits(path, stream.id, first=start)
    except OSError as error:
        logger.debug("%s: its edit list cannot be read (%s)", path, error)
        by_edits = None
    return max(start + duration, by_edits or 0)
