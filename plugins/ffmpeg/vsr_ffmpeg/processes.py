"""Runs the commands of a graph as processes that live and die together, and says which of them failed."""

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
"""Exit codes of vsr after which all frames went out; 10 is a damaged input."""
_READER_GONE = 141
_LINES = 4
_ADDRESS = re.compile(r"\[[^]]* @ 0x[0-9a-f]+\] ")
"""What ffmpeg puts before its lines."""


def run(
    stream: Stream,
    cmd: str | Sequence[str] | None = None,
    capture_stdout: bool = False,
    capture_stderr: bool = False,
    quiet: bool = False,
    overwrite_output: bool = False,
) -> tuple[bytes | None, bytes | None]:
    """Run a graph with a node of ours; as `ffmpeg.run`.

    Args:
        stream: An output, or several merged.
        cmd: The ffmpeg to run; None takes the one on the PATH, else that of imageio-ffmpeg.
        capture_stdout: Return what the outputs' ffmpeg writes to standard output.
        capture_stderr: Return what it says, instead of letting it through.
        quiet: Both.
        overwrite_output: Replace an existing file.

    Returns:
        Standard output and error of the ffmpeg that writes the outputs, as far as captured; of both where
        there are two (`Commands.apart`).

    Raises:
        vsr.PluginError: the graph is none of ours, ffmpeg is too old, or one of the processes failed; one
            line that says which. The output may then exist, as far as it came.
    """
    commands = compile(stream, cmd, overwrite_output)
    words = tuple(chosen(cmd))
    if shutil.which(words[0]) and not is_new_enough(words):
        raise too_old(words)
    return _run(commands, stdout=capture_stdout or quiet, stderr=capture_stderr or quiet)


def _run(commands: Commands, *, stdout: bool, stderr: bool) -> tuple[bytes | None, bytes | None]:
    """Run the processes; `stdout` and `stderr` say whether what the last ones say is kept and returned."""
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
        for process in (before, middle):  # ours are copies: the reader's end must be the only one
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
    """A process that does not outlive its `with`."""

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
    """Blame the process that failed first; the others of the three fail because of it, the one apart not."""
    blamed = _first_failure(*codes[:3], broken_pipe="Broken pipe" in words[0])
    if blamed is None and any(codes[3:]):
        blamed = 3
    if blamed is not None:
        name = ("ffmpeg, before vsr,", "vsr", "ffmpeg, behind vsr,", "ffmpeg, beside vsr,")[blamed]
        what = _reason(words[blamed])
        raise vsr.PluginError(f"vsr-ffmpeg: {name} failed with exit code {codes[blamed]}: {what}")


def _first_failure(before: int, middle: int, behind: int, *, broken_pipe: bool) -> int | None:
    """Number of the process that failed first; None where all did their work.

    A last ffmpeg that ends early of its own will (`t=5`) is no failure, though the others write to nobody.
    """
    if middle == _READER_GONE:
        return 2 if behind else None
    if before and not broken_pipe:
        return 0
    if middle not in _DONE:
        return 1
    return 2 if behind else None


def _reason(words: str) -> str:
    """What a process said last, in one line; ffmpeg spreads an error over a few, from cause to effect."""
    lines = [_ADDRESS.sub("", line).strip() for line in words.splitlines()]
    told = [line for line in lines if line and not line.startswith(("frame=", "Conversion failed"))]
    return "; ".join(told[-_LINES:]).removeprefix("vsr: error: ") or "see its message above"


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
