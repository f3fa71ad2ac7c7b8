"""`vsr` as a node in a graph of ffmpeg-python.

    video = ffmpeg.input("in.mp4").video.filter("hqdn3d")
    video = vsr_ffmpeg.upscale(video, scale=2)
    vsr_ffmpeg.run(ffmpeg.output(video, ffmpeg.input("in.mp4").audio, "out.mp4"))

A graph is one command of ffmpeg, and ffmpeg has no such filter: `run` cuts the graph at the node and runs
`ffmpeg | vsr | ffmpeg`. Uncompressed pictures go through the pipes with all their bits and timestamps (NUT);
nothing is written to a disk on the way.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import ffmpeg
from ffmpeg.nodes import FilterNode, GlobalNode, InputNode, MergeOutputsNode, Node, OutputNode, Stream

import vsr

__all__ = ["Commands", "compile", "run", "upscale"]

NODE = "run_this_graph_with_vsr_ffmpeg.run"
"""Name of the node: what ffmpeg complains of where the graph is run without us."""
_OUT = {"format": "nut", "vcodec": "rawvideo", "fps_mode": "passthrough", "enc_time_base": "filter"}
"""How pictures leave the first ffmpeg: each once, with its own time, not moved to a frame rate's grid."""
_ZERO = ("-f", "lavfi", "-i", "nullsrc=size=16x16:duration=0.04")
"""An input that nobody reads and that begins at zero.

Note [Why isync]: ffmpeg moves each input to begin at zero, also the pipe, whose first picture may be later
than the sound of the source. `-isync` moves it back by the difference to another input's beginning: this.
"""
_DONE = (0, 10)
"""Exit codes of vsr after which all pictures went out; 10 is a damaged input."""
_READER_GONE = 141
_LINES = 4
_ADDRESS = re.compile(r"\[[^]]* @ 0x[0-9a-f]+\] ")
"""What ffmpeg puts before its lines."""


def upscale(
    stream: Stream,
    *,
    model: str | None = None,
    scale: Fraction | float | str | None = None,
    size: tuple[int, int] | None = None,
    height: int | None = None,
    strength: float | None = None,
    partner: str | None = None,
    pixel_format: str | None = None,
    color: Mapping[str, str] | None = None,
    device: str | None = None,
    precision: str | None = None,
    tile: int | None = None,
    batch: int | None = None,
) -> Stream:
    """Add a node that upscales video to a graph; run the graph with `vsr_ffmpeg.run`.

    Args:
        stream: Video: of an input, or of a filter.
        model: Name in vsr's catalog or weight file; None lets vsr choose.
        scale: Output side over input side; None takes the model's own.
        size: Width and height of the result in pixels, instead of a scale.
        height: Of the result in pixels, keeping proportions, instead of a scale.
        strength: From 0, faithful, to 1, crisp.
        partner: The faithful end for a model of one's own.
        pixel_format: FFmpeg's name; None keeps what comes.
        color: Tags of the pictures that come, as `{"matrix": "bt709", "range": "full"}`, where filters before
            the node changed them, or there is no file to ask; by itself, the tags of the input file.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        precision: `auto`, `fp32`, `bf16`, `fp16`.
        tile: Side of a tile in LR pixels; 0 is the whole picture.
        batch: Pictures at once.

    Returns:
        Video, for filters and outputs.
    """
    plain = {
        "--model": model,
        "--scale": scale,
        "--size": None if size is None else f"{size[0]}x{size[1]}",
        "--height": height,
        "--strength": strength,
        "--partner": partner,
        "--pix-fmt": pixel_format,
        "--device": device,
        "--precision": precision,
        "--tile": tile,
        "--batch": batch,
    }
    words = [f"{flag}={value}" for flag, value in plain.items() if value is not None]
    words += [f"--color={tag}={name}" for tag, name in (color or {}).items()]
    return FilterNode(stream, NODE, args=words).stream()


@dataclass(frozen=True, slots=True)
class Commands:
    """What `run` runs, each process's output being the next one's input."""

    before: list[str]
    vsr: list[str]
    behind: list[str]


def compile(
    stream: Stream, cmd: str | Sequence[str] | None = None, overwrite_output: bool = False
) -> Commands:
    """The three commands of a graph.

    Args:
        stream: An output, or several merged.
        cmd: The ffmpeg to run; None takes the one on the PATH, else that of imageio-ffmpeg.
        overwrite_output: Replace an existing file.

    Raises:
        vsr.PluginError: no node of ours, or more than one, or no ffmpeg.
    """
    binary = [cmd or _binary()] if isinstance(cmd, str | None) else list(cmd)
    node = _our_node(stream)
    (source, label, selector) = next(iter(node.incoming_edge_map.values()))
    picture = source.stream(label=label, selector=selector).filter("null")  # one stream, as a filter takes it
    first = ffmpeg.output(picture, "pipe:1", **_OUT)
    tags = _tags(source)
    words = list(node.args)
    if not any(word.startswith("--color=") for word in words):
        words += [f"--color={tag}={name}" for tag, (name, _) in tags.items()]
    told = {_OPTIONS[tag]: number for tag, (_, number) in tags.items()}
    inputs = [one for one in _nodes(stream, stop=node) if isinstance(one, InputNode)]
    pipe = ffmpeg.input("pipe:0", format="nut", isync=len(inputs) + 1, **told)
    last = _rebuilt(stream.node, {node: pipe.node}).stream(label=stream.label, selector=stream.selector)
    behind = ffmpeg.compile(last, cmd=binary, overwrite_output=overwrite_output)
    return Commands(
        before=ffmpeg.compile(first, cmd=[*binary, "-nostdin", "-v", "error"]),
        vsr=[sys.executable, "-m", "vsr", "upscale", "-", "-", "--quiet", "--format=nut", *words],
        behind=_with_zero(behind, inputs=len(inputs) + 1),
    )


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
        capture_stdout: Return what the last ffmpeg writes to standard output.
        capture_stderr: Return what the last ffmpeg says, instead of letting it through.
        quiet: Both.
        overwrite_output: Replace an existing file.

    Returns:
        Standard output and error of the last ffmpeg, as far as captured.

    Raises:
        vsr.PluginError: the graph is none of ours, or one of the processes failed; one line that says which.
            The output may then exist, as far as it came.
    """
    commands = compile(stream, cmd, overwrite_output)
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        before = stack.enter_context(_process(commands.before, None, said[0]))
        middle = stack.enter_context(_process(commands.vsr, before.stdout, said[1]))
        behind = stack.enter_context(
            _process(
                commands.behind,
                middle.stdout,
                said[2] if capture_stderr or quiet else None,
                keep_stdout=not (capture_stdout or quiet),
            )
        )
        for process in (before, middle):  # ours are copies: the reader's end must be the only one
            assert process.stdout is not None
            process.stdout.close()
        out, _ = behind.communicate()
        codes = [process.wait() for process in (before, middle, behind)]
        words = [_text(file) for file in said]
        _check(codes, words)
        return out, words[2].encode() if capture_stderr or quiet else None


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
    """Blame the process that failed first; the others fail because of it."""
    blamed = _first_failure(*codes, broken_pipe="Broken pipe" in words[0])
    if blamed is not None:
        name = ("ffmpeg, before vsr,", "vsr", "ffmpeg, behind vsr,")[blamed]
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


def _binary() -> str:
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        with suppress(RuntimeError):  # a wheel without its binary
            found = imageio_ffmpeg.get_ffmpeg_exe()
    if found is None:
        raise vsr.PluginError("vsr-ffmpeg: no ffmpeg on the PATH; install it, or pip install imageio-ffmpeg")
    return str(found)


def _our_node(stream: Stream) -> FilterNode:
    found = {node for node in _nodes(stream) if node.name == NODE}
    if not found:
        raise vsr.PluginError("vsr-ffmpeg: no vsr_ffmpeg.upscale in this graph; ffmpeg.run runs it")
    if len(found) > 1:
        raise vsr.PluginError("vsr-ffmpeg: a graph can have one vsr_ffmpeg.upscale only; run two graphs")
    return found.pop()


def _nodes(stream: Stream, stop: Node | None = None) -> Iterator[Node]:
    """Every node that leads to a stream, once; `stop` and what only leads to it left out."""
    seen: set[Node] = set()
    waiting = [stream.node]
    while waiting:
        node = waiting.pop()
        if node in seen or node == stop:
            continue
        seen.add(node)
        yield node
        waiting += [upstream for upstream, _, _ in node.incoming_edge_map.values()]


_COPIES: Mapping[type[Node], Callable[[Node, dict[Any, Stream]], Node]] = {
    FilterNode: lambda n, s: FilterNode(s, n.name, max_inputs=None, args=n.args, kwargs=n.kwargs),
    OutputNode: lambda n, s: OutputNode(s, n.name, args=n.args, kwargs=n.kwargs),
    MergeOutputsNode: lambda n, s: MergeOutputsNode(s, n.name),
    GlobalNode: lambda n, s: GlobalNode(s, n.name, args=n.args, kwargs=n.kwargs),
}


def _rebuilt(node: Node, done: dict[Node, Node]) -> Node:
    """The same node on the same inputs, but for those that `done` replaces; nodes cannot be changed."""
    if node not in done and isinstance(node, InputNode):
        done[node] = node
    if node not in done:
        streams = {
            label: _rebuilt(upstream, done).stream(label=upstream_label, selector=selector)
            for label, (upstream, upstream_label, selector) in node.incoming_edge_map.items()
        }
        done[node] = _COPIES[type(node)](node, streams)
    return done[node]


_OPTIONS = {
    "matrix": "colorspace",
    "transfer": "color_trc",
    "primaries": "color_primaries",
    "range": "color_range",
    "chroma_location": "chroma_sample_location",
}
"""vsr's words for the tags of colour to ffmpeg's options."""


def _tags(source: Node) -> dict[str, tuple[str, int]]:
    """Colour of the only file that leads to the node: tag to its name and number; NUT has no place for it."""
    files = [node for node in _nodes(source.stream()) if isinstance(node, InputNode)]
    if len(files) != 1 or not Path(str(files[0].kwargs["filename"])).is_file():
        return {}
    try:
        with vsr.open_video(str(files[0].kwargs["filename"])) as video:
            color = video.info.color
    except vsr.VsrError:  # ffmpeg reads more than vsr does; it will tell what is wrong
        return {}
    members = {tag: getattr(color, tag) for tag in _OPTIONS}
    return {tag: (member.name.lower(), int(member)) for tag, member in members.items()}


def _with_zero(command: list[str], *, inputs: int) -> list[str]:
    """See Note [Why isync]: behind the last input."""
    at = [index for index, word in enumerate(command) if word == "-i"][inputs - 1] + 2
    return [*command[:at], *_ZERO, *command[at:]]
