"""Decides what happens to the fields of a source's frames, and says it to the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from vsr.errors import ConfigError
from vsr.frame import FieldOrder, VideoInfo
from vsr.media.filters.deinterlace import Deinterlacer, Doubler, Stamped, as_halves
from vsr.media.filters.film import CYCLE, FINER, NTSC, Film
from vsr.media.filters.filters import Filter, filtered_info
from vsr.settings.schema import Deinterlace, ForcedOrder

INTERLACED_ON = (
    "interlaced frames are deinterlaced with bwdif to one frame each, so half of the motion is dropped; "
    "`deinterlace='double'` makes a frame of each field, `deinterlace='off'` keeps the frames as they are"
)
INTERLACED_DOUBLE = "each field of interlaced frames becomes a frame (bwdif), so the frame rate doubles"
INTERLACED_OFF = "the input is interlaced and upscaled as it is; `deinterlace='auto'` deinterlaces it"
SINGLE_FIELDS = "each frame is a single field of interlaced video; each field is upscaled on its own"
FILM = (
    "fields are matched to the frames of a film, and the one frame in five that repeats another is left out: "
    "four frames of five, with the same duration"
)
NO_FILM = (
    "`deinterlace='film'` is for video of 29.97 frames a second that was made from film, and this has {}: "
    "no frame is left out"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldWork:
    """What happens to the fields of interlaced frames."""

    how: Deinterlace = "auto"
    """`auto`, `off`, `double` or `film`."""
    order: FieldOrder | None = None
    """Field order of all frames, whatever their flags say; None uses the flags."""

    @property
    def changes_times(self) -> bool:
        """Whether the result has other frames than the source, at other times."""
        return self.how in ("double", "film")

    @property
    def finer(self) -> int:
        """By which the ticks of the source are divided."""
        return {"double": 2, "film": FINER}.get(self.how, 1)

    @property
    def per_frame(self) -> int:
        """The number of a frame after this work divided by that of its source frame."""
        return 2 if self.how == "double" else 1


AUTOMATIC = FieldWork()


def field_work(deinterlace: Deinterlace, order: ForcedOrder) -> FieldWork:
    """Return what the settings ask for.

    Raises:
        ConfigError: they contradict each other.
    """
    named: FieldOrder | None = deinterlace if deinterlace in ("top-first", "bottom-first") else None
    forced: FieldOrder | None = None if order == "auto" else order
    if forced is not None and (deinterlace == "off" or named not in (None, forced)):
        raise ConfigError(
            f"`deinterlace={deinterlace!r}` contradicts `field_order={order!r}`; leave one of them out"
        )
    return FieldWork(how="auto" if named else deinterlace, order=named or forced)


def check_film(work: FieldWork, info: VideoInfo) -> None:
    """Refuse frames that FFmpeg's fieldmatch cannot take without loss.

    Raises:
        ConfigError: it cannot take them.
    """
    if work.how == "film":
        filtered_info(info, [Filter("fieldmatch", "")], where="deinterlace='film'")


def run_up_of_fields(work: FieldWork) -> int | None:
    """Return how many earlier frames decide a frame after this work; None if all do."""
    return {"off": 0, "film": None}.get(work.how, 1)


def note_on_interlacing(info: VideoInfo, work: FieldWork) -> str | None:
    """Return a warning about interlacing from the headers alone; None where they do not say that frames are
    interlaced.
    """
    if work.how == "film":
        return NO_FILM.format(_rate_of(info)) if _is_never_film(info) else FILM
    if work.order is not None or info.field_order in ("top-first", "bottom-first"):
        return {"off": INTERLACED_OFF, "double": INTERLACED_DOUBLE}.get(work.how, INTERLACED_ON)
    return SINGLE_FIELDS if _single_fields(info) else None


def info_after(info: VideoInfo, work: FieldWork) -> VideoInfo:
    """Return the facts of the frames after this work. Their number is an estimate where only some of them
    change.
    """
    if not work.changes_times:
        return info
    factor = _factor(info, work)
    promised = None if info.frames_promised is None else round(info.frames_promised * factor)
    rate = None if info.frame_rate is None else info.frame_rate * factor
    return replace(info, time_base=info.time_base / work.finer, frame_rate=rate, frames_promised=promised)


def _factor(info: VideoInfo, work: FieldWork) -> Fraction:
    """Return the frames after this work for each frame before it, as far as the headers say."""
    if work.how == "film":
        return Fraction(CYCLE - 1, CYCLE) if _is_ntsc(info) else Fraction(1)
    woven = work.order is not None or info.field_order in ("top-first", "bottom-first")
    return Fraction(2 if woven else 1)


def deinterlaced(
    frames: Iterator[Stamped], info: VideoInfo, work: FieldWork, warn: Callable[[str], None]
) -> Iterator[Stamped]:
    """Yield the frames after what is asked for.

    Args:
        frames: Frames in display order with their stamps.
        info: Of the frames before any filter.
        work: What to do.
        warn: Takes a sentence for the user, possibly the same one repeatedly.
    """
    order = work.order or (info.field_order if info.fields_by_container else None)
    if work.how == "off":
        for frame, stamp in frames:
            if frame.interlaced_frame and not _single_fields(info):
                warn(INTERLACED_OFF)
            yield frame, stamp
        return
    if work.how == "film":
        film = Film(order, warn)
        for one in frames:
            yield from film.push(*one)
        yield from film.drain()
        return
    if _single_fields(info) and order is None:
        yield from frames if work.how == "auto" else as_halves(frames)
        return
    filter_: Doubler | Deinterlacer = (
        Doubler(order, _step(info)) if work.how == "double" else Deinterlacer(order)
    )
    for one in frames:
        yield from filter_.push(*one)
        if filter_.running:
            warn(INTERLACED_DOUBLE if work.how == "double" else INTERLACED_ON)
    yield from filter_.drain()


def _step(info: VideoInfo) -> int:
    """Return the ticks of a frame at the nominal rate, at least 1."""
    return max(1, round(1 / ((info.frame_rate or 25) * info.time_base)))


def _single_fields(info: VideoInfo) -> bool:
    return info.field_order == "single fields"


def _is_ntsc(info: VideoInfo) -> bool:
    return info.frame_rate is not None and abs(info.frame_rate / NTSC - 1) < Fraction(1, 100)


def _is_never_film(info: VideoInfo) -> bool:
    """Return whether the rate rules telecine out: 24 or 25, or more than 30 frames a second.

    In between lie videos of which only some parts were made from film.
    """
    rate = info.frame_rate
    return rate is not None and not (Fraction(51, 2) < rate < NTSC * Fraction(101, 100))


def _rate_of(info: VideoInfo) -> str:
    return "an unknown number" if info.frame_rate is None else f"{float(info.frame_rate):.6g}"
