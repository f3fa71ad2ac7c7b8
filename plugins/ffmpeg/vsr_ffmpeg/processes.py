"""Runs the commands of a graph as processes that end together, and reports which of them failed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from ffmpeg.nodes import Stream

import vsr
from vsr_ffmpeg.binary import chosen, is_new_enough, too_old
from vsr_ffmpeg.cut import Commands, compile

_DONE = (0, 10)
"""Exit codes of vsr after which all frames were written; 10 is a damaged input."""
_READER_GONE = 141
_LINES = 4
_ADDRESS = re.compile(r"\[[^]]* @ 0x[0-9a-f]+\] ")
"""Prefix of ffmpeg's log lines."""


def run(
    stream: Stream,
    cmd: str | Sequence[str] | None = None,
    capture_stdout: bool = False,
    capture_stderr: bool = False,
    quiet: bool = False,
    overwrite_output: bool = False,
) -> tuple[bytes | None, bytes | None]:
    """Run a graph with a vsr node, like `ffmpeg.run`.

    Args:
        stream: An output, or several merged ones.
        cmd: The ffmpeg to run; None uses the one on the PATH, otherwise that of imageio-ffmpeg.
        capture_stdout: Whether to return the standard output of the ffmpeg that writes the outputs.
        capture_stderr: Whether to return its messages instead of printing them.
        quiet: Both.
        overwrite_output: Whether to replace an existing file.

    Returns:
        The captured standard output and error of the ffmpeg that writes the outputs; of both if there are two
        (`Commands.apart`).

    Raises:
        vsr.PluginError: The graph has no vsr node, ffmpeg is too old, or a
        process failed; the one-line message names
            it. An incomplete output may then exist.
    """
    commands = compile(stream, cmd, overwrite_output)
    words = tuple(chosen(cmd))
    if shutil.which(words[0]) and not is_new_enough(words):
        raise too_old(words)
    return _run(commands, stdout=capture_stdout or quiet, stderr=capture_stderr or quiet)


def _run(commands: Commands, *, stdout: bool, stderr: bool) -> tuple[bytes | None, bytes | None]:
    """Run the processes; `stdout` and `stderr` say whether the output of
    the last ones is captured and returned."""
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)]
        before = stack.enter_context(_process(commands.before, None, said[0]))
        middle = stack.enter_context(_process(commands.vsr, before.stdout, said[1]))
        last = [(commands.behind, middle.stdout, said[2])]
        last += [(commands.apart, None, said[3])] if commands.apart else []
        writers = [
            stack.enter_context(_process(command, stdin, file if stderr else None, keep_stdout=not stdout))
            for command, stdin, file in last
        ]
        for process in (
            before,
            middle,
        ):  # closes this process's copies, so that only the reader's end remains
            assert process.stdout is not None
            process.stdout.close()
        out = [process.communicate()[0] for process in writers]
        codes = [process.wait() for process in (before, middle, *writers)]
        words = [_text(file) for file in said]
        _check(codes, words)
        told = "".join(words[2:]).encode() if stderr else None
        return b"".join(out) if stdout else None, told


def _process(
    command: Sequence[str], stdin: IO[bytes] | None, stderr: IO[bytes] | None, *, keep_stdout: bool = False
) -> _Ended:
    try:
        return _Ended(
            subprocess.Popen(
                command,
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=None if keep_stdout else subprocess.PIPE,
                stderr=stderr,
            )
        )
    except OSError as error:
        raise vsr.PluginError(f"vsr-ffmpeg: {command[0]} cannot be run ({error.strerror})") from error


class _Ended:
    """Makes sure that a process ends with its `with` block."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _check(codes: Sequence[int], words: Sequence[str]) -> None:
    """Raise an error for the process that failed first, which causes the
    failure of the other two in the pipe."""
    blamed = _first_failure(*codes[:3], broken_pipe="Broken pipe" in words[0])
    if blamed is None and any(codes[3:]):
        blamed = 3
    if blamed is not None:
        name = ("ffmpeg, before vsr,", "vsr", "ffmpeg, after vsr,", "ffmpeg, beside vsr,")[blamed]
        what = _reason(words[blamed])
        raise vsr.PluginError(f"vsr-ffmpeg: {name} failed with exit code {codes[blamed]}: {what}")


def _first_failure(before: int, middle: int, behind: int, *, broken_pipe: bool) -> int | None:
    """Return the number of the process that failed first; None if all succeeded.

    A last ffmpeg that ends early by itself (`t=5`) is no failure, although the others then cannot write.
    """
    if middle == _READER_GONE:
        return 2 if behind else None
    if before and not broken_pipe:
        return 0
    if middle not in _DONE:
        return 1
    return 2 if behind else None


def _reason(words: str) -> str:
    """Return the last message of a process in one line; ffmpeg prints
    an error in several lines, cause first."""
    lines = [_ADDRESS.sub("", line).strip() for line in words.splitlines()]
    told = [line for line in lines if line and not line.startswith(("frame=", "Conversion failed"))]
    return "; ".join(told[-_LINES:]).removeprefix("vsr: error: ") or "see its message above"


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
