"""Reduces frames to thumbnails, for comparison.

A thumbnail is the mean of each component in each cell of an 8x8 grid. Means do not depend on resolution, bit
depth, subsampling or pixel format. The colour matrix is linear, so means can be converted like samples.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from vsr.color.codes import LUMA_WEIGHTS, codes_of
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Range
from vsr.frame import VideoInfo
from vsr.media.metadata.orientation import turn_of
from vsr.media.metadata.tags import color_of
from vsr.media.pixels.layouts import is_planar_already, layout_of, planar_format

Grid = NDArray[np.float32]

CELLS = 8
"""The number of cells on each side of the grid."""
_AT_ONCE = 1 << 22
"""The number of samples that are converted to float at once; a frame may have 67 million."""
_ZERO = np.zeros((CELLS, CELLS), np.float32)
_UNSPECIFIED_MATRIX = 2
_GBR_TO_RGB = (2, 0, 1)
"""Indices of R, G and B among FFmpeg's planes G, B, R."""


def thumbnail(frame: VideoFrame, info: VideoInfo) -> Grid:
    """Reduce a decoded frame to `(3, 8, 8)`: Y', Cb, Cr by BT.709's matrix, in 8-bit codes of limited range.

    Rows and columns are those that a player shows: the stream's display matrix is applied. Frames with a
    matrix that is not a weighted sum of R'G'B' (ICtCp, YCgCo) keep their own components.

    Args:
        frame: In host memory, of any pixel format.
        info: Of its stream, for facts that the frame does not state.
    """
    layout = layout_of(frame.format.name)
    color = _color(frame, info, layout)
    means = [_cell_means(_visible(plane, frame, info)) for plane in _planes(frame, layout)]
    return _as_shown(_in_reference_codes(means, color, layout), info)


def _color(frame: VideoFrame, info: VideoInfo, layout: PixelLayout) -> ColorSpec:
    """Return the frame's own tags, which may change within a stream, completed by those of its stream."""
    own = color_of(frame, ChromaLocation.UNSPECIFIED)
    if layout.family == "yuv" and own.matrix is Matrix.RGB:  # an impossible tag
        own = ColorSpec(range=own.range)
    return own.over(info.color)


def _planes(frame: VideoFrame, layout: PixelLayout) -> list[NDArray[np.generic]]:
    """Return Y, U, V, or R, G, B, or grey, each `(H, W)`."""
    if not is_planar_already(frame.format.name):
        frame = _planar(frame, layout)
    channels = 2 if layout.family == "gray" and layout.alpha else 1
    planes = [_view(plane, layout, channels) for plane in frame.planes]
    if layout.family == "rgb":
        return [planes[i] for i in _GBR_TO_RGB]
    return planes[:3] if layout.family == "yuv" else [planes[0]]


def _visible(plane: NDArray[np.generic], frame: VideoFrame, info: VideoInfo) -> NDArray[np.generic]:
    """Return the plane without the part that the container hides, in whole samples."""
    crop = info.crop
    if crop is None:
        return plane
    height, width = plane.shape
    across, down = Fraction(width, frame.width), Fraction(height, frame.height)
    rows = slice(round(crop.top * down), height - round(crop.bottom * down))
    return plane[rows, round(crop.left * across) : width - round(crop.right * across)]


def _planar(frame: VideoFrame, layout: PixelLayout) -> VideoFrame:
    matrix = frame.colorspace
    if layout.family == "yuv":  # swscale refuses matrices that it does not know, even where none is needed
        frame.colorspace = _UNSPECIFIED_MATRIX
    try:
        return frame.reformat(format=planar_format(layout), threads=1)
    finally:
        frame.colorspace = matrix


def _view(plane: object, layout: PixelLayout, channels: int) -> NDArray[np.generic]:
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    line, height, width = plane.line_size, plane.height, plane.width  # type: ignore[attr-defined]
    rows = np.frombuffer(plane, dtype).reshape(height, abs(line) // dtype().itemsize)  # type: ignore[call-overload]
    rows = rows[::-1] if line < 0 else rows  # bottom-up frames of uncompressed AVI
    return rows[:, : width * channels : channels]


def _cell_means(plane: NDArray[np.generic]) -> Grid:
    height, width = plane.shape
    rows, columns = _weights(height), _weights(width).T
    step = max(1, _AT_ONCE // width)
    bands = [slice(start, start + step) for start in range(0, height, step)]
    return sum((rows[:, band] @ (plane[band].astype(np.float32) @ columns) for band in bands), _ZERO)


@cache
def _weights(length: int) -> Grid:
    """Return the weight `(8, length)` of each sample in each cell's mean; a sample on a border belongs to
    both cells.
    """
    edges = np.arange(CELLS + 1) * length / CELLS
    starts = np.arange(length)
    covered = np.minimum(starts + 1, edges[1:, None]) - np.maximum(starts, edges[:-1, None])
    return (np.maximum(covered, 0) * CELLS / length).astype(np.float32)


def _in_reference_codes(means: list[Grid], color: ColorSpec, layout: PixelLayout) -> Grid:
    codes = codes_of(color.range, layout.bit_depth)
    first = (means[0] - codes.luma_offset) / codes.luma_step
    if layout.family == "gray":
        zero = np.zeros_like(first)
        return _quantised(first, zero, zero)
    if layout.family == "rgb":
        red, green, blue = ((mean - codes.luma_offset) / codes.luma_step for mean in means)
    else:
        cb, cr = ((mean - codes.chroma_offset) / codes.chroma_step for mean in means[1:])
        if color.matrix not in LUMA_WEIGHTS or color.matrix is Matrix.BT709:
            return _quantised(first, cb, cr)
        kr, kb = LUMA_WEIGHTS[color.matrix]
        red, blue = first + 2 * (1 - kr) * cr, first + 2 * (1 - kb) * cb
        green = (first - kr * red - kb * blue) / (1 - kr - kb)
    kr, kb = LUMA_WEIGHTS[Matrix.BT709]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    return _quantised(luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr)))


def _quantised(luma: Grid, cb: Grid, cr: Grid) -> Grid:
    codes = codes_of(Range.LIMITED, 8)
    parts = (codes.luma_offset + codes.luma_step * luma, *(128 + codes.chroma_step * c for c in (cb, cr)))
    return np.stack(parts).astype(np.float32)


def _as_shown(grid: Grid, info: VideoInfo) -> Grid:
    """Rotate and mirror as a player does."""
    turn = turn_of(info.display_matrix)
    grid = grid.transpose(0, 2, 1) if turn.transposed else grid
    grid = grid[:, :, ::-1] if turn.mirrored else grid
    return grid[:, ::-1] if turn.flipped else grid
