"""What travels between the frames of a stream: stages compute nothing of it, and pass it on in its place."""

from __future__ import annotations

from dataclasses import dataclass

from vsr.frame import Stamp


class Mark:
    """Between two frames; a stage passes it on after all that came before."""


@dataclass(frozen=True, slots=True)
class Repeat(Mark):
    """The frame before it once more, sample for sample, at another time."""

    stamp: Stamp


class Idle(Mark):
    """The source has no frame ready: who holds frames back gives them out now, for the next may take long."""
