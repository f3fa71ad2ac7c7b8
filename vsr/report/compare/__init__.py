"""Comparisons to look at: a page with frames and figures, a labelled image, or an animation.

`compare` decides by the name of the output. `inputs` opens the files, `alignment` finds frames of the same
moments, `scores` measures them, `pictures` and `coding` make the images of a page, `html` writes it; `still`
and `wipe` make PNG and animated WebP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vsr.color.tone_mapping import differs_on_screen
from vsr.errors import ConfigError, InputError
from vsr.media.files.named import Named, paths_of
from vsr.media.files.opening import shown
from vsr.pipeline.queue.record import note_made
from vsr.report.compare import html, still, wipe
from vsr.report.compare.alignment import (
    Alignment,
    Moment,
    align,
    correlation_of,
    first_moments,
    moments,
    nothing_in_common,
    thumbnail,
)
from vsr.report.compare.inputs import Input, common_size, eight_bit, fitted, largest, open_inputs
from vsr.report.compare.pictures import Pictures
from vsr.report.compare.scores import Distance, Measuring, scores_for
from vsr.report.compare.screen import Screen, pixel_of, zoom_of
from vsr.report.outputs import check_output
from vsr.settings.times import Seconds, seconds
from vsr.system.last_step import last_step
from vsr.writing import write_whole

DURATION = 10
"""Default length of a page in seconds."""
MAX_MEGABYTES = 30
"""Default limit of a page's size."""
_OVERHEAD = 300_000  # bytes of a page without images, with the figures of a thousand frames of five panels
_SAME_SCENE = 0.5
"""Least mean correlation of what two videos show; results of one source have more than 0.95."""
KINDS = (".html", ".png", ".webp")

OnFrame = Callable[[int, int], None]
"""Called with the number of moments that are finished, and the number that is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What `compare` has written."""

    panels: tuple[str, ...]
    """Names of the panels from left to right."""
    moments: int
    """Number of frames that were compared."""
    totals: dict[str, tuple[float | None, ...]]
    """For each figure its mean for each panel; empty for images."""
    notes: tuple[str, ...]
    """Sentences about what was done: places found by content, enlarged panels, images that are left out."""


def compare(
    *inputs: Named,
    output: str | Path,
    reference: Named | None = None,
    lpips: str | Path | None = None,
    at: Seconds | None = None,
    duration: Seconds = DURATION,
    max_megabytes: float = MAX_MEGABYTES,
    title: str = "",
    overwrite: bool = False,
    allow_network: bool = False,
    on_frame: OnFrame | None = None,
) -> Comparison:
    """Show versions of one video or image beside each other, by any programs, of any sizes.

    A name that ends in .html gives one page that needs no network: frames with a slider, a grid, blink and
    difference, a magnifier, and figures of every frame. .png gives the square of one frame where the panels
    differ most, with labels. .webp gives an animation of that square, in which a line wipes from panel to
    panel. Panels that are smaller than the reference, or than the largest panel, are enlarged with the
    bicubic filter. Frames belong together by their timestamps; where the content contradicts these, as in a
    result of `start`, by their content.

    Args:
        inputs: Two or more videos or images, for example a source and its results: paths, URLs, or file
            objects that are open for reading.
        output: Path of the file to write.
        reference: The original, named in the same ways. It becomes the last panel, and PSNR and SSIM are
            measured against it.
        lpips: torchvision's weights of AlexNet or VGG16, to measure LPIPS against the reference of a page;
            nothing is downloaded. It needs the package torchmetrics.
        at: Time of the first frame in seconds after the first one of the longest video; None is the first
            moment that all videos show.
        duration: Seconds that a page shows.
        max_megabytes: Limit of a page's size. If the images of all frames do not fit at a quality that hides
            nothing, every second frame has images, or every fourth.
        title: Headline of a page; the names of the files by default.
        overwrite: Whether to replace an existing file.
        allow_network: Whether the network may be used for URLs.
        on_frame: Called after each frame of a page.

    Returns:
        The names of the panels, and the totals of a page.

    Raises:
        InputError: A video cannot be read, ends before `at`, or shows other content or another shape.
        ConfigError: `output` has another ending, exists already, or is one of the inputs; a number is wrong;
            or torchmetrics is not installed.
        ModelError: `lpips` has no such network.
        OutputError: The output cannot be written.

    >>> vsr.compare("in.mp4", "out.mp4", output="compare.png", at=0.2).panels
    ('in.mp4', 'out.mp4')
    """
    place, named = Path(output), [*inputs, *([] if reference is None else [reference])]
    begin = None if at is None else seconds(at, name="at")
    length = seconds(duration, name="duration")
    if length <= 0 or not 0 < max_megabytes < math.inf:
        raise ConfigError(f"`duration` {duration} and `max_megabytes` {max_megabytes} must be above 0")
    if lpips is not None and (reference is None or place.suffix.lower() != ".html"):
        raise ConfigError("`lpips` is measured against a `reference` on a page (.html); name both")
    with paths_of(*named, allow_network=allow_network) as paths:
        check_output(place, paths, kinds=KINDS, overwrite=overwrite)
        subject = _subject(paths, reference=None if reference is None else len(paths) - 1)
        if place.suffix.lower() != ".html":
            compared = _write_image(subject, place, begin)
            note_made(paths[0], place)
            return compared
        title = title or " · ".join(subject.labels)
        subject = replace(subject, lpips=None if lpips is None else _distance(Path(lpips)))
        return _write_page(subject, place, begin, length, int(max_megabytes * 1e6), title, on_frame)


def _distance(weights: Path) -> Distance:
    from vsr.report.evaluate.learned import lpips  # imported late, because it is rarely used

    return lpips(weights)


def _subject(paths: Sequence[Path], *, reference: int | None) -> _Subject:
    opened = open_inputs(paths)
    size = common_size(opened, None if reference is None else opened[reference])
    return _Subject(inputs=opened, reference=reference, size=size, alignment=align(opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is compared."""

    inputs: Sequence[Input]
    reference: int | None
    size: tuple[int, int]
    alignment: Alignment
    lpips: Distance | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(one.label for one in self.inputs)

    @property
    def pixel(self) -> Fraction:
        """Width of the panels' pixels divided by their height."""
        reference = None if self.reference is None else self.inputs[self.reference]
        return pixel_of(largest(self.inputs, reference).info)

    @property
    def screen(self) -> Screen:
        return Screen.of([one.info for one in self.inputs])

    @property
    def notes(self) -> tuple[str, ...]:
        enlarged = [one.label for one in self.inputs if one.size != self.size]
        height, width = self.size
        resized = f"resized to {width}x{height} with the bicubic filter."
        return (
            *self.alignment.notes,
            *([f"{', '.join(enlarged)}: {resized}"] if enlarged else []),
            *self.screen.notes(self.labels, [one.info for one in self.inputs], measured=True),
        )

    def images(self, moment: Moment) -> tuple[list[Tensor], list[Tensor]]:
        """Return the panels of a moment, uint8: as they are coded, and as a screen shows them."""
        pairs = zip(self.inputs, moment.frames, strict=True)
        coded = [fitted(one.image(frame), self.size) for one, frame in pairs]
        rounded = [eight_bit(image) for image in coded]
        if not any(differs_on_screen(frame.color) for frame in moment.frames):
            return rounded, rounded
        shown = zip(coded, moment.frames, strict=True)
        return rounded, [eight_bit(self.screen.shown(image, frame.color)) for image, frame in shown]

    def similarity(self, moment: Moment) -> list[float]:
        """Return how strongly each panel correlates with the longest video."""
        small = [thumbnail(f, i.info) for i, f in zip(self.inputs, moment.frames, strict=True)]
        return [correlation_of(one[None], small[self.alignment.base][None]) for one in small]


def _write_page(
    subject: _Subject,
    output: Path,
    at: Fraction | None,
    duration: Fraction,
    limit: int,
    title: str,
    on_frame: OnFrame | None,
) -> Comparison:
    scores = scores_for(reference=subject.reference is not None, lpips=subject.lpips is not None)
    figures: dict[str, list[list[float | None]]] = {s.name: [[] for _ in subject.inputs] for s in scores}
    measuring = Measuring(reference=subject.reference, lpips=subject.lpips)
    expected = _expected(subject, duration)
    pictures = Pictures(limit=max(limit - _OVERHEAD, limit // 2) * 3 // 4, expected=expected)  # base64: 4/3
    times, likeness, region = [], [], None
    for moment in moments(subject.inputs, subject.alignment, at=at, duration=duration):
        coded, images = subject.images(moment)
        region = region or _square_of(images)
        for name, values in measuring.frame(coded).items():
            for series, value in zip(figures[name], values, strict=True):
                series.append(value)
        times.append(float(moment.seconds))
        likeness.append(subject.similarity(moment))
        pictures.add(images)
        if on_frame is not None:
            on_frame(len(times), max(expected, len(times)))
    if not times:
        raise nothing_in_common(at)
    _check_content(subject, likeness)
    pictures.flush()
    height, width = subject.size
    facts = html.facts_of(
        [html.Panel(name=n, reference=i == subject.reference) for i, n in enumerate(subject.labels)],
        [html.facts_of_input(one) for one in subject.inputs],
        html.View(height=height, width=width, pixel=float(subject.pixel), region=region),
        times=times,
        scores=scores,
        figures=figures,
        pictures=pictures,
        notes=subject.notes,
    )
    page = html.page(facts, pictures, title=title)
    with last_step():
        write_whole(output, page)
    return Comparison(
        panels=subject.labels,
        moments=len(times),
        totals={score["name"]: tuple(score["totals"]) for score in facts["scores"]},
        notes=tuple(facts["notes"]),
    )


def _square_of(images: Sequence[Tensor]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the square where the panels of a moment differ most."""
    top, left, side = still.where_they_differ(images)
    return left, top, side, side


def _expected(subject: _Subject, duration: Fraction) -> int:
    """Estimate the number of moments, to share the size of the page out."""
    gap = subject.alignment.gaps[subject.alignment.base]
    lengths = [one.info.duration_seconds for one in subject.inputs if one.info.duration_seconds]
    return max(1, math.ceil(min([duration, *lengths]) / gap)) if gap else 1


def _check_content(subject: _Subject, likeness: list[list[float]]) -> None:
    """Refuse panels that show different scenes over the whole page."""
    means = torch.tensor(likeness).mean(0).tolist()
    flat = torch.tensor(likeness)[:, subject.alignment.base].mean().item() < _SAME_SCENE  # black, for example
    longest = subject.inputs[subject.alignment.base].label
    for one, mean in zip(subject.inputs, means, strict=True):
        if mean < _SAME_SCENE and not flat:
            raise InputError(
                f"{shown(one.path)}: shows other content than {longest} there; "
                "compare versions of one video, or choose another `at`"
            )


def _write_image(subject: _Subject, output: Path, at: Fraction | None) -> Comparison:
    (moment,) = first_moments(subject.inputs, subject.alignment, at=at, count=1)
    _check_content(subject, [subject.similarity(moment)])
    _, images = subject.images(moment)
    draw = still.png if output.suffix.lower() == ".png" else wipe.webp
    image = draw(images, subject.labels, zoom_of(subject.pixel))
    with last_step():
        write_whole(output, image)
    return Comparison(panels=subject.labels, moments=1, totals={}, notes=subject.notes)
