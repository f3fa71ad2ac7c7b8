"""FFmpeg's colour conversion (swscale), as the reference for the one of this package."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import torch
from av.filter import Graph
from torch import Tensor

from vsr.color.spec import Matrix, Range

NAMES = {
    Matrix.BT709: "bt709",
    Matrix.FCC: "fcc",
    Matrix.BT470BG: "bt470bg",
    Matrix.SMPTE170M: "smpte170m",
    Matrix.SMPTE240M: "smpte240m",
    Matrix.BT2020_NCL: "bt2020nc",
}
RANGES = {Range.LIMITED: "limited", Range.FULL: "full"}
# The flags for exact instead of fast conversion; bicubic has the longest of the common chroma filters.
FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
SITE_OF = {"first": 0, "middle": 128}
"""swscale's chr_pos for each siting, in 1/256 luma samples from the first one of a pair."""


def swscale(planes: tuple[Tensor, ...], source: str, target: str, **options: object) -> tuple[Tensor, ...]:
    """Convert planes (FFmpeg's order) from one pixel format to another with the filter `scale`.

    `options` are those of the filter: in_color_matrix, out_color_matrix, in_range, out_range, out_h_chr_pos
    ...
    """
    frame = _frame(planes, source)
    graph = Graph()
    buffer = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    arguments = ":".join([f"{key}={value}" for key, value in options.items()] + [f"flags={FLAGS}"])
    chain = [buffer, graph.add("scale", arguments), graph.add("format", target), graph.add("buffersink")]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    graph.push(frame)
    return _planes(graph.pull())


def _frame(planes: tuple[Tensor, ...], name: str) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, name)
    frame.time_base, frame.pts = Fraction(1, 25), 0
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = plane.numpy().view(np.uint8).reshape(plane.shape[0], -1)
        padded = np.zeros((target.height, target.line_size), np.uint8)
        padded[:, : rows.shape[1]] = rows
        target.update(padded.tobytes())
    return frame


def _planes(frame: av.VideoFrame) -> tuple[Tensor, ...]:
    dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else np.uint16)
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        rows = np.ascontiguousarray(rows[:, : plane.width * dtype.itemsize]).view(dtype)
        found.append(torch.from_numpy(rows))
    return tuple(found)
