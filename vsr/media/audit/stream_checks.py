"""Compares the streams other than the video: audio, subtitles and further video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr.media.audit.contents import FOREVER, Contents, DecodedAudio, Line, Track
from vsr.media.audit.span import Span
from vsr.media.audit.texts import missing_time
from vsr.media.metadata.languages import same_language

KNOWN = 0.5
"""A trimmed stream is the source's if at least this share of its packets or blocks is equal. Not all blocks
are equal: a decoder that starts in the middle generates other noise (AAC's perceptual noise
substitution)."""
KINDS = ("audio", "subtitle", "video")
LATE = 0.02
"""Seconds by which audio may move against the video: half a frame, and half of the threshold of detection
(ITU-R BT.1359: 45 ms). The packet times of recordings are only this exact."""
READ = 0.05
"""Seconds by which a subtitle may be shown earlier or later."""


def check_streams(before: Contents, after: Contents, span: Span) -> Iterable[str]:
    """Compare number, languages, titles and content of all streams other than the video."""
    for kind in KINDS:
        old, new = before.of_kind(kind), after.of_kind(kind)
        further = "further " if kind == "video" else ""
        if len(new) < len(old):
            yield f"{kind}: {len(new)} {further}streams of {len(old)}"
        for number, (a, b) in enumerate(zip(old, new, strict=False)):
            name = f"{kind} {number}"
            if a.language != "und" and not same_language(a.language, b.language):
                yield f"{name}: language {b.language}, not {a.language}"
            if a.title and a.title != b.title:
                yield f"{name}: title {b.title!r}, not {a.title!r}"
            for line in _content(a, b, span, span.origin(before.frames.times)):
                yield f"{name}: {line}"


def uncompared_streams(before: Contents, after: Contents, _: Span) -> Iterable[str]:
    """Yield what cannot be compared in streams that both files have."""
    for kind in KINDS:
        for number, (a, b) in enumerate(zip(before.of_kind(kind), after.of_kind(kind), strict=False)):
            if kind == "audio" and (a.audio is None or b.audio is None) and a.packets:
                yield f"the samples of audio {number} ({a.codec}), not decodable; packets were compared"
            if kind == "subtitle" and a.codec != b.codec and (a.lines is None or b.lines is None):
                yield f"the content of subtitle {number} ({a.codec}, now {b.codec}); one is not text"


def _content(a: Track, b: Track, span: Span, origin: Fraction) -> Iterable[str]:
    if a.audio is not None and b.audio is not None:
        return _audio(a, b, span, float(origin))
    if a.lines is not None and b.lines is not None:
        return _texts(a, b, span, float(origin))
    return _packets(a, b, span, origin)


def _audio(a: Track, b: Track, span: Span, origin: float) -> Iterable[str]:
    old, new = a.audio, b.audio
    assert old is not None
    assert new is not None
    if (new.rate, new.channels) != (old.rate, old.channels):
        yield f"{new.channels} channels at {new.rate} Hz, not {old.channels} at {old.rate} Hz"
    elif not span.whole:
        yield from _part_of_audio(a, b, old, new, origin)
    elif new.samples != old.samples and new.heard != old.heard:
        yield f"{_seconds(new)} of {_seconds(old)} are present ({new.samples} samples, not {old.samples})"
    elif new.digest != old.digest and not _is_copied(a, b):
        yield _OTHER_SAMPLES
    else:
        yield from _lateness(old, new)


_OTHER_SAMPLES = "the samples differ from the source's: it was encoded again, or is another stream"


def _is_copied(a: Track, b: Track) -> bool:
    """Return whether all packets are the source's. Their samples may still differ, as decoders add noise."""
    return set(b.packets) <= set(a.packets)


def _seconds(audio: DecodedAudio) -> str:
    return f"{audio.samples / audio.rate:.3f} s"


def _lateness(old: DecodedAudio, new: DecodedAudio) -> Iterable[str]:
    """Yield a sentence if the same samples have other times."""
    places = np.union1d(old.starts[:, 0], new.starts[:, 0])
    late = _times_of(new, places) - _times_of(old, places)
    worst = int(np.abs(late).argmax())
    if abs(late[worst]) > LATE:
        when = float(_times_of(old, places[worst : worst + 1])[0])
        yield f"{abs(late[worst]):.3f} s {'late' if late[worst] > 0 else 'early'} at {when:.3f} s"


def _times_of(audio: DecodedAudio, places: NDArray[Any]) -> NDArray[np.float64]:
    """Return the times of samples, from the block that contains each."""
    block = np.searchsorted(audio.starts[:, 0], places, side="right") - 1
    return audio.starts[block, 1] + (places - audio.starts[block, 0]) / audio.rate


def _part_of_audio(a: Track, b: Track, old: DecodedAudio, new: DecodedAudio, origin: float) -> Iterable[str]:
    """Check that the packets or blocks of a trimmed stream are the source's, with the same times."""
    inside = slice(1, -1)  # the first and the last block are parts of the source's
    by_packets = _found(a.packets, np.array(a.times, float), b.packets, np.array(b.times, float))
    begins = _times_of(old, old.places), _times_of(new, new.places)
    by_blocks = _found(old.blocks, begins[0], new.blocks[inside], begins[1][inside])
    share, late = max(by_packets, by_blocks, key=lambda one: one[0])
    if share < KNOWN and len(new.blocks) > 2:
        yield _OTHER_SAMPLES
    elif late and abs(median(late) + origin) > LATE:
        yield f"{median(late) + origin:+.3f} s against the video"


def _found(
    old: Sequence[bytes], times: NDArray[np.float64], new: Sequence[bytes], moved: NDArray[np.float64]
) -> tuple[float, list[float]]:
    """Return which share of `new` is in `old`, and how much later each is that is there once.

    Args:
        old: Digests of the source.
        times: Of each of them, in seconds.
        new: Digests of the result.
        moved: Of each of them, in seconds.
    """
    often = Counter(old)  # silence occurs many times
    places = {digest: number for number, digest in enumerate(old) if often[digest] == 1}
    share = sum(digest in often for digest in new) / max(1, len(new))
    found = [float(moved[j] - times[places[one]]) for j, one in enumerate(new) if one in places]
    return share, found


def _texts(a: Track, b: Track, span: Span, origin: float) -> Iterable[str]:
    old = _cut(a.lines or (), span, origin)
    new = _cut(b.lines or (), Span(end=None if span.end is None else span.end - Fraction(origin)), 0.0)
    for first, second, what in ((old, new, "is missing"), (new, old, "is not the source's")):
        away = [line for line in map(_known, first) if missing_time(line, second) > _allowed(line)]
        if away:
            line = away[0]
            yield f"{len(away)} lines differ: {line.text!r} of {line.begin:.3f} to {line.end:.3f} s {what}"
            return


def _known(line: Line) -> Line:
    """Return the line with its end, or with a short duration if the end is unknown."""
    return line if line.end < FOREVER / 2 else Line(line.begin, line.begin + 2 * READ, line.text)


def _allowed(line: Line) -> float:
    """Return the allowed difference in seconds; less for short lines, which would otherwise be missed
    completely.
    """
    return min(READ, (line.end - line.begin) / 2) if line.end > line.begin else READ


def _cut(lines: Sequence[Line], span: Span, origin: float) -> list[Line]:
    start = float("-inf") if span.start is None else float(span.start)
    end = float("inf") if span.end is None else float(span.end)
    cut = [Line(max(line.begin, start) - origin, min(line.end, end) - origin, line.text) for line in lines]
    return cut if span.whole else [line for line in cut if line.begin < line.end]


def _packets(a: Track, b: Track, span: Span, origin: Fraction) -> Iterable[str]:
    """Compare the packets of streams that cannot be decoded."""
    if not span.whole:
        return
    if len(b.packets) < len(a.packets):
        yield f"{len(b.packets)} packets of {len(a.packets)}"
    elif a.codec == b.codec and a.packets != b.packets:
        yield "its packets differ from the source's"
    elif a.codec == b.codec:
        late = [float(y - x) for x, y in zip(a.times, b.times, strict=True)]
        worst = max(late, key=abs, default=0.0)
        if abs(worst) > READ:
            yield f"{worst:+.3f} s against the video"
