"""Graphs of ffmpeg-python: what leads where, copies with a node replaced, and the words of a command.

ffmpeg-python writes a command from a whole graph. A part of one needs more care, for two things in the words
depend on what is not in them: an input's number, and which output pad of a filter a label names. Here inputs
keep the numbers that they have in the whole graph, and a pad that leads out of the part is read and thrown
away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ffmpeg
from ffmpeg._run import _get_filter_arg, _get_global_args, _get_input_args, _get_output_args
from ffmpeg.dag import topo_sort
from ffmpeg.nodes import FilterNode, GlobalNode, InputNode, MergeOutputsNode, Node, OutputNode, Stream

_COUNTED = ("split", "asplit")
"""Filters whose pads are all alike, and whose number of pads ffmpeg-python counts itself."""
Pads = Mapping[Node, frozenset[Any]]
"""Node to the labels of its output pads that something reads."""


def nodes_of(ends: Iterable[Node], kind: type[Node] = Node) -> list[Node]:
    """The nodes of a kind that lead to any of `ends`, these included, in the order of ffmpeg-python."""
    return [node for node in topo_sort(list(ends))[0] if isinstance(node, kind)]


def pads_of(ends: Iterable[Node]) -> Pads:
    """The output pads that are read on the way to `ends`."""
    return {node: frozenset(edges) for node, edges in topo_sort(list(ends))[1].items()}


def with_all_pads(outputs: Sequence[Node], pads: Pads) -> list[Node]:
    """`outputs`, and one that throws away each pad of `pads` that they leave unread.

    ffmpeg tells the pads of a filter apart by their order alone: with one left out, the next would be taken
    for it, and a filter such as concat refuses to run.
    """
    read = pads_of(outputs)
    unread = [
        (node, label)
        for node in read
        if isinstance(node, FilterNode) and node.name not in _COUNTED
        for label in sorted(pads.get(node, frozenset()) - read[node])
    ]
    return [*outputs, *(ffmpeg.output(n.stream(label=label), "-", format="null").node for n, label in unread)]


def replaced(node: Node, old: Node, new: Node, copies: dict[Node, Node]) -> Node:
    """A copy of `node` that is fed by `new` where `old` fed it.

    Args:
        node: An output or a filter.
        old: A filter of one output.
        new: An input.
        copies: Nodes copied before, and their copies; filled.
    """
    if isinstance(node, InputNode):
        return node
    if node not in copies:
        streams = {}
        for pad, (upstream, label, selector) in node.incoming_edge_map.items():
            if upstream == old:
                streams[pad] = new.stream(selector=selector)
            else:
                streams[pad] = replaced(upstream, old, new, copies).stream(label=label, selector=selector)
        copies[node] = _COPIES[type(node)](node, streams)
    return copies[node]


_COPIES: Mapping[type[Node], Callable[[Node, dict[Any, Stream]], Node]] = {
    FilterNode: lambda n, s: FilterNode(s, n.name, max_inputs=None, args=n.args, kwargs=n.kwargs),
    OutputNode: lambda n, s: OutputNode(s, n.name, args=n.args, kwargs=n.kwargs),
    MergeOutputsNode: lambda n, s: MergeOutputsNode(s, n.name),
    GlobalNode: lambda n, s: GlobalNode(s, n.name, args=n.args, kwargs=n.kwargs),
}


def words_of(outputs: Sequence[Node], inputs: Sequence[Node], switches: Iterable[Node] = ()) -> list[str]:
    """The words of one command after the program's name.

    Args:
        outputs: What it writes.
        inputs: What it reads, by number; some may only be there for the numbers of the others.
        switches: Nodes of global arguments.
    """
    ordered, edges = topo_sort(list(outputs))
    names = {(node, None): str(number) for number, node in enumerate(inputs)}
    filters = _get_filter_arg([n for n in ordered if isinstance(n, FilterNode)], edges, names)
    words = [word for node in inputs for word in _get_input_args(node)]
    words += ["-filter_complex", filters] if filters else []
    words += [word for node in outputs for word in _get_output_args(node, names)]
    return words + [word for node in switches for word in _get_global_args(node)]
