"""`vsr upscale`: the flags, and what a person sees before, during and after."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vsr.cli import console, parse, signals
from vsr.config import Backend, Deinterlace, Hwaccel, PipeFormat, Precision, UpscaleSettings
from vsr.errors import ConfigError
from vsr.media.files.stdio import is_pipe, place_of
from vsr.pipeline.overrides import with_wishes
from vsr.pipeline.presets import read_pipeline
from vsr.writing import check_writable, leads_to

if TYPE_CHECKING:
    from vsr.pipeline.job.job import Job
    from vsr.pipeline.job.report import Report

_PICTURE, _ENCODER, _SOURCE, _ENGINE, _RUN = "Picture", "Encoder", "Source", "Engine", "Run"


def upscale(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Video file to upscale, or - for a pipe.", parser=place_of)
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="Its suffix chooses the container; - is a pipe.", parser=place_of
        ),
    ],
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline",
            "-p",
            help="anime, film, dvd, phone, screencast, archive, or a .toml file; flags override it.",
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Name (`vsr models list`) or weight file.",
            show_default="auto",
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option("--scale", "-s", help="2, 3, 4, 1.5, ...", rich_help_panel=_PICTURE)
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", help="WIDTHxHEIGHT as shown.", rich_help_panel=_PICTURE)
    ] = None,
    height: Annotated[
        int | None,
        typer.Option("--height", help="Height as shown; keeps proportions.", rich_help_panel=_PICTURE),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option("--strength", min=0, max=1, help="0 faithful to 1 crisp.", rich_help_panel=_PICTURE),
    ] = None,
    partner: Annotated[
        str | None,
        typer.Option("--partner", help="The faithful end, for your own --model.", rich_help_panel=_PICTURE),
    ] = None,
    filter_before: Annotated[
        list[str] | None,
        typer.Option(
            "--filter-before",
            metavar="NAME=ARGS",
            help="FFmpeg's filter for INPUT; may be repeated; none: no filter.",
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    filter_after: Annotated[
        list[str] | None,
        typer.Option(
            "--filter-after",
            metavar="NAME=ARGS",
            help="The same for the result.",
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="libx264, libx265, libsvtav1, ffv1, ...", rich_help_panel=_ENCODER),
    ] = None,
    crf: Annotated[
        float | None, typer.Option("--crf", help="Quality; lower is better.", rich_help_panel=_ENCODER)
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Speed against size.", rich_help_panel=_ENCODER)
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder-option", metavar="KEY=VALUE", help="May be repeated.", rich_help_panel=_ENCODER
        ),
    ] = None,
    allow_files: Annotated[
        bool | None,
        typer.Option(
            "--allow-files",
            help="Let encoder options, a pipeline's too, name files.",
            rich_help_panel=_ENCODER,
        ),
    ] = None,
    pixel_format: Annotated[
        str | None,
        typer.Option(
            "--pix-fmt", help="FFmpeg's name; default keeps the source's.", rich_help_panel=_ENCODER
        ),
    ] = None,
    pipe_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="Of standard output: y4m or nut; default as it came.", rich_help_panel=_ENCODER
        ),
    ] = None,
    video_stream: Annotated[
        int | None,
        typer.Option("--video-stream", help="Index among all streams.", rich_help_panel=_SOURCE),
    ] = None,
    color: Annotated[
        list[str] | None,
        typer.Option(
            "--color",
            metavar="TAG=NAME",
            help="What INPUT is, as matrix=bt709 or range=full.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    deinterlace: Annotated[
        str | None,
        typer.Option(
            "--deinterlace",
            help="auto, off, top-first or bottom-first.",
            show_default="auto",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="Seconds or h:mm:ss.", rich_help_panel=_SOURCE)
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="Seconds or h:mm:ss.", rich_help_panel=_SOURCE)
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option("--max-pixels", min=1, help=parse.MAX_PIXELS, rich_help_panel=_SOURCE),
    ] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="Stop at the first damage.", rich_help_panel=_SOURCE)
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="auto, cpu, cuda, cuda:N.", show_default="auto", rich_help_panel=_ENGINE
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="auto, torch, winograd, openvino, amx, cuda.",
            show_default="auto",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    hwaccel: Annotated[
        str | None,
        typer.Option(
            "--hwaccel",
            help="Who decodes: none is software; auto, cuda: a card.",
            show_default="none",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision", help="auto, fp32, bf16, fp16, int8.", show_default="auto", rich_help_panel=_ENGINE
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile", min=0, help="Side in input pixels; 0 is the whole frame.", rich_help_panel=_ENGINE
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Frames at once.", rich_help_panel=_ENGINE)
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option(
            "--reuse/--no-reuse",
            help="Compute what repeats once.",
            show_default="reuse",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="Keep parts of a run that is cut off.",
            show_default="resume",
            rich_help_panel=_RUN,
        ),
    ] = None,
    restart: Annotated[
        bool | None,
        typer.Option("--restart", help="Begin anew what was cut off.", rich_help_panel=_RUN),
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(
            "--segment", help="Seconds of a part that is kept.", show_default="10", rich_help_panel=_RUN
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(
            "--patience", min=0, help="Minutes without a frame that end it; 0: none.", rich_help_panel=_RUN
        ),
    ] = 30.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace existing files.", rich_help_panel=_RUN)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a few frames and print the plan.", rich_help_panel=_RUN)
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write what was done as JSON.", rich_help_panel=_RUN)
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors, on stderr.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Upscale a video; audio, subtitles, chapters, timestamps and colour come along unchanged."""
    console.configure(debug=console.debugging(), quiet=quiet)
    wide, tall = parse.size(size) if size is not None else (None, height)
    wishes = {
        "model": model,
        "scale": None if scale is None else parse.scale(scale),
        "width": wide,
        "height": parse.agree(tall, height),
        "strength": strength,
        "partner": partner,
        "device": device,
        "backend": _one_of(backend, Backend, option="--backend"),
        "hwaccel": _one_of(hwaccel, Hwaccel, option="--hwaccel"),
        "precision": _one_of(precision, Precision, option="--precision"),
        "tile": tile,
        "batch": batch,
        "reuse": reuse,
        "encoder": encoder,
        "crf": crf,
        "preset": preset,
        "options": dict(parse.pairs(encoder_option or [])) or None,
        "allow_files": allow_files,
        "pixel_format": pixel_format,
        "format": _one_of(pipe_format, PipeFormat, option="--format"),
        "filters_before": _filters(filter_before),
        "filters_after": _filters(filter_after),
        "color": dict(parse.pairs(color or [], option="--color", example="range=full")) or None,
        "deinterlace": _one_of(deinterlace, Deinterlace, option="--deinterlace"),
        "start": None if start is None else parse.seconds(start, option="--start"),
        "end": None if end is None else parse.seconds(end, option="--end"),
        "video_stream": video_stream,
        "max_pixels": max_pixels,
        "strict": strict,
        "resume": resume,
        "restart": restart,
        "segment_seconds": None if segment is None else parse.seconds(segment, option="--segment"),
    }
    base = UpscaleSettings() if pipeline is None else read_pipeline(pipeline)
    settings = with_wishes(base, wishes, where="vsr upscale")
    if report is not None:
        _check_report(report, source, target, dry_run=dry_run, overwrite=overwrite)
    if dry_run:
        _plan(source, target, settings, overwrite=overwrite)
        return
    done = run_shown(source, target, settings, overwrite=overwrite, quiet=quiet, patience=patience)
    if report is not None:
        done.write(report)
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _filters(words: list[str] | None) -> list[str] | None:
    """`none` takes away what a pipeline has."""
    return [] if words == ["none"] else words or None


def _one_of(word: str | None, kind: object, *, option: str) -> str | None:
    """`word` if it is one of those of `kind`, a `Literal` of `vsr.config`."""
    return None if word is None else parse.one_of(word, get_args(kind), option=option)


def _check_report(report: Path, source: Path, target: Path, *, dry_run: bool, overwrite: bool) -> None:
    """Before any work: a report may neither destroy a file nor fail after a day."""
    if dry_run:
        raise ConfigError("--dry-run writes no --report; leave one of them out")
    if is_pipe(target) and leads_to(report, 1):
        raise ConfigError(f"--report {report}: the video goes there; name a file")
    try:
        taken = report.resolve() in (source.resolve(), target.resolve())
    except (OSError, RuntimeError) as error:  # a name that is too long, a loop of links
        raise ConfigError(f"--report {report}: cannot be a file ({error}); name another file") from error
    if taken:
        raise ConfigError(f"--report {report}: is the input or the output; name another file")
    check_writable(report, what="--report", overwrite=overwrite)


def run_shown(
    source: Path,
    target: Path,
    settings: UpscaleSettings,
    *,
    overwrite: bool,
    quiet: bool,
    patience: float = 30.0,
) -> Report:
    from vsr.cli.progress import progress_line
    from vsr.cli.watchdog import watchdog
    from vsr.media.decode.probe import probe
    from vsr.media.files.opening import MAX_PIXELS
    from vsr.media.files.output_path import check_target
    from vsr.media.files.stdio import settle_delay

    with ExitStack() as stack:
        dog = stack.enter_context(watchdog(patience))
        with dog.files_only():
            settle_delay(source, target, settings.format)
            # Before torch is imported, which takes seconds: most mistakes are in these two words.
            probe(source, video_stream=settings.video_stream, max_pixels=settings.max_pixels or MAX_PIXELS)
            if not is_pipe(target):
                check_target(target, source, overwrite=overwrite)
            signals.whatever_runs()
            from vsr.pipeline.run import compute, finish, prepare

            job = stack.enter_context(prepare(source, target, settings, overwrite=overwrite))
        told = [] if quiet else _before(job.report)
        with _kept_parts(job):
            job.alive = dog.alive
            with progress_line(quiet=quiet) as show:
                meter = compute(job, show)
            with dog.files_only():
                finish(job, meter)
        _after(job.report, told, quiet=quiet)
        return job.report


@contextmanager
def _kept_parts(job: Job) -> Generator[None, None, None]:
    """When a run ends early, say what it leaves."""
    try:
        yield
    except BaseException as error:
        kept = job.kept_frames()
        if isinstance(error, signals.Stopped):
            error.left = _left(kept) if kept else error.left
        elif kept:
            console.say(_left(kept))
        raise


def _left(kept: int) -> str:
    return f"{kept} finished frames are kept; the same command goes on from there"


def _before(report: Report) -> list[str]:
    info, engine = report.info, report.engine
    console.say(
        f"{report.source} {info.width}x{info.height} {info.pixel_format}{report.decoded} -> {report.target}"
        f" {report.width}x{report.height} {report.encoder['pixel_format']},"
        f" {_model(report)} on {engine['device']} in {engine['precision']}{_by(engine['backend'])}"
    )
    if report.frames_kept:
        console.say(f"going on: {report.frames_kept} frames were made before")
    for line in report.warnings:
        console.warn(line)
    return list(report.warnings)


def _by(backend: str) -> str:
    return "" if backend == "torch" else f" by {backend}"


def _model(report: Report) -> str:
    """Name, why it was chosen, and enough of the sha256 to tell one file from another."""
    sha256, chosen = report.model["sha256"], report.model["chosen"]
    facts = [f"auto: {chosen}"] if chosen else []
    facts += [f"sha256 {sha256[:12]}..."] if sha256 else []
    return f"{report.model['name']} ({'; '.join(facts)})" if facts else str(report.model["name"])


def _after(report: Report, told: list[str], *, quiet: bool) -> None:
    for line in report.damage.notes:  # no summary, but the reason of an exit code that is not 0
        console.warn(line)
    if quiet:
        return
    for line in report.warnings:
        if line not in told:
            console.warn(line)
    repeated = report.engine["repeated"]
    words = f"{report.frames_out} frames in {report.seconds:.1f} s, {report.fps:.2f} fps"
    words += f", {repeated} of them repeats" if repeated else ""
    console.say(f"{report.target}: {words}; the {report.bottleneck} stage was the bottleneck")


def _plan(source: Path, target: Path, settings: UpscaleSettings, *, overwrite: bool) -> None:
    from vsr.pipeline.dryrun import dry_run

    for line in dry_run(source, target, settings, overwrite=overwrite).lines():
        console.out(line)
