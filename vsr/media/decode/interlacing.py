"""Which frames of a source are deinterlaced, and what the user is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vsr.frame import FieldOrder, VideoInfo
from vsr.media.filters.deinterlace import Deinterlacer, Stamped
from vsr.settings.schema import Deinterlace

INTERLACED_ON = "interlaced pictures are deinterlaced with bwdif; --deinterlace off keeps them as they are"
INTERLACED_OFF = "the input is interlaced and upscaled as it is; --deinterlace auto would take it apart"
SINGLE_FIELDS = "each picture is a single field of interlaced video; fields are upscaled one by one"


def note_on_interlacing(info: VideoInfo, deinterlace: Deinterlace) -> str | None:
    """What the headers say of interlacing, as a warning; None where they say nothing of it."""
    if deinterlace in ("top-first", "bottom-first") or info.field_order in ("top-first", "bottom-first"):
        return INTERLACED_OFF if deinterlace == "off" else INTERLACED_ON
    return SINGLE_FIELDS if _single_fields(info) else None


def deinterlaced(
    pictures: Iterator[Stamped], info: VideoInfo, deinterlace: Deinterlace, warn: Callable[[str], None]
) -> Iterator[Stamped]:
    """The pictures, interlaced ones deinterlaced by bwdif where `deinterlace` asks for it."""
    if deinterlace == "off":
        for frame, stamp in pictures:
            if frame.interlaced_frame and not _single_fields(info):
                warn(INTERLACED_OFF)
            yield frame, stamp
        return
    order = _forced_order(info, deinterlace)
    if _single_fields(info) and order is None:
        yield from pictures
        return
    filter_ = Deinterlacer(order)
    for frame, stamp in pictures:
        yield from filter_.push(frame, stamp)
        if filter_.running:
            warn(INTERLACED_ON)
    yield from filter_.drain()


def _single_fields(info: VideoInfo) -> bool:
    return info.field_order == "single fields"


def _forced_order(info: VideoInfo, deinterlace: Deinterlace) -> FieldOrder | None:
    """The field order of all frames, where they are not to be asked themselves."""
    if deinterlace in ("top-first", "bottom-first"):
        return deinterlace
    return info.field_order if info.fields_by_container else None
