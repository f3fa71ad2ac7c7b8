"""Options of the muxers, and what their errors mean."""

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
"""What a disk or file system says; everything else comes from the muxer, which dislikes what it is given."""
REFUSED = (av.InvalidDataError, av.PatchWelcomeError)
"""What a muxer or its bitstream filter says of a packet that makes no sense."""


def muxer_options(container: Container, tick: int | None, bases: list[Fraction]) -> dict[str, str]:
    """FFmpeg's options for writing `container`.

    Args:
        container: What is written.
        tick: Nanoseconds in a tick of Matroska; None for MP4.
        bases: Time bases of the frame, first, and of audio.
    """
    # Packets arrive in order; the muxer need not hold any back until all streams have one.
    options = {"max_interleave_delta": "1"}
    if tick is None:
        return options | {"movflags": "+faststart", "movie_timescale": str(timescale_for(bases))}
    ticks = min(CLUSTER_TICKS, 5 * 10**9 // tick)  # FFmpeg's own limit is 5 s
    return options | {
        "write_crc32": "0",  # TimestampScale is patched afterwards
        "avoid_negative_ts": "disabled",  # `Clock` has seen to that
        "cluster_time_limit": str(ticks),
    }


def cannot_write(target: Path, error: Exception) -> OutputError:
    """Why writing failed, in one line: the disk is blamed only where the disk said so."""
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _DISK:
        free = free_space(target.parent)
        return OutputError(
            f"{shown(target)}: cannot be written ({reason}, {free} free); make room or choose another folder"
        )
    return OutputError(
        f"{shown(target)}: cannot be made, for the muxer refuses what it is given ({reason}); write to .mkv, "
        "which takes most streams"
    )


def start_output(output: OutputContainer, name: str) -> None:
    """Write the header: the proof that the container takes all streams together.

    Raises:
        OutputError: it does not, or the file cannot be written.
    """
    try:
        output.start_encoding()
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{name}: its header cannot be written ({reason}); write to .mkv, which holds most streams"
        ) from error
