"""Reads side data of frames, of every kind that FFmpeg knows. Torch is not imported here.

PyAV's list of kinds is shorter than that of the FFmpeg in its wheel. If a frame has a kind that is not on the
list (such as EXIF), PyAV raises ValueError and returns no side data at all.
"""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import Any, cast

import av
from av.dictionary import Dictionary
from av.sidedata.sidedata import SideData, Type

from vsr.media.files.pyav import all_of

_LATER_KINDS = {28: "LCEVC", 29: "VIEW_ID", 30: "3D_REFERENCE_DISPLAYS", 31: "EXIF"}
"""FFmpeg's numbers of kinds (libavutil/frame.h) that PyAV 18 does not know, with their names."""


def side_data_of(frame: av.VideoFrame) -> list[tuple[str, SideData]]:
    """Return all side data of a frame in the decoder's order, each with FFmpeg's name of its kind ("A53_CC").

    A kind may occur several times. An unknown kind is named by its number.
    """
    _accept_all_kinds()
    found = all_of(frame.side_data)
    for data in found:
        _keep_metadata(data)
    return [(_name(data), data) for data in found]


def _keep_metadata(data: SideData) -> None:
    """Keep PyAV from freeing the metadata of side data, which FFmpeg frees together with the frame.

    Without this, a PNG whose colour profile has a name ends the process at some later time. What remains is a
    small object without memory of its own.
    """
    for part in gc.get_referents(data):
        if isinstance(part, Dictionary) and len(part):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(part))


def side_data(frame: av.VideoFrame, kind: str) -> bytes | None:
    """Return the first side data of one kind, as FFmpeg stores it in memory, or None."""
    return next((bytes(data) for name, data in side_data_of(frame) if name == kind), None)


def _name(data: SideData) -> str:
    """Return FFmpeg's name. PyAV 19 spells one differently, as Python names cannot begin with a digit."""
    number: Any = data.type.value
    return _LATER_KINDS.get(number, data.type.name)


@cache
def _accept_all_kinds() -> None:
    """Make PyAV 18's enumeration of kinds accept any number, as PyAV 19's does."""
    Type._missing_ = classmethod(_new_kind)  # type: ignore[assignment]


def _new_kind(kinds: type[Type], number: object) -> Type:
    made: Any = object.__new__(kinds)
    made._name_ = _LATER_KINDS.get(number, f"KIND_{number}") if isinstance(number, int) else str(number)
    made._value_ = number
    return cast(Type, made)
