"""Side data of frames, of every kind that FFmpeg knows. No torch.

PyAV lists fewer kinds than the FFmpeg that it brings along. Of a frame with a kind that is not on its list
(EXIF is one) PyAV shows nothing at all, but raises ValueError.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import av
from av.sidedata.sidedata import SideData, Type

from vsr.media.files.pyav import all_of

_LATER_KINDS = {28: "LCEVC", 29: "VIEW_ID", 30: "3D_REFERENCE_DISPLAYS", 31: "EXIF"}
"""FFmpeg's numbers (libavutil/frame.h) that PyAV 18 does not know, and their names there."""


def side_data_of(frame: av.VideoFrame) -> list[tuple[str, SideData]]:
    """All side data of a frame in the decoder's order, each with its kind as FFmpeg names it ("A53_CC").

    A kind may occur several times. What is of a kind that nobody here knows is named by its number.
    """
    _accept_all_kinds()
    return [(_name(data), data) for data in all_of(frame.side_data)]


def side_data(frame: av.VideoFrame, kind: str) -> bytes | None:
    """The first side data of one kind, as FFmpeg keeps it in memory; None where the frame has none."""
    return next((bytes(data) for name, data in side_data_of(frame) if name == kind), None)


def _name(data: SideData) -> str:
    """FFmpeg's name; PyAV 19 has one that is spelt otherwise, as Python's names cannot begin with a digit."""
    number: Any = data.type.value
    return _LATER_KINDS.get(number, data.type.name)


@cache
def _accept_all_kinds() -> None:
    """Let PyAV 18's enumeration of kinds take any number, as PyAV 19's does; those that it knows stay."""
    Type._missing_ = classmethod(_new_kind)  # type: ignore[assignment]


def _new_kind(kinds: type[Type], number: object) -> Type:
    made: Any = object.__new__(kinds)
    made._name_ = _LATER_KINDS.get(number, f"KIND_{number}") if isinstance(number, int) else str(number)
    made._value_ = number
    return cast(Type, made)
