"""Compares the video, the file's metadata and its attachments with those of the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from vsr.frame import Crop, Spherical, VideoInfo
from vsr.media.audit.contents import Contents
from vsr.media.audit.images import as_codes, compare_images, contrast, unknown_order
from vsr.media.audit.reading import UNITS
from vsr.media.audit.side_data_digests import SideDataDigests
from vsr.media.audit.span import Span
from vsr.media.metadata.messages import LABELS
from vsr.media.passthrough.marks import DISABLED

SHORT = Fraction(1, 1000)
"""Seconds by which times of frames may differ: half of Matroska's usual millisecond, rounded up."""
LONG = Fraction(1, 50)
"""Seconds by which the duration of the last frame and the times of chapters may differ."""


def check_frames(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Compare the number, times, order, duration and content of frames."""
    old, new = before.frames, after.frames
    wanted = span.frames(old.times)
    times = [old.times[i] - old.times[wanted[0]] for i in wanted]
    if len(wanted) != len(new.times):
        yield f"frames: {_count_of(len(new.times), len(wanted))}"
    elif late := [i for i, (a, b) in enumerate(zip(times, new.times, strict=True)) if abs(a - b) > SHORT]:
        yield f"timestamps: {len(late)} frames have another time, from frame {late[0]} on"
    backwards = _backwards(new.times)
    if backwards > _backwards(times):
        yield f"order: {backwards} frames of the result are not later than the previous frame"
    if span.whole and old.last_duration and abs((new.last_duration or 0) - old.last_duration) > LONG:
        now, was = float(new.last_duration or 0), float(old.last_duration)
        yield f"duration: the last frame is shown for {now:.3f} s, not {was:.3f} s"
    if new.broken > old.broken:
        yield f"damage: {new.broken} packets or frames of the result are damaged"
    together = pairs(times, new.times)
    chosen = [wanted[i] for i, _ in together]
    shown = as_codes(old.thumbnails[chosen], UNITS), as_codes(new.thumbnails[[j for _, j in together]], UNITS)
    yield from compare_images(*shown)


def _count_of(found: int, wanted: int) -> str:
    return f"{found}, but the source has {wanted}" if found > wanted else f"{found} of {wanted}"


def _backwards(times: Sequence[Fraction]) -> int:
    """Count the times that are not later than the previous time."""
    return sum(b <= a for a, b in pairwise(times))


def uncompared_frames(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Yield a sentence if the order of most frames, or their content, cannot be compared."""
    chosen = span.frames(before.frames.times)
    still = unknown_order(as_codes(before.frames.thumbnails[chosen], UNITS))
    if 2 * still > len(chosen):
        yield f"the order of {still} of {len(chosen)} frames: they hardly differ from the previous frame"
    if not contrast(as_codes(before.frames.thumbnails[chosen], UNITS)):
        yield "the content of frames: each has only one colour, or nearly"


def pairs(before: list[Fraction], after: tuple[Fraction, ...]) -> list[tuple[int, int]]:
    """Return pairs of frame numbers in both files: by number, or by time where frames are missing."""
    if len(before) == len(after):
        return [(i, i) for i in range(len(before))]
    old, new = np.array(before, float), np.array(after, float)
    right = np.clip(np.searchsorted(old, new), 1, len(old) - 1) if len(old) > 1 else np.zeros(len(new), int)
    nearest = np.where(np.abs(old[right - 1] - new) <= np.abs(old[right] - new), right - 1, right)
    return [(int(i), j) for j, i in enumerate(nearest) if abs(old[i] - new[j]) <= 2 * float(SHORT)]


def check_video_tags(before: Contents, after: Contents, _: Span) -> Iterable[str]:
    """Compare bit depth, chroma subsampling, transparency and colour tags."""
    old, new = before.info, after.info
    if old.layout.alpha and old.codec != "gif" and not new.layout.alpha:
        yield f"transparency: {new.pixel_format} of {old.pixel_format}"
    if new.layout.bit_depth < old.layout.bit_depth:
        yield f"depth: {new.layout.bit_depth} bits of {old.layout.bit_depth}"
    if old.layout.family == new.layout.family == "yuv" and new.layout.chroma_shift > old.layout.chroma_shift:
        yield f"chroma: {new.pixel_format} of {old.pixel_format}"
    if old.layout.family == "rgb" and new.layout.family == "yuv" and any(new.layout.chroma_shift):
        yield f"chroma: {new.pixel_format} of {old.pixel_format}"
    names = ["primaries", "transfer"]  # the other two depend on the family of samples
    names += ["matrix", "range"] if old.layout.family == new.layout.family else []
    for name in names:
        was, now = getattr(old.tagged, name), getattr(new.tagged, name)
        if was.name != "UNSPECIFIED" and now is not was:
            yield f"colour: {name} {now.name.lower()}, not {was.name.lower()}"
    for name in ("mastering_display", "content_light"):
        if getattr(old, name) is not None and getattr(new, name) != getattr(old, name):
            yield f"colour: {name.replace('_', ' ')} is missing or differs"


def check_shape(before: Contents, after: Contents, _: Span) -> Iterable[str]:
    """Compare the size, the aspect ratio as displayed, and the stereo and spherical layout."""
    old, new = before.info, after.info
    (width, height), (wide, high) = _visible(old), _visible(new)
    pixels = [info.sample_aspect_ratio or Fraction(1) for info in (old, new)]
    if new.rotation % 180 != old.rotation % 180:
        wide, high, pixels[1] = high, wide, 1 / pixels[1]
    if wide * high <= width * height:
        sizes = [f"{float(across):g}x{float(down):g}" for across, down in ((wide, high), (width, height))]
        yield f"size: {sizes[0]} is not larger than the source's {sizes[1]}"
    was, now = width / height * pixels[0], wide / high * pixels[1]
    grain = 1 / min(width, height)  # sizes are rounded to whole, or even, pixels
    if abs(now / was - 1) > 2 * grain:
        yield f"shape: {float(now):.3f} wide for 1 high, not {float(was):.3f}"
    if old.stereo is not None and new.stereo != old.stereo:
        yield "shape: the stereo arrangement is missing or differs"
    if old.spherical is not None and _without_padding(new) != _without_padding(old):
        yield "shape: the spherical arrangement is missing or differs"


def _without_padding(info: VideoInfo) -> Spherical | None:
    """Return the projection without its padding, which is in pixels and grows with the frame."""
    return info.spherical and replace(info.spherical, padding=0)


def _visible(info: VideoInfo) -> tuple[Fraction, Fraction]:
    """Return the width and height that the container shows."""
    crop = info.crop or Crop()
    return info.width - crop.left - crop.right, info.height - crop.top - crop.bottom


def check_side_data(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Check that each frame of the result has the side data of its source frame."""
    old, new = before.frames, after.frames
    wanted = span.frames(old.times)
    times = [old.times[i] - old.times[wanted[0]] for i in wanted]
    met: dict[str, int] = {}
    lost: dict[str, int] = {}
    for i, j in pairs(times, new.times):
        for kind in dict.fromkeys(kind for kind, _ in old.side_data[wanted[i]]):
            met[kind] = met.get(kind, 0) + 1
            differs = _of(kind, old.side_data[wanted[i]]) != _of(kind, new.side_data[j])
            lost[kind] = lost.get(kind, 0) + differs
    for kind, count in lost.items():
        if count:
            yield f"{LABELS[kind]}: missing or different in {count} of {met[kind]} frames"


def _of(kind: str, carried: SideDataDigests) -> list[bytes]:
    return [digest for name, digest in carried if name == kind]


def check_flags(before: Contents, after: Contents, _: Span) -> Iterable[str]:
    """Compare the dispositions of all streams."""
    yield from _missing_flags("video", _wanted(before.dispositions, after), after.dispositions)
    for kind in ("audio", "subtitle"):
        for number, (a, b) in enumerate(zip(before.of_kind(kind), after.of_kind(kind), strict=False)):
            yield from _missing_flags(f"{kind} {number}", _wanted(a.dispositions, after), b.dispositions)


def _wanted(flags: frozenset[str], after: Contents) -> frozenset[str]:
    """Return the flags that a track must have: outside Matroska, disabled ones are not shown by default."""
    disabled = DISABLED in flags and not after.matroska
    return flags - {DISABLED, "default"} if disabled else flags


def _missing_flags(name: str, before: frozenset[str], after: frozenset[str]) -> Iterable[str]:
    missing = before - after
    if missing:
        yield f"{name}: not marked as {', '.join(sorted(missing)).replace('_', ' ')}"


def check_attachments(before: Contents, after: Contents, _: Span) -> Iterable[str]:
    """Compare attached files and covers, by name and content."""
    there = {digest for _, digest in after.attachments}
    missing = [name or "a cover" for name, digest in before.attachments if digest not in there]
    if missing:
        yield f"attached files: {', '.join(missing)} missing or with other content"
    renamed = set(before.attachments) - set(after.attachments)
    renamed = {(name, digest) for name, digest in renamed if name and digest in there}
    if renamed:
        yield f"attached files: {', '.join(sorted(name for name, _ in renamed))} under another name"


def check_chapters(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Compare the titles and times of chapters."""
    old, new = span.chapters(before), after.chapters
    if [chapter.title for chapter in old] != [chapter.title for chapter in new]:
        names = [", ".join(chapter.title for chapter in chapters) or "none" for chapters in (new, old)]
        yield f"chapters: {names[0]}, not {names[1]}"
        return
    for a, b in zip(old, new, strict=True):
        if abs(a.begin - b.begin) > LONG or abs(a.end - b.end) > LONG:
            yield (
                f"chapters: {a.title or 'one'} is at {float(b.begin):.3f} to {float(b.end):.3f} s, "
                f"not {float(a.begin):.3f} to {float(a.end):.3f} s"
            )


def check_layers(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Compare editions, chapters within chapters and layered tags of Matroska, of the whole source."""
    if not span.whole:
        return
    old, new = (_times_of_names(contents) for contents in (before, after))
    missing = [name for name, times in old.items() for _ in times[len(new.get(name, [])) :]]
    if missing:
        yield f"chapters: {missing[0]} missing{_and_more(missing)}"
    pairs_of = {name: zip(times, new.get(name, []), strict=False) for name, times in old.items()}
    if moved := [name for name, both in pairs_of.items() if any(abs(a - b) > LONG for a, b in both)]:
        yield f"chapters: {moved[0]} at another time{_and_more(moved)}"
    lost = list((Counter(before.layered_tags) - Counter(after.layered_tags)).elements())
    if lost and after.matroska:  # other containers have no levels; FFmpeg's list of tags is compared
        yield f"tags: {lost[0]} missing{_and_more(lost)}"


def _times_of_names(contents: Contents) -> dict[str, list[Fraction]]:
    found: dict[str, list[Fraction]] = {}
    for name, at in contents.layered_chapters:
        found.setdefault(name, []).append(at)
    return found


def _and_more(found: Sequence[str]) -> str:
    return f", and {len(found) - 1} more" if len(found) > 1 else ""


def check_tags(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Compare the metadata of the file, and the timecode."""
    for key, value in before.tags.items():
        if after.tags.get(key) != value:
            yield f"metadata: {key} is {after.tags.get(key, 'missing')!r}, not {value!r}"
    if before.timecode and span.from_start and after.timecode != before.timecode:
        yield f"timecode: {after.timecode or 'missing'}, not {before.timecode}"
