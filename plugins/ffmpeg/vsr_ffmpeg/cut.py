"""Cuts a graph at the node into the commands of several processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterNode, GlobalNode, InputNode, Node, OutputNode, Stream

import vsr
from vsr_ffmpeg.binary import chosen
from vsr_ffmpeg.graph import nodes_of, pads_of, replaced, with_all_pads, words_of

NODE = "run_this_graph_with_vsr_ffmpeg.run"
"""Name of the node, which ffmpeg's error shows if the graph is run without this plugin."""
_OUT = {"format": "nut", "vcodec": "rawvideo", "fps_mode": "passthrough", "enc_time_base": "filter"}
"""Options for the output of the first ffmpeg: each frame once, with its
own time, not rounded to a frame rate."""
_ZERO = ffmpeg.input("nullsrc=size=16x16:duration=0.04", format="lavfi").node
"""An input that is not read and begins at zero.

Note [Why isync]: ffmpeg shifts each input to begin at zero, also the pipe, whose first frame may be later
than the audio of the source. `-isync` shifts it back by the difference to the beginning of another input,
which is this one. With `-copyts` alone nothing is shifted.
"""
_CLOCK = ("-copyts", "-start_at_zero")
"""Global arguments that determine the meaning of times; every ffmpeg must get them."""
_OPTIONS = {
    "matrix": "colorspace",
    "transfer": "color_trc",
    "primaries": "color_primaries",
    "range": "color_range",
    "chroma_location": "chroma_sample_location",
}
"""Maps vsr's names of colour tags to ffmpeg's options."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands that `run` executes; the output of each of the first three is the input of the next."""

    before: list[str]
    vsr: list[str]
    behind: list[str]
    apart: list[str] | None = None
    """An additional ffmpeg for the outputs that do not depend on the node; None if there are none."""


def compile(
    stream: Stream, cmd: str | Sequence[str] | None = None, overwrite_output: bool = False
) -> Commands:
    """Return the commands of a graph.

    Args:
        stream: An output, or several merged ones.
        cmd: The ffmpeg to run; None uses the one on the PATH, otherwise that of imageio-ffmpeg.
        overwrite_output: Whether to replace an existing file.

    Raises:
        vsr.PluginError: The graph has no vsr node or several, an input is a pipe, or there is no ffmpeg.
    """
    binary, node = chosen(cmd), _our_node(stream)
    inputs = nodes_of([stream.node], InputNode)
    for one in inputs:
        _refuse_pipe(one)
    outputs = nodes_of([stream.node], OutputNode)
    fed = [output for output in outputs if node in nodes_of([output])]
    others = [output for output in outputs if output not in fed]
    source = next(iter(node.incoming_edge_map.values()))[0]
    tags = _tags(source)
    switches, replace = nodes_of([stream.node], GlobalNode), ["-y"] if overwrite_output else []
    pads = pads_of(outputs)
    apart = words_of(with_all_pads(others, pads), _numbered(inputs, others), switches) if others else []
    return Commands(
        before=[*binary, "-nostdin", "-v", "error", *_clock(switches), *_before(node, inputs, outputs)],
        vsr=[sys.executable, "-m", "vsr", "upscale", "-", "-", "--quiet", "--format=nut", *_said(node, tags)],
        behind=[*binary, *_behind(node, inputs, fed, outputs, tags, switches), *replace],
        apart=[*binary, *apart, *replace] if others else None,
    )


def _before(node: FilterNode, inputs: list[Node], outputs: list[Node]) -> list[str]:
    """Return the command from the inputs to the node, which writes video into the pipe."""
    ((source, label, selector),) = node.incoming_edge_map.values()
    video = source.stream(label=label, selector=selector).filter(
        "null"
    )  # selects one stream, as a filter does
    out = with_all_pads([ffmpeg.output(video, "pipe:1", **_OUT).node], pads_of(outputs))
    return words_of(out, _numbered(inputs, out))


def _behind(
    node: FilterNode,
    inputs: list[Node],
    fed: list[Node],
    outputs: list[Node],
    tags: dict[str, tuple[str, int]],
    switches: list[Node],
) -> list[str]:
    """Return the command from the pipe and other inputs to the outputs that depend on the node."""
    told = {_OPTIONS[tag]: number for tag, (_, number) in tags.items()}
    # See Note [Why isync]: the two come after the inputs of the graph, which keep their numbers.
    # The pipe must not be number 0 either, because ffmpeg-python maps no stream of a single input
    # 0, and ffmpeg chooses among all inputs.
    moved = {} if _clock(switches) == ["-copyts"] else {"isync": len(inputs) + 1}
    pipe = ffmpeg.input("pipe:0", format="nut", **moved, **told).node
    copies: dict[Node, Node] = {}
    made = [replaced(output, node, pipe, copies) for output in fed]
    pads = {copies[old]: labels for old, labels in pads_of(outputs).items() if old in copies}
    made = with_all_pads(made, pads)
    return words_of(made, [*_numbered(inputs, made), pipe, _ZERO], switches)


def _clock(switches: list[Node]) -> list[str]:
    return [word for word in _CLOCK if any(word in node.args for node in switches)]


def _numbered(inputs: list[Node], outputs: list[Node]) -> list[Node]:
    """Return all inputs of the graph for a part of it, so that each
    keeps the number that options of outputs use.

    A file that the part does not read stays, because ffmpeg takes metadata and chapters from the first input.
    Other inputs (a device, a source of lavfi) are opened only where they are read.
    """
    read = set(nodes_of(outputs, InputNode))
    return [one if one in read or Path(str(one.kwargs["filename"])).is_file() else _ZERO for one in inputs]


def _our_node(stream: Stream) -> FilterNode:
    found = [node for node in nodes_of([stream.node]) if node.name == NODE]
    if not found:
        raise vsr.PluginError("vsr-ffmpeg: this graph has no vsr_ffmpeg.upscale. Run it with ffmpeg.run")
    if len(found) > 1:
        raise vsr.PluginError("vsr-ffmpeg: a graph can have only one vsr_ffmpeg.upscale. Run two graphs")
    return found[0]


def _refuse_pipe(node: Node) -> None:
    name = str(node.kwargs["filename"])
    if name == "-" or name.startswith(("pipe:", "fd:")):
        raise vsr.PluginError(
            f"vsr-ffmpeg: {name} cannot be an input, because several processes read the inputs. Give a file"
        )


def _said(node: FilterNode, tags: dict[str, tuple[str, int]]) -> list[str]:
    """Return the flags of `vsr upscale`: the caller's, and the colour
    of the file unless the caller gives it."""
    words = list(node.args)
    if any(word.startswith("--color=") for word in words):
        return words
    return words + [f"--color={tag}={name}" for tag, (name, _) in tags.items()]


def _tags(source: Node) -> dict[str, tuple[str, int]]:
    """Return the colour of the only file before the node, each tag with
    name and number; NUT does not carry it."""
    files = nodes_of([source], InputNode)
    if len(files) != 1 or not Path(str(files[0].kwargs["filename"])).is_file():
        return {}
    try:
        with vsr.open_video(str(files[0].kwargs["filename"])) as video:
            color = video.info.color
    except vsr.VsrError:  # ffmpeg supports more inputs than vsr, and will report errors
        return {}
    members = {tag: getattr(color, tag) for tag in _OPTIONS}
    return {tag: (member.name.lower(), int(member)) for tag, member in members.items()}
