"""Options of the muxers, and messages for their errors."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from vsr.errors import OutputError
from vsr.media.files.opening import shown
from vsr.media.files.output_path import free_space
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska import CLUSTER_TICKS
from vsr.media.formats.timestamps import timescale_for

_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT}
    | {errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOTCONN}
)
"""Errors of a disk or file system. All other errors come from the muxer, which refuses its input."""
REFUSED = (av.InvalidDataError, av.PatchWelcomeError)
"""Errors of a muxer or its bitstream filter about an invalid packet."""


def muxer_options(container: Container, tick: int | None, bases: list[Fraction]) -> dict[str, str]:
    """Return FFmpeg's options for writing `container`.

    Args:
        container: The output's container.
        tick: Nanoseconds in a tick of Matroska; None for MP4.
        bases: Time bases of the video, which comes first, and of the audio streams.
    """
    # Packets arrive in order, so the muxer need not hold any back until all streams have one.
    options = {"max_interleave_delta": "1"}
    if tick is None:
        return options | {"movflags": "+faststart", "movie_timescale": str(timescale_for(bases))}
    ticks = min(CLUSTER_TICKS, 5 * 10**9 // tick)  # FFmpeg's own limit is 5 s
    return options | {
        "write_crc32": "0",  # TimestampScale is patched afterwards
        "avoid_negative_ts": "disabled",  # `Clock` avoids them
        "cluster_time_limit": str(ticks),
    }


def cannot_write(target: Path, error: Exception) -> OutputError:
    """Return the error for a failed write, in one line. The disk is named only if the error is the disk's."""
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _DISK:
        free = free_space(target.parent)
        return OutputError(
            f"{shown(target)}: cannot be written ({reason}, {free} free); make room or choose another folder"
        )
    return OutputError(
        f"{shown(target)}: cannot be written, because the muxer refuses a stream ({reason}); write to .mkv, "
        "which supports most streams"
    )


def start_output(output: OutputContainer, name: str) -> None:
    """Write the header, which shows that the container accepts all streams together.

    Raises:
        OutputError: it refuses them, or the file cannot be written.
    """
    try:
        output.start_encoding()
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{name}: its header cannot be written ({reason}); write to .mkv, which supports most streams"
        ) from error
