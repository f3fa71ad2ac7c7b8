"""What a file's own structure promises beyond its length: checksums, counters, how many pictures there are.

Demuxers pass over a broken page, block or table in silence. A file is walked here from its first byte to its
last, by lengths alone, once its pictures have been decoded. What a container does not promise cannot be
checked: a picture that is missing whole from a bare stream, a GIF or a DV file leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vsr.media.files.file_bytes import FileBytes
from vsr.media.files.stdio import is_pipe
from vsr.media.structure import bare_pictures, ogg_pages, sample_tables
from vsr.media.structure.asf_packets import walk_asf
from vsr.media.structure.klv import walk_mxf
from vsr.media.structure.nut_index import walk_nut


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What a walk through a file found."""

    fault: str | None = None
    """In words, with the place; None where all is as it was promised, or nothing is."""
    pictures: int | None = None
    """As many as the structure holds, damaged ones among them; None where it does not say."""


def structure_of(path: str | Path, container: str) -> Structure:
    """Walk through a file.

    Args:
        path: Of the file.
        container: FFmpeg's name of the demuxer; of those that are not known here nothing is said.
    """
    walk = _WALKS.get(container.split(",")[0])
    if walk is None or is_pipe(path) or not Path(path).stat().st_size:
        return Structure()
    with Path(path).open("rb") as file:
        fault, pictures = walk(FileBytes(file))
    return Structure(fault=fault, pictures=pictures)


_WALKS: dict[str, Callable[[FileBytes], tuple[str | None, int | None]]] = {
    "ogg": ogg_pages.walk_ogg,
    "asf": walk_asf,
    "mxf": walk_mxf,
    "gif": bare_pictures.walk_gif,
    "ivf": bare_pictures.walk_ivf,
    "mjpeg": bare_pictures.walk_mjpeg,
    "dv": bare_pictures.walk_dv,
    "nut": walk_nut,
    "mov": sample_tables.walk_mp4,
}
