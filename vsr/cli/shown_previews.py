"""Pictures of before and after beside the result of `vsr upscale`, while it works (`--preview-every`)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli import console
from vsr.cli.flags.run_options import PREVIEW, RunOptions
from vsr.errors import ConfigError
from vsr.media.files.stdio import is_pipe
from vsr.media.remote.places import name_of, remote_of
from vsr.writing import check_writable

if TYPE_CHECKING:
    from vsr.pipeline.job.chosen_settings import ChosenSettings
    from vsr.pipeline.job.job import Job


def check_previews(source: Path, target: Path, chosen: ChosenSettings, options: RunOptions) -> None:
    """Check that pictures of before and after can be written, if they are asked for.

    Raises:
        ConfigError: there would be none, or no place for them.
    """
    if options.preview_every is None:
        return
    from vsr.engine.device_list import split
    from vsr.media.pictures.kinds import becomes_picture
    from vsr.pipeline.crew.hosts import LOCAL

    if becomes_picture(source, target):
        raise ConfigError(f"--preview-every: {name_of(source)} is a picture; leave it out, it is for videos")
    if options.preview is None and (is_pipe(target) or remote_of(target) is not None):
        raise ConfigError("--preview-every writes beside the result, which must be a local file; name one")
    if chosen.settings.on != LOCAL or len(split(chosen.settings.device)) > 1:
        raise ConfigError("--preview-every needs a run on one device; leave it out, or name one --device")
    path = options.preview or preview_of(target)
    if path.parent.is_dir():  # that of numbered pictures is made later
        check_writable(path, what="--preview-every", overwrite=True)


def preview_of(target: Path) -> Path:
    """Return the path of the pictures of before and after."""
    from vsr.media.pictures.sequence import is_pattern

    return target.parent / PREVIEW[1:] if is_pattern(target) else target.with_name(target.name + PREVIEW)


def previews_of(options: RunOptions, job: Job, target: Path) -> AbstractContextManager[object]:
    """Write pictures of before and after beside the result, if they are asked for, and say where."""
    if options.preview_every is None:
        return nullcontext()
    from vsr.pipeline.flow.previews import previewed

    path = options.preview or preview_of(target)
    if not options.quiet:
        which = f"one frame of every {options.preview_every}"
        console.say(f"{name_of(path)} shows {which}, before at the left and after at the right")
    return _noted(job, path, previewed(job, path, every=options.preview_every))


@contextmanager
def _noted(job: Job, path: Path, previews: AbstractContextManager[object]) -> Generator[None, None, None]:
    """Record the picture of before and after, so that no later queue takes it for an input."""
    from vsr.pipeline.queue.record import note_made

    try:
        with previews:
            yield
    finally:
        note_made(Path(job.source.info.path), path)
