"""Finds inputs and outputs in the arguments of `vsr upscale`: INPUT and OUTPUT, or many inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import ConfigError
from vsr.media.files.output_path import has_work_folder
from vsr.media.files.stdio import is_pipe
from vsr.media.remote.places import name_of
from vsr.pipeline.queue.inputs import exists, inputs_of, is_file, is_many
from vsr.pipeline.queue.names import PATTERN, targets_of
from vsr.settings.schema import UpscaleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """The options for many files."""

    folder: Path | None
    """Folder of the results; None puts each result beside its input."""
    pattern: str | None
    """Pattern for the names of the results; None means `names.PATTERN`."""
    recursive: bool
    """Whether to search subfolders, too."""
    is_list: bool
    """Whether the inputs come from a list (--files-from)."""
    overwrite: bool = False
    """Whether existing results are replaced."""

    def is_queue(self, words: Sequence[Path]) -> bool:
        """Return whether all arguments are inputs of a queue, instead of one input and its output."""
        return self.folder is not None or self.is_list or any(is_many(word) for word in words)


def work_list(
    words: Sequence[Path], settings: UpscaleSettings, many: Many, say: Callable[[str], None]
) -> list[tuple[Path, Path]]:
    """Return the inputs with the paths of their results.

    Two arguments are an input and its output, unless an option names the results. One argument is an input
    whose result is written beside it.

    Args:
        words: The arguments.
        settings: Settings of the run, for the names of the results.
        many: The options for many files.
        say: Called with a sentence for results of earlier runs that are left out.

    Raises:
        ConfigError: there is no argument, a pipe among many files, an argument that leads to no file, or two
            results with the same path.
    """
    if not words:
        raise ConfigError("INPUT is missing; for example: vsr upscale in.mp4 out.mp4")
    named = many.folder is not None or many.is_list or many.pattern is not None
    if len(words) == 2 and not named:
        _check_spaces(words)
        _check_two_videos(words[0], words[1], many)
        return [(words[0], words[1])]
    _check_words(words, many)
    rate = settings.frame_rate
    inputs = inputs_of(words, recursive=many.recursive, leave_out=many.folder, rate=rate, say=say)
    targets = targets_of(inputs, settings, folder=many.folder, pattern=many.pattern or PATTERN)
    return [(one.path, target) for one, target in zip(inputs, targets, strict=True)]


def _check_two_videos(first: Path, second: Path, many: Many) -> None:
    """Explain what to do with two inputs, which `*.mkv` gives in a folder of two videos."""
    if many.overwrite or not (is_file(first) and is_file(second)) or first.samefile(second):
        return
    if has_work_folder(second):  # a run that was killed when its result had its name
        return
    if first.suffix.lower() == second.suffix.lower():
        raise ConfigError(
            f"{second}: exists already; `overwrite=True` replaces it. If both are inputs, name a folder for"
            " the results with --to"
        )


def _check_words(words: Sequence[Path], many: Many) -> None:
    if any(is_pipe(word) for word in words):
        raise ConfigError("- is a pipe; a pipe requires exactly one INPUT and one OUTPUT")
    _check_spaces(words)
    if len(words) > 2 and many.folder is None and not many.is_list and not exists(words[-1]):
        raise ConfigError(
            f"{name_of(words[-1])}: does not exist, and {len(words) - 1} inputs cannot have one OUTPUT;"
            " name a folder for the results with --to"
        )


def _check_spaces(words: Sequence[Path]) -> None:
    together = _with_spaces(words)
    if together is not None:
        raise ConfigError(
            f"{name_of(words[0])}: does not exist, but {str(together)!r} does; put the name in quotes"
        )


def _with_spaces(words: Sequence[Path]) -> Path | None:
    """Return the existing file whose name the shell has split at spaces, or None."""
    for first in range(len(words)):
        for last in range(first + 2, len(words) + 1):
            whole = Path(" ".join(str(word) for word in words[first:last]))
            if not exists(words[first]) and exists(whole):
                return whole
    return None
