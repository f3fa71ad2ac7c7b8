"""`vsr upscale`: the flags that are no settings, and the checks before the work begins.

The flags of settings come from `vsr/settings/schema.py`.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr.cli import console
from vsr.cli.flags import common_flags, setting_flags, urls
from vsr.cli.flags.run_options import RunOptions, progress_kind
from vsr.cli.records import events
from vsr.cli.shown_previews import check_previews
from vsr.cli.shown_queue import run_queue_shown
from vsr.cli.shown_run import check_before_torch, run_shown
from vsr.cli.wording import in_flags
from vsr.cli.work_list import Many, work_list
from vsr.errors import ConfigError
from vsr.media.files.stdio import is_pipe, place_of
from vsr.media.pictures.kinds import becomes_animation, becomes_picture
from vsr.media.pictures.sequence import as_sequence, is_pattern
from vsr.media.remote.places import name_of, remote_of
from vsr.pipeline.job.chosen_settings import ChosenSettings, choose_settings
from vsr.pipeline.queue.inputs import listed, text_of
from vsr.reading import read_file
from vsr.writing import check_writable, leads_to

if TYPE_CHECKING:
    from vsr.pipeline.job.report import Report

_MANY = "Many files"
MOST_BYTES = 2**26
"""Largest size of a list of inputs in bytes: a million long names."""


@setting_flags.added(after="pipeline")
def upscale(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT... OUTPUT",
            help="Files; folders with --to; - is a pipe.",
            parser=place_of,
            show_default=False,
        ),
    ] = None,
    *,
    pipeline: Annotated[str | None, common_flags.PIPELINE] = None,
    size: Annotated[str | None, common_flags.SIZE] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Folder for the results of many files.", parser=place_of),
    ] = None,
    overwrite: Annotated[bool, common_flags.OVERWRITE] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar=" ", help="Measure a few frames and print the plan.")
    ] = False,
    preview_every: Annotated[
        int | None,
        typer.Option("--preview-every", metavar="FRAMES", help="Write a picture of before and after."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="PATTERN",
            help="Names of results: {stem}-{size}{suffix}.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("--recursive", "-r", metavar=" ", help="Search subfolders, too.", rich_help_panel=_MANY),
    ] = False,
    files_from: Annotated[
        Path | None,
        typer.Option(
            "--files-from", metavar="FILE", help="A list of inputs; - for stdin.", rich_help_panel=_MANY
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            metavar=" ",
            help="Skip existing results of other settings.",
            rich_help_panel=_MANY,
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            parser=place_of,
            help="Write a log as JSON; - for stdout.",
            rich_help_panel="Run",
        ),
    ] = None,
    progress: Annotated[
        str,
        typer.Option(
            "--progress",
            metavar="KIND",
            help="auto, plain, none, json.",
            show_default=False,
            rich_help_panel="Run",
        ),
    ] = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar=" ", help="Print errors only.", rich_help_panel="Run")
    ] = False,
    allow_network: Annotated[bool, urls.ALLOW_NETWORK] = False,
    work_folder: Annotated[Path | None, urls.WORK_FOLDER] = None,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="MINUTES",
            help="Limit without progress; default 30.",
            show_default=False,
            rich_help_panel="Run",
        ),
    ] = 30.0,
    **flags: Any,
) -> None:
    """Upscale videos and images; everything else in a file is kept.

    \b
    vsr upscale in.mp4 out.mp4          # or photo.jpg out.png
    vsr upscale dvd.mkv out.mkv --pipeline dvd --height 1080
    vsr upscale rips/ --to upscaled/
    """
    if quiet:
        console.configure(debug=console.debugging(), quiet=True)
    if not patience >= 0:
        raise ConfigError(f"--patience {patience:g} is out of range; use minutes, or 0 to wait forever")
    if preview_every is not None and preview_every < 1:
        raise ConfigError(f"--preview-every {preview_every} is out of range; use 1 frame or more")
    chosen = _chosen(pipeline, size, flags)
    options = RunOptions(
        overwrite=overwrite,
        quiet=quiet,
        patience=patience,
        report=report,
        preview_every=preview_every,
        progress=progress_kind(progress, quiet=quiet),
    )
    words = [*(paths or []), *_listed(files_from)]
    named = [*words, *([] if to is None else [to])]
    urls.permit_urls(named, allow_network=allow_network, work_folder=work_folder)
    if len(words) == 2 and to is None and name is None and files_from is None:
        words[0] = _as_video(words[0], words[1], chosen)
    many = Many(
        folder=to, pattern=name, recursive=recursive, is_list=files_from is not None, overwrite=overwrite
    )
    pairs = work_list(words, chosen.settings, many, console.say)
    for pair in pairs:
        urls.permit_urls(pair, allow_network=allow_network, work_folder=work_folder)
    if len(pairs) == 1 and not many.is_queue(words):
        if len(words) == 1 and not overwrite and not dry_run:
            _end_if_finished(*pairs[0], chosen)
        _one(*pairs[0], chosen, options, dry_run=dry_run)
        return
    if dry_run:
        for source, target in pairs:
            console.out(f"{name_of(source)} -> {name_of(target)}")
        return
    code = run_queue_shown(pairs, chosen, options, skip_existing=skip_existing)
    if code:
        raise typer.Exit(code)


def _chosen(pipeline: str | None, size: str | None, flags: dict[str, Any]) -> ChosenSettings:
    overrides = common_flags.with_size(setting_flags.values(flags), size)
    return choose_settings(pipeline, None, overrides, where="vsr upscale", origin="flag")


def _as_video(source: Path, target: Path, chosen: ChosenSettings) -> Path:
    """Return the path that stands for a video of numbered pictures, without results of earlier runs."""

    def results(files: list[Path]) -> set[Path]:
        from vsr.pipeline.queue.record import results_among  # imported late, with PyAV

        found = results_among(files)
        if found:
            console.say(f"{name_of(source)}: {len(found)} results of earlier runs are left out")
        return found

    return as_sequence(source, target, chosen.settings.frame_rate, results=results)


def _listed(file: Path | None) -> list[Path]:
    """Return the inputs that a file or standard input lists."""
    if file is None:
        return []
    try:
        is_stdin = str(file) == "-"
        data = sys.stdin.buffer.read(MOST_BYTES) if is_stdin else read_file(file, most_bytes=MOST_BYTES)
    except OSError as error:
        raise ConfigError(
            f"--files-from {file}: cannot be read ({error.strerror or error}); give a text file"
        ) from error
    found = listed(text_of(data))
    if not found:
        raise ConfigError(f"--files-from {file}: contains no names; write one input on each line")
    return found


def _one(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    options: RunOptions,
    *,
    dry_run: bool,
) -> None:
    code = None if dry_run else _end_of_killed(source, target, chosen, options)
    if code is None and options.report is not None:
        _check_report(options.report, source, target, dry_run=dry_run, overwrite=options.overwrite)
    if dry_run:
        _print_plan(source, target, chosen, options)
        return
    if code is None:
        end = partial(_end, source, target, chosen, options)
        code = run_shown(source, target, chosen, options, on_end=end).exit_code
    if code:
        raise typer.Exit(code)


def _end(source: Path, target: Path, chosen: ChosenSettings, options: RunOptions, done: Report) -> None:
    """Write down everywhere what is known of a result that has its name."""
    from vsr.pipeline.queue.record import note_made

    note_made(source, target, chosen.settings, exit_code=done.exit_code, frames=done.frames_out)
    _write_report(done.as_dict(), options.report)


def _write_report(report: dict[str, Any], place: Path | None) -> None:
    """Write a report into the file or the stream that is named for it, and into the events, if any."""
    from vsr.pipeline.job.report import as_json, write_report

    if console.is_diverted():
        events.result(report=report)
    if place is not None and is_pipe(place):
        for line in as_json(report, ascii_only=True).splitlines():
            console.data(line)
    elif place is not None:
        write_report(report, place)


def _end_of_killed(source: Path, target: Path, chosen: ChosenSettings, options: RunOptions) -> int | None:
    """Do what a killed run of the same job has left undone when its result was complete.

    Returns:
        The exit code of that run; None if the result must be made.
    """
    if remote_of(target) is None and not os.path.lexists(target):
        return None
    if is_pattern(target) or becomes_animation(source, target):
        return None  # their run continues where the killed one was
    from vsr.pipeline.job.completed import completed

    with completed(source, target, chosen, overwrite=options.overwrite) as found:
        if found is None:
            return None
        console.say(f"{name_of(target)}: already finished, by a run that was killed at its end")
        place = options.report
        if place is not None and _is_written(found.report, place):
            place = None
        elif place is not None:
            _check_report(place, source, target, dry_run=False, overwrite=options.overwrite)
        _write_report(found.report, place)
        return found.exit_code


def _is_written(report: dict[str, Any], place: Path) -> bool:
    """Return whether a file is the report of the same run."""
    try:
        found = {} if is_pipe(place) else json.loads(read_file(place, most_bytes=MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    names = ("started", "source", "target")
    return isinstance(found, dict) and all(found.get(name, "") == report.get(name) for name in names)


def _end_if_finished(source: Path, target: Path, chosen: ChosenSettings) -> None:
    """End the command if the result beside the input is the one that it would make again.

    Raises:
        typer.Exit: with the exit code of the run that made it.
    """
    from vsr.media.files.output_path import is_taken
    from vsr.pipeline.job.settings_digest import settings_digest
    from vsr.pipeline.queue.record import finished

    found = finished(source, target, settings_digest(chosen.settings)) if is_taken(target) else None
    if found is None:
        return
    console.say(f"{name_of(target)}: already finished; `overwrite=True` makes it again")
    if console.is_diverted():
        statuses = {"done": 0, "damaged": 0, "skipped": 1, "failed": 0, "not tried": 0}
        events.result(files={"count": 1} | statuses)
    raise typer.Exit(found.exit_code)


def _check_report(report: Path, source: Path, target: Path, *, dry_run: bool, overwrite: bool) -> None:
    """Check the report's path before the work: it must not replace a video, and must be writable."""
    if dry_run:
        raise ConfigError("--dry-run writes no --report; leave one of them out")
    if is_pipe(target) and (is_pipe(report) or leads_to(report, 1)):
        raise ConfigError(f"--report {report}: the video goes there; name a file")
    if is_pipe(report):
        return
    try:
        taken = report.resolve() in (source.resolve(), target.resolve())
    except (OSError, RuntimeError) as error:  # a name that is too long, a loop of links
        raise ConfigError(f"--report {report}: cannot be a file ({error}); name another file") from error
    if taken:
        raise ConfigError(f"--report {report}: is the input or the output; name another file")
    check_writable(report, what="--report", overwrite=overwrite)


def _print_plan(source: Path, target: Path, chosen: ChosenSettings, options: RunOptions) -> None:
    """Print what a run would do, or end with the error that ends the run before its work."""
    overwrite = options.overwrite
    from_video = is_pattern(target) or becomes_animation(source, target)
    if not from_video:
        check_before_torch(source, target, chosen, overwrite=overwrite)
    check_previews(source, target, chosen, options)
    from vsr.pipeline.estimate.dry_run import dry_run, picture_lines, pictures_lines

    if from_video:
        lines = pictures_lines(source, target, chosen, overwrite=overwrite)
    elif becomes_picture(source, target):
        lines = picture_lines(source, target, chosen, overwrite=overwrite)
    else:
        lines = dry_run(source, target, chosen, overwrite=overwrite).lines()
    for line in lines:
        console.out(in_flags(line))
