"""Marks that travel between the frames of a stream; stages pass them on in their place without computing."""

from __future__ import annotations

from dataclasses import dataclass

from vsr.frame import Stamp


class Mark:
    """An item between two frames; a stage passes it on after everything that came before it."""


@dataclass(frozen=True, slots=True)
class Repeat(Mark):
    """A duplicate of the previous frame, equal sample for sample, at another time."""

    stamp: Stamp


class Idle(Mark):
    """The source has no frame ready; stages pass on all frames that they
    hold, because the next may take long."""
