"""Upscales a video into numbered pictures: `frames/%05d.png`.

The frames of a lossless video become pictures, which get their names when all of them are complete.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vsr.color.convert import alpha_to_float, alpha_to_plane, to_planes
from vsr.color.spec import UNTAGGED, ColorSpec
from vsr.errors import ConfigError, InputError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.facts.alpha import without_unused_alpha
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.files.opening import MAX_PIXELS, shown
from vsr.media.files.output_path import put_in_place
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.pictures.exif import orientation_of
from vsr.media.pictures.file import open_picture
from vsr.media.pictures.keeping import kept
from vsr.media.pictures.kinds import TARGETS, Kind
from vsr.media.pictures.metadata import Metadata
from vsr.media.pictures.reading import turned
from vsr.media.pictures.sequence import files_behind, first_number, numbered, numbers_in
from vsr.media.pictures.writing import encoded, plan_for
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.digests import file_facts
from vsr.pipeline.job.report import Report
from vsr.pipeline.pictures.left_out import left_out, streams_left_out
from vsr.pipeline.pictures.lossless_video import ANY_SIZE, MADE, kept_note, through_video
from vsr.system import names
from vsr.system.last_step import last_step
from vsr.writing import new_file


def upscale_to_pictures(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    work: Callable[..., Report],
    *,
    overwrite: bool,
    on_warning: Callable[[str], None] = lambda _: None,
    on_end: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Upscale a video into numbered pictures.

    Args:
        source: A video, or the path that stands for numbered pictures.
        target: The pattern of the pictures' names.
        chosen: Settings of the run; those of the encoder do not apply.
        work: `vsr.pipeline.run.upscale` or the same with messages; it gets source, file and settings.
        overwrite: Whether pictures of these names are replaced.
        on_warning: Called with a sentence for each thing that the pictures cannot hold: before the work, or
            afterwards for metadata that the first picture of the source does not have.
        on_end: Called with the report when all pictures have their names, before the work folder is removed.

    Raises:
        VsrError: See `vsr.errors`; the message is one line.
    """
    files = files_behind(source)
    info = _checked(source, target, chosen)
    if not kept_note(source, target, chosen, info).get(MADE):
        _check_names(files, target, overwrite=overwrite)
    notes = left_out_of_pictures(source, target, info)
    target.parent.mkdir(parents=True, exist_ok=True)
    make = partial(write_pictures, files=files, target=target, tags=_tags(files, info), overwrite=overwrite)
    kind, told = TARGETS[target.suffix.lower()], _lost(source, target, info)
    with through_video(
        source, target, chosen, work, make, info=info, kind=kind, notes=notes, on_warning=on_warning
    ) as (report, written):
        late = left_out(phrase for phrase in written.left_out if phrase not in told)
        for note in [*late, *_older(target, written.end)]:
            report.warnings.append(note)
            on_warning(note)
        report.bytes_out = written.bytes
        if report.verification is not None:
            report.verification["bytes"] = written.bytes
        report.target_file = file_facts(target, None) | {"bytes": report.bytes_out}
        on_end(report)
        return report


def check_pictures(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> VideoInfo:
    """Check, before the work, what can be wrong, and return the facts of the source.

    Raises:
        ConfigError: the pattern's suffix is none of pictures, a picture of such a name exists, or only a part
            of the video is wanted.
        VsrError: the source cannot be read.
    """
    info = _checked(source, target, chosen)
    _check_names(files_behind(source), target, overwrite=overwrite)
    return info


def _checked(source: Path, target: Path, chosen: ChosenSettings) -> VideoInfo:
    if chosen.settings.start is not None or chosen.settings.end is not None:
        raise ConfigError("numbered pictures are written of the whole video; leave out `start` and `end`")
    if target.suffix.lower() not in TARGETS:
        known = ", ".join(TARGETS)
        raise ConfigError(f"{shown(target)}: numbered pictures are written as {known}")
    return probe(source, max_pixels=chosen.settings.max_pixels or MAX_PIXELS)


def _check_names(files: Sequence[Path], target: Path, *, overwrite: bool) -> None:
    first = numbered(target, first_number(files))
    if target.parent.is_dir():
        try:
            names.check(first)
        except OSError as error:
            raise ConfigError(
                f"{shown(target.name)[:40]}...: its pictures cannot have such names ({error.strerror});"
                " choose another one"
            ) from error
    taken = _taken(target, first_number(files))
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise ConfigError(
            f"{shown(taken[0])}{more}: exists already; `overwrite=True` replaces pictures of the same number"
        )


def _taken(target: Path, first: int) -> list[Path]:
    """Return the existing pictures of this pattern from a number on."""
    return [numbered(target, number) for number in numbers_in(target) if number >= first]


def left_out_of_pictures(source: Path, target: Path, info: VideoInfo) -> list[str]:
    """Return a sentence for each thing that the pictures cannot hold, as far as known before the work."""
    said = left_out(_lost(source, target, info))
    if files_behind(source):
        return said
    times = "numbered pictures have no times; `vsr info` shows the frame rate of the source"
    return [times, *streams_left_out(source, target), *said]


def _lost(source: Path, target: Path, info: VideoInfo) -> list[str]:
    """Return phrases for the samples that the format cannot store, and for metadata of the first picture."""
    seen, kind, files = without_unused_alpha(info), TARGETS[target.suffix.lower()], files_behind(source)
    plan = plan_for(kind, seen.layout, seen.color, lossless=True)
    metadata = _metadata(files[0]) if files else Metadata()
    return [*plan.notes, *kept(metadata, kind, _tags(files, info), width=1, height=1).left_out]


def _tags(files: Sequence[Path], info: VideoInfo) -> ColorSpec:
    """Return the tags of colours that pictures must describe: a video's; pictures have a description."""
    return UNTAGGED if files else info.tagged


def _older(target: Path, end: int) -> list[str]:
    """Return a sentence about pictures that lie behind the last one and are of another video."""
    others = _taken(target, end)
    if not others:
        return []
    more = f" and {len(others) - 1} more are" if len(others) > 1 else " is"
    return [f"{shown(others[0])}{more} of an earlier video; remove what does not belong to this one"]


@dataclass(frozen=True, slots=True)
class Written:
    """Pictures that are complete."""

    bytes: int
    end: int
    """The number after that of the last one."""
    left_out: tuple[str, ...]
    """A phrase for each kind of metadata that some of them do not have."""
    hashes: tuple[str, ...]
    """Of the content of each one, in order."""


def write_pictures(
    video: Path,
    folder: WorkFolder | None,
    *,
    files: Sequence[Path],
    target: Path,
    tags: ColorSpec,
    overwrite: bool,
) -> Written:
    """Write the frames of the lossless video as pictures.

    They get their names when all of them are complete, which a note in the work folder then says: if the
    process is killed in between, the next run gives the others their names.

    Args:
        video: The lossless video.
        folder: Its work folder; None if there is none.
        files: The pictures of the source, if it is of pictures; theirs are the numbers and the metadata.
        target: The pattern of the names.
        tags: The colours that the pictures have to describe.
        overwrite: Whether existing pictures are replaced.

    Raises:
        OutputError: the disk refuses, or a name was taken meanwhile.
    """
    waiting = target.parent / f"{video.name}.pictures" if folder is None else folder.waiting
    note = {} if folder is None else folder.noted()
    try:
        written = _written_before(note)
        if written is None:
            shutil.rmtree(waiting, ignore_errors=True)
            waiting.mkdir()
            written = _write(waiting, _pictures(video, files, target, tags), target, first_number(files))
            if folder is not None:
                folder.note({**note, MADE: asdict(written)})
        with last_step():
            _give_names(waiting, target, written, overwrite=overwrite)
    except OSError as error:
        raise OutputError(
            f"{shown(target)}: cannot be written ({error.strerror or error}). Make room, and run it again"
        ) from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return written


def _written_before(note: Mapping[str, Any]) -> Written | None:
    """Return the pictures that a killed run has completed; None if it has not, or if there was none."""
    with suppress(KeyError, TypeError):
        found = Written(**note[MADE])
        return replace(found, left_out=tuple(found.left_out), hashes=tuple(found.hashes))
    return None


def _write(
    waiting: Path, pictures: Iterable[tuple[bytes, tuple[str, ...]]], target: Path, first: int
) -> Written:
    hashes, total, gone = [], 0, dict[str, None]()
    for number, (data, lost) in enumerate(pictures, first):
        with new_file(numbered(waiting / target.name, number)) as file:
            file.write(data)
        hashes.append(hashlib.sha256(data).hexdigest()[:16])
        total += len(data)
        gone |= dict.fromkeys(lost)
    return Written(total, first + len(hashes), tuple(gone), tuple(hashes))


def _give_names(waiting: Path, target: Path, written: Written, *, overwrite: bool) -> None:
    """Rename all pictures, except those that a killed run has renamed.

    Raises:
        OutputError: a name was taken meanwhile, or a picture has another content than it had.
        OSError: the disk refuses.
    """
    for number, digest in enumerate(written.hashes, written.end - len(written.hashes)):
        place, name = numbered(waiting / target.name, number), numbered(target, number)
        if place.exists() and name.exists() and place.samefile(name):
            place.unlink()  # a file system without renaming of this kind, where the kill came after the link
        elif place.exists():
            put_in_place(place, name, overwrite=overwrite)
        elif not name.exists() or hashlib.sha256(name.read_bytes()).hexdigest()[:16] != digest:
            raise OutputError(
                f"{shown(name)}: is not the picture that an earlier run made; run it again with"
                " `overwrite=True`"
            )


def _pictures(
    video: Path, files: Sequence[Path], target: Path, tags: ColorSpec
) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Yield each picture, and phrases for the metadata that it cannot hold."""
    kind = TARGETS[target.suffix.lower()]
    with open_video(video, max_pixels=ANY_SIZE) as frames:
        for number, frame in enumerate(frames.frames()):
            metadata = _metadata(files[number]) if number < len(files) else Metadata()
            yield _picture(frame, kind, metadata, tags)


def _metadata(path: Path) -> Metadata:
    try:
        return open_picture(path, max_pixels=ANY_SIZE).metadata
    except InputError:  # the damage was counted when the frame was decoded
        return Metadata()


def _picture(
    frame: YuvFrame, kind: Kind, metadata: Metadata, tags: ColorSpec
) -> tuple[bytes, tuple[str, ...]]:
    plan = plan_for(kind, frame.layout, frame.color, lossless=True)
    image = frame.to_rgb().image
    alpha = None if frame.alpha is None else alpha_to_float(frame.alpha, frame.layout)
    if alpha is not None and not plan.layout.alpha:
        image, alpha = image * alpha + (1 - alpha), None
    orientation = orientation_of(metadata.exif)
    image = turned(image, orientation)
    made = YuvFrame(
        planes=to_planes(image, plan.color, plan.layout),
        alpha=None if alpha is None else alpha_to_plane(turned(alpha, orientation), plan.layout),
        layout=plan.layout,
        color=plan.color,
        stamp=frame.stamp,
    )
    height, width = image.shape[1:]
    keeps = kept(metadata, kind, tags, width=width, height=height)
    return encoded(made, plan, keeps.metadata), keeps.left_out
