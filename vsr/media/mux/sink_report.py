"""The report of a sink when the output is complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """Facts about the written output."""

    path: Path
    frames: int
    """The number of video frames; in a file, counted in the finished file."""
    streams: int
    """The number of streams besides the video, attached files included."""
    packets: int
    """The number of packets of those streams."""
    bytes: int
    """Size of the file."""
    read_back: bool
    """Whether the finished output was read again and its frames and packets counted; a pipe cannot be."""
    shift: Fraction
    """Seconds added to every time, so that clips and recordings begin at zero."""


BeforeNamed = Callable[[Path, SinkReport], None]
"""Takes the complete file, which has a temporary name, and its facts."""
