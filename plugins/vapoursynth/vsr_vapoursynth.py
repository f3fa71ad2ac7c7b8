"""`vsr` as a filter of VapourSynth.

    clip = vsr_vapoursynth.upscale(clip, model="auto", scale=2)

R'G'B' of 8 and 16 bits and of floats goes to the generator as it is. Everything else becomes float R'G'B' in
VapourSynth's own resizer, by each frame's properties, and goes back the same way: no depth is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

import vsr

__all__ = ["upscale"]

NATIVE = (vs.RGB24, vs.RGB48, vs.RGBH, vs.RGBS)
"""Formats that the generator takes; the others pass through the last one."""
UNSPECIFIED = 2
"""H.273's matrix that says nothing."""
HD_LINES = 576
"""Above, an untagged picture is taken as BT.709, else as BT.601: players' rule, and vsr's."""
BT709, SMPTE170M = 1, 6
STREAMS = {"cpu": 2, "cuda": 8}
"""Requests at once: on a processor one is computed while the next is fetched; a GPU computes batches."""


def upscale(
    clip: vs.VideoNode,
    model: Any = "auto",
    *,
    scale: Fraction | float | str | None = None,
    strength: float | None = None,
    partner: str | None = None,
    device: str = "auto",
    precision: Any = "auto",
    backend: Any = "auto",
    tile: int | None = None,
    batch: int | None = None,
    num_streams: int | None = None,
) -> vs.VideoNode:
    """Upscale a clip.

    Args:
        clip: Of one format and size: Y'CbCr, grey or R'G'B', integers of 8 to 16 bits or floats.
        model: Name in vsr's catalog, weight file, or a network; see `vsr.Upscaler`.
        scale: Output side over input side; None takes the model's own. Sizes are rounded down.
        strength: From 0, faithful, to 1, crisp, for models that come as a pair.
        partner: The faithful end for a model of one's own.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        precision: `auto`, `fp32`, `bf16`, `fp16`, `int8`.
        backend: `auto`, `torch`, `openvino`.
        tile: Side of a tile in LR pixels; None decides by memory, 0 is the whole picture.
        batch: Pictures at once; None decides by device and memory.
        num_streams: Frames that may be under way at once; None decides by device.

    Returns:
        The same format, length and frame properties.

    Raises:
        vs.Error: a clip, setting or model that is impossible; one line. Frames raise it too.
    """
    if clip.format is None or not clip.width:
        raise vs.Error(
            "vsr_vapoursynth: a clip of changing format or size; give one of a single format and size"
        )
    try:
        upscaler = vsr.Upscaler(
            model,
            scale=scale,
            strength=strength,
            partner=partner,
            device=device,
            precision=precision,
            backend=backend,
            tile=tile,
            batch=batch,
        )
    except vsr.VsrError as error:
        raise vs.Error(f"vsr_vapoursynth: {error}") from error
    streams = num_streams or min(vs.core.num_threads, STREAMS.get(upscaler.device.type, 1))
    if streams < 1:
        raise vs.Error(f"vsr_vapoursynth: num_streams of {num_streams} is not possible; give 1 or more")
    width, height = (max(1, int(side * upscaler.scale)) for side in (clip.width, clip.height))
    _check_size(clip.format, width, height)
    if clip.format.id in NATIVE:
        return _generated(clip, upscaler, width=width, height=height, streams=streams)
    lr = clip.std.ModifyFrame(clip, _tagged)
    sr = _generated(lr.resize.Bicubic(format=vs.RGBS), upscaler, width=width, height=height, streams=streams)
    return _as_before(sr, lr)


def _check_size(form: vs.VideoFormat, width: int, height: int) -> None:
    across, down = 1 << form.subsampling_w, 1 << form.subsampling_h
    if width % across or height % down:
        raise vs.Error(
            f"vsr_vapoursynth: {width}x{height} is not possible in {form.name}, whose sizes are multiples of "
            f"{across}x{down}; choose another scale"
        )


def _tagged(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
    """With a matrix, if it has none: the resizer does not guess."""
    if f.props.get("_Matrix", UNSPECIFIED) != UNSPECIFIED or f.format.color_family == vs.RGB:
        return f
    told = f.copy()
    told.props["_Matrix"] = BT709 if f.height > HD_LINES else SMPTE170M
    return told


def _as_before(sr: vs.VideoNode, lr: vs.VideoNode) -> vs.VideoNode:
    """Back to the format of `lr`, each frame by the properties that it had there."""
    assert lr.format is not None
    form = lr.format
    nodes: dict[tuple[tuple[str, Any], ...], vs.VideoNode] = {}

    def chosen(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        tags = _tags(f)
        key = tuple(sorted(tags.items()))
        if key not in nodes:
            nodes[key] = sr.resize.Bicubic(format=form.id, **tags)
        return nodes[key]

    blank = sr.std.BlankClip(format=form.id, keep=True)
    return blank.std.FrameEval(chosen, prop_src=lr, clip_src=sr).std.CopyFrameProps(lr)


def _tags(f: vs.VideoFrame) -> dict[str, Any]:
    """What the resizer must know to make such a frame of float R'G'B'."""
    if f.format.color_family == vs.RGB:
        return {}
    tags = {"matrix": f.props["_Matrix"]}
    if "_Range" in f.props:
        tags["range"] = f.props["_Range"]
    if f.format.subsampling_w and "_ChromaLocation" in f.props:
        tags["chromaloc"] = f.props["_ChromaLocation"]
    return tags


def _generated(
    lr: vs.VideoNode, upscaler: vsr.Upscaler, *, width: int, height: int, streams: int
) -> vs.VideoNode:
    """R'G'B' through the generator.

    VapourSynth calls a function of a node once at a time, so there are `streams` nodes, each for every
    `streams`-th frame; what they ask for at the same time is one batch.
    """
    blank = lr.std.BlankClip(width=width, height=height, keep=True)
    desk = Desk(upscaler, most=streams)

    def part(lr: vs.VideoNode) -> vs.VideoNode:
        room = blank.std.Trim(length=len(lr))
        return room.std.ModifyFrame([lr, room], _filled_by(desk))

    if streams == 1:
        return part(lr)
    firsts = range(min(streams, len(lr)))
    parts = [part(lr.std.SelectEvery(streams, first, modify_duration=False)) for first in firsts]
    return _interleaved(parts)[: len(lr)]


def _interleaved(parts: list[vs.VideoNode]) -> vs.VideoNode:
    """The first of each, then the second of each; the shorter ones are repeated at their end."""
    return vs.core.std.Interleave(parts, extend=True, modify_duration=False) if len(parts) > 1 else parts[0]


def _filled_by(desk: Desk) -> Callable[[int, list[vs.VideoFrame]], vs.VideoFrame]:
    def filled(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        lr, room = f
        try:
            picture = desk.ask(torch.from_numpy(np.stack([np.asarray(lr[plane]) for plane in range(3)])))
        except vsr.VsrError as error:
            raise vs.Error(f"vsr_vapoursynth: frame {n}: {error}") from error
        sr = room.copy()
        for plane in range(3):
            np.copyto(np.asarray(sr[plane]), picture[plane].numpy())
        sr.props.clear()
        sr.props.update(lr.props)
        return sr

    return filled


class Desk:
    """Takes pictures from many threads, and has one compute all that wait, together."""

    def __init__(self, upscaler: vsr.Upscaler, *, most: int) -> None:
        self._upscaler = upscaler
        self._most = most
        self._waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="vsr")
        """An upscaler serves one thread; it ends when nobody has the desk any more."""

    def ask(self, picture: Tensor) -> Tensor:
        """`(3, H, W)` on the host, upscaled; waits for it.

        Raises:
            vsr.VsrError: it, or one of those with which it was computed, cannot be.
        """
        answer: Future[Tensor] = Future()
        self._waiting.append((picture, answer))
        self._clerk.submit(self._serve)
        return answer.result()

    def _serve(self) -> None:
        """Those who wait, together; often nobody does, as the time before took several."""
        taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        if not taken:
            return
        try:
            pictures = self._upscaler.frames(picture for picture, _ in taken)
            for (_, answer), sr in zip(taken, pictures, strict=True):
                answer.set_result(sr)
        except BaseException as error:  # whatever it is, those who wait must hear of it
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
