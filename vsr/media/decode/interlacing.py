"""Decides which frames of a source are deinterlaced, and warns the user about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vsr.frame import FieldOrder, VideoInfo
from vsr.media.filters.deinterlace import Deinterlacer, Stamped
from vsr.settings.schema import Deinterlace

INTERLACED_ON = "interlaced frames are deinterlaced with bwdif; `deinterlace='off'` keeps them as they are"
INTERLACED_OFF = "the input is interlaced and upscaled as it is; `deinterlace='auto'` deinterlaces it"
SINGLE_FIELDS = "each frame is a single field of interlaced video; each field is upscaled on its own"


def note_on_interlacing(info: VideoInfo, deinterlace: Deinterlace) -> str | None:
    """Return a warning about interlacing from the headers alone; None where they do not say that frames are
    interlaced.
    """
    if deinterlace in ("top-first", "bottom-first") or info.field_order in ("top-first", "bottom-first"):
        return INTERLACED_OFF if deinterlace == "off" else INTERLACED_ON
    return SINGLE_FIELDS if _single_fields(info) else None


def deinterlaced(
    frames: Iterator[Stamped], info: VideoInfo, deinterlace: Deinterlace, warn: Callable[[str], None]
) -> Iterator[Stamped]:
    """Yield the frames; bwdif deinterlaces the interlaced ones unless `deinterlace` is `off`.

    Args:
        frames: Frames in display order with their stamps.
        info: Of the frames before any filter.
        deinterlace: See `open_video`.
        warn: Takes a sentence for the user, possibly the same one repeatedly.
    """
    if deinterlace == "off":
        for frame, stamp in frames:
            if frame.interlaced_frame and not _single_fields(info):
                warn(INTERLACED_OFF)
            yield frame, stamp
        return
    order = _forced_order(info, deinterlace)
    if _single_fields(info) and order is None:
        yield from frames
        return
    filter_ = Deinterlacer(order)
    for frame, stamp in frames:
        yield from filter_.push(frame, stamp)
        if filter_.running:
            warn(INTERLACED_ON)
    yield from filter_.drain()


def _single_fields(info: VideoInfo) -> bool:
    return info.field_order == "single fields"


def _forced_order(info: VideoInfo, deinterlace: Deinterlace) -> FieldOrder | None:
    """Return the field order of all frames; None where each frame's own flag decides."""
    if deinterlace in ("top-first", "bottom-first"):
        return deinterlace
    return info.field_order if info.fields_by_container else None
