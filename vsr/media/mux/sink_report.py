"""What a sink reports when the output is complete."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """What was written."""

    path: Path
    frames: int
    streams: int
    """Besides the frame, attached files included."""
    packets: int
    """Of those streams."""
    bytes: int
    """Size of the file."""
    shift: Fraction
    """Seconds by which every time was moved, so that clips and recordings begin at zero."""
