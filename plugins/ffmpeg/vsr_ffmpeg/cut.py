"""Cuts a graph at the node into the commands of the processes that run it."""

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
"""Name of the node: what ffmpeg complains of where the graph is run without us."""
_OUT = {"format": "nut", "vcodec": "rawvideo", "fps_mode": "passthrough", "enc_time_base": "filter"}
"""How frames leave the first ffmpeg: each once, with its own time, not moved to a frame rate's grid."""
_ZERO = ffmpeg.input("nullsrc=size=16x16:duration=0.04", format="lavfi").node
"""An input that nobody reads and that begins at zero.

Note [Why isync]: ffmpeg moves each input to begin at zero, also the pipe, whose first frame may be later than
the audio of the source. `-isync` moves it back by the difference to another input's beginning: this. With
`-copyts` alone nothing is moved.
"""
_CLOCK = ("-copyts", "-start_at_zero")
"""Global arguments that say what times mean; every ffmpeg must have them."""
_OPTIONS = {
    "matrix": "colorspace",
    "transfer": "color_trc",
    "primaries": "color_primaries",
    "range": "color_range",
    "chroma_location": "chroma_sample_location",
}
"""vsr's words for the tags of colour to ffmpeg's options."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What `run` runs; of the first three, each one's output is the next one's input."""

    before: list[str]
    vsr: list[str]
    behind: list[str]
    apart: list[str] | None = None
    """An ffmpeg beside them that writes the outputs which the node does not feed; None where it feeds all."""


def compile(
    stream: Stream, cmd: str | Sequence[str] | None = None, overwrite_output: bool = False
) -> Commands:
    """The commands of a graph.

    Args:
        stream: An output, or several merged.
        cmd: The ffmpeg to run; None takes the one on the PATH, else that of imageio-ffmpeg.
        overwrite_output: Replace an existing file.

    Raises:
        vsr.PluginError: no node of ours, or more than one, an input that is a pipe, or no ffmpeg.
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
    """From the inputs to the node, whose video goes into the pipe."""
    ((source, label, selector),) = node.incoming_edge_map.values()
    video = source.stream(label=label, selector=selector).filter("null")  # one stream, as a filter takes it
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
    """From the pipe, and inputs beside it, to the outputs that the node feeds."""
    told = {_OPTIONS[tag]: number for tag, (_, number) in tags.items()}
    # See Note [Why isync]: the two come after the inputs of the graph, which keep their numbers. Nor may the
    # pipe be number 0: ffmpeg-python maps no stream of that one alone, and ffmpeg chooses among all inputs.
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
    """All inputs of the graph for a part of it: each has the number that options of outputs mean by it.

    A file that the part does not read stays, for ffmpeg takes metadata and chapters of the first; all else (a
    device, a source of lavfi) is opened only where it is read.
    """
    read = set(nodes_of(outputs, InputNode))
    return [one if one in read or Path(str(one.kwargs["filename"])).is_file() else _ZERO for one in inputs]


def _our_node(stream: Stream) -> FilterNode:
    found = [node for node in nodes_of([stream.node]) if node.name == NODE]
    if not found:
        raise vsr.PluginError("vsr-ffmpeg: no vsr_ffmpeg.upscale in this graph; ffmpeg.run runs it")
    if len(found) > 1:
        raise vsr.PluginError("vsr-ffmpeg: a graph can have one vsr_ffmpeg.upscale only; run two graphs")
    return found[0]


def _refuse_pipe(node: Node) -> None:
    name = str(node.kwargs["filename"])
    if name == "-" or name.startswith(("pipe:", "fd:")):
        raise vsr.PluginError(
            f"vsr-ffmpeg: {name} cannot be an input, as several processes read the inputs; name a file"
        )


def _said(node: FilterNode, tags: dict[str, tuple[str, int]]) -> list[str]:
    """The flags of `vsr upscale`: the caller's, and the colour of the file unless the caller names one."""
    words = list(node.args)
    if any(word.startswith("--color=") for word in words):
        return words
    return words + [f"--color={tag}={name}" for tag, (name, _) in tags.items()]


def _tags(source: Node) -> dict[str, tuple[str, int]]:
    """Colour of the only file that leads to the node: tag to its name and number; NUT has no place for it."""
    files = nodes_of([source], InputNode)
    if len(files) != 1 or not Path(str(files[0].kwargs["filename"])).is_file():
        return {}
    try:
        with vsr.open_video(str(files[0].kwargs["filename"])) as video:
            color = video.info.color
    except vsr.VsrError:  # ffmpeg reads more than vsr does; it will tell what is wrong
        return {}
    members = {tag: getattr(color, tag) for tag in _OPTIONS}
    return {tag: (member.name.lower(), int(member)) for tag, member in members.items()}
