"""Checks what a file's own structure states beyond its length: checksums, counters, the number of frames.

Demuxers skip a damaged page, block or table without a message. Therefore a file is walked here from its first
byte to its last, using lengths alone, after its frames have been decoded. What a container does not state
cannot be checked: a frame that is missing completely from a bare stream, a GIF or a DV file leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vsr.media.files.file_bytes import FileBytes
from vsr.media.files.stdio import is_pipe
from vsr.media.remote.reader import open_bytes, size_of
from vsr.media.structure import bare_frames, ogg_pages, sample_tables
from vsr.media.structure.asf_packets import walk_asf
from vsr.media.structure.klv import walk_mxf
from vsr.media.structure.nut_index import walk_nut


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The result of a walk through a file."""

    fault: str | None = None
    """A sentence with the position of the first fault; None if there is none."""
    frames: int | None = None
    """The number of frames that the structure holds, damaged ones included; None where it does not say."""


def structure_of(path: str | Path, container: str) -> Structure:
    """Walk through a file and check its structure.

    Args:
        path: Path of the file.
        container: FFmpeg's name of the demuxer. The result is empty for those that are not supported here.
    """
    walk = _WALKS.get(container.split(",")[0])
    if walk is None or is_pipe(path) or not size_of(path):
        return Structure()
    with open_bytes(path) as file:
        fault, frames = walk(FileBytes(file))
    return Structure(fault=fault, frames=frames)


_WALKS: dict[str, Callable[[FileBytes], tuple[str | None, int | None]]] = {
    "ogg": ogg_pages.walk_ogg,
    "asf": walk_asf,
    "mxf": walk_mxf,
    "gif": bare_frames.walk_gif,
    "ivf": bare_frames.walk_ivf,
    "mjpeg": bare_frames.walk_mjpeg,
    "dv": bare_frames.walk_dv,
    "nut": walk_nut,
    "mov": sample_tables.walk_mp4,
}
