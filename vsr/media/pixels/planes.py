"""Converts the planes of PyAV's frames to tensors and back.

Sample values are never changed here, only moved. Colour conversion is done by `vsr.color.convert` on the
device.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import torch
import torch.utils.dlpack
from torch import Tensor

from vsr.color.spec import PixelLayout, Range
from vsr.errors import InputError
from vsr.frame import YuvFrame
from vsr.media.pixels.layouts import is_planar_already, layout_of, planar_format

__all__ = ["layout_of", "planar_format", "repacked", "to_av_frame", "to_planes"]

_UNSPECIFIED = 2
"""H.273's number of an unspecified matrix."""

_GBR_TO_RGB = (2, 0, 1)
"""Indices of R, G and B among FFmpeg's planes G, B, R."""


def to_planes(frame: av.VideoFrame) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Return the samples of a frame, one plane for each component.

    Args:
        frame: In host memory, of any pixel format; formats that are not planar are repacked first
            (`repacked`).

    Returns:
        Planes `(H, W)` as in `YuvFrame.planes`, and the alpha plane or None; uint8, or uint16 with the value
        in the low bits; in host memory. They alias the frame's memory and keep it alive, and must not be
        written to.
    """
    layout = layout_of(frame.format.name)
    frame = repacked(frame, layout)
    if layout.family == "gray" and layout.alpha:
        both = _plane(frame.planes[0], layout, channels=2)
        return (both[..., 0],), both[..., 1]
    views = [_plane(plane, layout) for plane in frame.planes]
    alpha = views.pop() if layout.alpha else None
    order = _GBR_TO_RGB if layout.family == "rgb" else range(len(views))
    return tuple(views[i] for i in order), alpha


def repacked(
    frame: av.VideoFrame,
    layout: PixelLayout,
    *,
    width: int | None = None,
    height: int | None = None,
    ranges: tuple[Range, Range] | None = None,
    name: str | None = None,
) -> av.VideoFrame:
    """Return the frame in the planar format of `layout`, with its timestamps and tags.

    Args:
        frame: In host memory.
        layout: Layout of the result.
        width: Width of the result in pixels; None keeps it.
        height: Height of the result in pixels; None keeps it.
        ranges: Range of the frame and of the result; None leaves the values as they are.
        name: FFmpeg's name of the result's format where there are two: yuvj420p is yuv420p.

    Raises:
        InputError: swscale cannot read the frame's format.
    """
    was, wanted = ranges or (Range.UNSPECIFIED, Range.UNSPECIFIED)
    same_size = (width or frame.width, height or frame.height) == (frame.width, frame.height)
    same_layout = is_planar_already(frame.format.name) and layout_of(frame.format.name) == layout
    if same_size and same_layout and was == wanted:
        return frame
    if was is Range.LIMITED and frame.format.name.startswith("yuvj"):
        frame = _without_j(frame)
    try:
        with _without_matrix(frame, layout) as matrix:
            # One thread: with several, swscale's slices overwrite the first 8 samples of each other's rows
            # (measured with FFmpeg 8.1.2, about one frame in 60).
            out = frame.reformat(
                format=name or planar_format(layout),
                width=width,
                height=height,
                interpolation="BICUBIC",
                src_color_range=None if was == wanted else int(was),
                dst_color_range=None if was == wanted else int(wanted),
                threads=1,
            )
            out.colorspace = matrix
            return out
    except (av.FFmpegError, ValueError) as error:
        what = f"frames of format {frame.format.name} cannot be read ({error})"
        raise InputError(f"{what}. Convert the video to another format") from error


def to_av_frame(frame: YuvFrame, pixel_format: str) -> av.VideoFrame:
    """Return a frame for an encoder, with its timestamp and colour tags.

    Args:
        frame: In host memory.
        pixel_format: FFmpeg's name of a format with the frame's layout; swscale makes packed and semi-planar
            ones.

    Raises:
        ValueError: the pixel format has another layout than the frame.
    """
    if layout_of(pixel_format) != frame.layout:
        raise ValueError(f"{pixel_format = } does not hold {frame.layout}")
    planar = pixel_format if is_planar_already(pixel_format) else planar_format(frame.layout)
    out = av.VideoFrame(frame.width, frame.height, planar)
    _fill(out, frame)
    out.pts, out.time_base, out.duration = frame.stamp.pts, frame.stamp.time_base, frame.stamp.duration
    out.colorspace, out.color_range = int(frame.color.matrix), int(frame.color.range)
    out.color_trc, out.color_primaries = int(frame.color.transfer), int(frame.color.primaries)
    return out if planar == pixel_format else out.reformat(format=pixel_format, threads=1)


@contextmanager
def _without_matrix(frame: av.VideoFrame, layout: PixelLayout) -> Generator[int, None, None]:
    """Hide a frame's matrix where none is used, because swscale refuses those that it does not know (YCgCo,
    ICtCp).

    Yields the matrix with which the result is to be tagged.
    """
    matrix = frame.colorspace
    try:
        if layout_of(frame.format.name).family == layout.family == "yuv":
            frame.colorspace = _UNSPECIFIED
        yield matrix
    finally:
        frame.colorspace = matrix


def _without_j(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a copy in the format without "j", because swscale treats yuvj as full range, whatever the
    frame's tag.
    """
    out = av.VideoFrame(frame.width, frame.height, frame.format.name.replace("yuvj", "yuv"))
    layout = layout_of(out.format.name)
    for target, source in zip(out.planes, frame.planes, strict=True):
        _plane(target, layout).copy_(_plane(source, layout))
    return out


def _fill(out: av.VideoFrame, frame: YuvFrame) -> None:
    if frame.layout.family == "gray" and frame.alpha is not None:
        both = _plane(out.planes[0], frame.layout, channels=2)
        np.copyto(both[..., 0].numpy(), frame.planes[0].numpy())
        np.copyto(both[..., 1].numpy(), frame.alpha.numpy())
        return
    order = _GBR_TO_RGB if frame.layout.family == "rgb" else range(len(frame.planes))
    targets = [_plane(out.planes[i], frame.layout) for i in order]
    sources = list(frame.planes)
    if frame.alpha is not None:
        targets.append(_plane(out.planes[-1], frame.layout))
        sources.append(frame.alpha)
    for target, source in zip(targets, sources, strict=True):
        np.copyto(target.numpy(), source.numpy())  # See [Who computes] in vsr.pipeline.flow.graph


def _plane(plane: Any, layout: PixelLayout, *, channels: int = 1) -> Tensor:
    """Return a view `(H, W)`, or `(H, W, channels)` where a plane holds several components."""
    if plane.line_size >= 0:
        view: Tensor = torch.utils.dlpack.from_dlpack(plane)
        return view
    # Bottom-up frames (uncompressed AVI): torch has no negative strides, so this one is copied.
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)[::-1, : plane.width * channels]
    flipped = torch.from_numpy(rows.copy())
    return flipped if channels == 1 else flipped.view(plane.height, plane.width, channels)
