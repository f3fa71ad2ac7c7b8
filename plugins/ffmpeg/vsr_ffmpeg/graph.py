"""Handles graphs of ffmpeg-python: paths through them, copies with a
replaced node, and the words of a command.

ffmpeg-python makes a command from a whole graph. For a part of one, two things in the words
depend on nodes outside: an input's number, and the output pad of a filter that a label means.
Therefore inputs keep the numbers that they have in the whole graph, and the output of a pad that
leads out of the part is read and discarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ffmpeg
from ffmpeg._run import _get_filter_arg, _get_global_args, _get_input_args, _get_output_args
from ffmpeg.dag import topo_sort
from ffmpeg.nodes import FilterNode, GlobalNode, InputNode, MergeOutputsNode, Node, OutputNode, Stream

_COUNTED = ("split", "asplit")
"""Filters whose pads are equal, and whose number of pads ffmpeg-python counts itself."""
Pads = Mapping[Node, frozenset[Any]]
"""For each node, the labels of its output pads that are read."""


def nodes_of(ends: Iterable[Node], kind: type[Node] = Node) -> list[Node]:
    """Return the nodes of a kind that lead to any of `ends`, including
    these, in the order of ffmpeg-python."""
    return [node for node in topo_sort(list(ends))[0] if isinstance(node, kind)]


def pads_of(ends: Iterable[Node]) -> Pads:
    """Return the output pads that are read on the way to `ends`."""
    return {node: frozenset(edges) for node, edges in topo_sort(list(ends))[1].items()}


def with_all_pads(outputs: Sequence[Node], pads: Pads) -> list[Node]:
    """Return `outputs` and one output that discards each pad of `pads` that they do not read.

    ffmpeg identifies the pads of a filter by their order alone: if one is missing, the next takes its place,
    and a filter such as concat does not run.
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
    """Return a copy of `node` with `new` in place of `old`.

    Args:
        node: An output or a filter.
        old: A filter with one output.
        new: An input.
        copies: Nodes that were copied before, and their copies; the function adds to it.
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
    """Return the words of one command after the program's name.

    Args:
        outputs: Outputs of the command.
        inputs: Inputs by number; some may only be included to keep the numbers of the others.
        switches: Nodes of global arguments.
    """
    ordered, edges = topo_sort(list(outputs))
    names = {(node, None): str(number) for number, node in enumerate(inputs)}
    filters = _get_filter_arg([n for n in ordered if isinstance(n, FilterNode)], edges, names)
    words = [word for node in inputs for word in _get_input_args(node)]
    words += ["-filter_complex", filters] if filters else []
    words += [word for node in outputs for word in _get_output_args(node, names)]
    return words + [word for node in switches for word in _get_global_args(node)]
