"""A preview: one frame of a video, or a picture, upscaled by several models and shown side by side.

`busiest` chooses the frame, if asked, and `subject` reads it. `panels` lists the models and strengths,
`vsr.pipeline.one_frame` computes the frame with each by the stages of a run, and `drawing` makes the picture.
Pages are made by `vsr.report.compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Unpack

from torch import Tensor

from vsr.color.convert import alpha_to_float, to_rgb
from vsr.errors import ConfigError
from vsr.media.files.named import Named, paths_of
from vsr.media.files.opening import shown
from vsr.media.files.stdio import is_pipe
from vsr.media.pictures.kinds import is_picture
from vsr.media.pictures.sequence import as_sequence, is_pattern
from vsr.media.png import png_bytes
from vsr.media.remote.places import is_file_object, is_url, remote_of
from vsr.pipeline.job.chosen_settings import choose_settings
from vsr.pipeline.one_frame import OneFrame
from vsr.pipeline.queue.record import note_made
from vsr.report.compare.coding import lossless
from vsr.report.compare.inputs import MAX_PANELS, eight_bit
from vsr.report.compare.screen import Screen, as_shown, pixel_of, zoom_of
from vsr.report.compare.still import where_they_differ
from vsr.report.outputs import check_output
from vsr.report.preview import drawing, pages
from vsr.report.preview.drawing import Region
from vsr.report.preview.panels import MOST, labels_of, of_one_size, settings_for, variants_of
from vsr.report.preview.subject import Subject, open_subject
from vsr.settings.keywords import Overrides
from vsr.settings.schema import UpscaleSettings
from vsr.settings.times import Seconds, seconds
from vsr.writing import write_whole

KINDS = (".png", ".webp", ".html")
NAME = "{stem}-preview.png"
"""Of a result that is not named, beside the input."""
LARGEST_WEBP = 16383
"""Pixels of a side (RFC 9649)."""
OnPanel = Callable[[int, int], None]
"""Called with the number of panels that are finished, and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What `preview` has written."""

    output: Path
    panels: tuple[str, ...]
    """Labels of the panels from left to right."""
    seconds: float | None
    """Time of the frame after the first one of the video; None for a picture."""
    region: tuple[int, int, int, int]
    """Left, top, width and height of the panels' part, in pixels of the result as it is shown."""
    notes: tuple[str, ...]
    """Sentences about what the panels show, and warnings that a run would give."""


def preview(
    source: Named,
    *,
    output: str | Path | None = None,
    models: Sequence[str | Path] = (),
    strengths: Sequence[float] = (),
    at: Seconds | None = None,
    busiest: bool = False,
    region: tuple[int, int, int, int] | None = None,
    settings: UpscaleSettings | None = None,
    pipeline: str | Path | None = None,
    overwrite: bool = False,
    allow_network: bool = False,
    on_panel: OnPanel | None = None,
    **overrides: Unpack[Overrides],
) -> Preview:
    """Show one frame of a video, or a picture, upscaled by several models, before a long run.

    The frame takes the way of a run with the same settings up to the encoder: field order, filters, colour,
    network and size are those of `upscale`, and so are its pixels. Earlier frames are not decoded where the
    video can be sought in.

    Args:
        source: A video or a picture: a path, a URL, or a file object that is open for reading.
        output: A picture (.png, .webp), or a page (.html) with whole frames; None is a name beside the input.
        models: Names or weight files; none is the model of the settings. The bicubic filter is always shown.
        strengths: Each model that has a partner is shown at each of these.
        at: Seconds after the first frame; the first frame from then on is shown. None is the middle.
        busiest: Choose the key frame with most detail and motion among some instead.
        region: Left, top, width and height of the part to show, in pixels of the input as it is shown; None
            is where the panels differ most.
        settings: Settings of the run; None uses the defaults.
        pipeline: Name of a preset, or path of a .toml file, instead of `settings`.
        overwrite: Whether to replace an existing file.
        allow_network: Whether the network may be used for a URL.
        on_panel: Called after each panel.
        **overrides: Single settings, as for `vsr.upscale`. Without a scale or a size, the largest scale of
            the models counts for all.

    Raises:
        ConfigError: a setting, the time, the region or the name of the output is wrong.
        InputError: the input cannot be read, or has no such frame.
        ModelError: a model does not exist.
        OutputError: the output cannot be written.
        VsrError: any other error that a run would raise.

    >>> vsr.preview("in.mp4", output="preview.png", models=["fast"]).panels
    ('bicubic', 'fast-x2')
    """
    if settings is not None and pipeline is not None:
        raise ConfigError("vsr.preview: settings and pipeline exclude each other; give one of them")
    if at is not None and busiest:
        raise ConfigError("`at` and `busiest` exclude each other; give one of them")
    chosen = choose_settings(pipeline, settings, overrides, where="vsr.preview", origin="keyword")
    begin = None if at is None else seconds(at, name="at")
    place = _place(source, output)
    if isinstance(source, str | Path) and not is_url(source):
        source = as_sequence(Path(source), place, chosen.settings.frame_rate)
    with paths_of(source, allow_network=allow_network) as (path,):
        if is_pipe(path):
            raise ConfigError(
                "standard input cannot be previewed, since it is read several times; name a file"
            )
        check_output(place, [path], kinds=KINDS, overwrite=overwrite)
        names = [str(model) for model in models] or [chosen.settings.model]
        chosen = replace(chosen, settings=of_one_size(chosen.settings, names))
        variants = variants_of(names, strengths, chosen.settings)
        _check_number(len(variants), place)
        subject = open_subject(path, chosen, at=begin, busiest=busiest)
        if region is not None:
            _check_region(region, subject.size)
        made = []
        for variant in variants:
            made.append(subject.compute(settings_for(variant, chosen)))
            if on_panel is not None:
                on_panel(len(made), len(variants))
        written = _write(subject, made, place, region)
        note_made(path, place)
        return written


def _place(source: Named, output: str | Path | None) -> Path:
    """Return the path of the output; without a name, one beside the input."""
    if output is not None:
        return Path(output)
    if is_file_object(source) or is_url(source) or remote_of(Path(str(source))) is not None:
        raise ConfigError("nothing is written beside a URL or a file object; name the `output`")
    path = Path(str(source))
    if is_pattern(path):
        return path.parent / "preview.png"
    return path.with_name(NAME.format(stem=path.stem))


def _check_number(count: int, output: Path) -> None:
    most = MAX_PANELS if output.suffix.lower() == ".html" else MOST
    if count > most:
        raise ConfigError(
            f"{count} panels do not fit into {output.suffix.lower()}, which has {most} at most; name fewer "
            "`models` or `strengths`"
        )


def _write(subject: Subject, made: Sequence[OneFrame], output: Path, region: Region | None) -> Preview:
    labels = labels_of([one.report for one in made])
    screen = Screen.of([subject.info])
    coded = [_image(one) for one in made]
    images = [eight_bit(screen.shown(image, one.frame.color)) for image, one in zip(coded, made, strict=True)]
    height, width = images[0].shape[-2:]
    if region is None:
        top, left, side = where_they_differ(images)
        place = (left, top, side, side)
    else:
        place = _in_result(region, subject.size, (height, width))
    on_screen = screen.notes([shown(subject.path.name)], [subject.info])
    if output.suffix.lower() == ".html":
        data, on_screen = pages.page(
            images, labels, subject.path, made, region=place, title=subject.title, notes=on_screen
        )
    else:
        data = _picture_bytes(
            subject, images, labels, place, pixel_of(made[0].info), screen, output.suffix.lower(), on_screen
        )
    write_whole(output, data)
    time = None if subject.time is None else float(subject.time)
    return Preview(
        output=output,
        panels=tuple(labels),
        seconds=time,
        region=place,
        notes=(*on_screen, *_warnings(subject, made)),
    )


def _image(one: OneFrame) -> Tensor:
    """Return a result as it is shown, `(3, H, W)` in [0, 1], with white behind a transparent picture."""
    frame = one.frame
    image = to_rgb(frame.planes, frame.color, frame.layout).clamp(0, 1)
    if frame.alpha is not None and frame.layout.alpha and is_picture(one.info.path):
        alpha = alpha_to_float(frame.alpha, frame.layout)
        image = image * alpha + (1 - alpha)
    return as_shown(image, one.info)


def _check_region(region: Region, source: tuple[int, int]) -> None:
    """Refuse a region that is not inside the input of some height and width."""
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > source[1] or top + height > source[0]:
        raise ConfigError(
            f"`region` {width}x{height}+{left}+{top} is not inside the frame of {source[1]}x{source[0]}; "
            "choose another one"
        )


def _in_result(region: Region, source: tuple[int, int], result: tuple[int, int]) -> Region:
    """Return a region of the input in pixels of the result; the sizes are height and width of both."""
    left, top, width, height = region
    across, down = Fraction(result[1], source[1]), Fraction(result[0], source[0])
    return (
        int(left * across),
        int(top * down),
        max(1, int(width * across)),
        max(1, int(height * down)),
    )


def _warnings(subject: Subject, made: Sequence[OneFrame]) -> list[str]:
    """Return the warnings of a run, each once."""
    return list(dict.fromkeys([*subject.notes, *(one for panel in made for one in panel.report.warnings)]))


def _picture_bytes(
    subject: Subject,
    images: Sequence[Tensor],
    labels: Sequence[str],
    place: Region,
    pixel: Fraction,
    screen: Screen,
    kind: str,
    notes: Sequence[str],
) -> bytes:
    left, top, width, height = place
    rows, columns = images[0].shape[-2:]
    color = subject.info.color if subject.frame is None else subject.frame.color
    picture = drawing.drawn(
        eight_bit(screen.shown(subject.whole, color)),
        [image[:, top : top + height, left : left + width] for image in images],
        labels,
        title=subject.title,
        mark=(left / columns, top / rows, width / columns, height / rows),
        pixel=pixel_of(subject.info),
        zoom=drawing.zoom_for(height, width, zoom_of(pixel)),
        notes=notes,
    )
    if kind == ".png":
        return png_bytes(picture)
    if max(picture.shape) > LARGEST_WEBP:
        raise ConfigError(f"WebP has sides of at most {LARGEST_WEBP} pixels; use .png or a smaller `region`")
    return lossless([picture]).files[0]
