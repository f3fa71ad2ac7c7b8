"""`vsr` as a filter of VapourSynth.

    clip = vsr_vapoursynth.upscale(clip, model="auto", scale=2)

Integers go to vsr as planes, by each frame's properties, and come back as what `vsr upscale` makes of them,
to the bit. R'G'B' of 8 and 16 bits and of floats goes to the generator as it is. Floats of Y'CbCr and grey,
which vsr has not, pass through float R'G'B' in VapourSynth's own resizer.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

import vsr
from vsr.engine.allocator import keep_freed_memory

__all__ = ["upscale"]

PICTURES = (vs.RGB24, vs.RGB48, vs.RGBH, vs.RGBS)
"""Formats that the generator takes as they are."""
FAMILIES: dict[int, Literal["yuv", "gray", "rgb"]] = {vs.YUV: "yuv", vs.GRAY: "gray", vs.RGB: "rgb"}
MOST_BITS = 16
"""Of integers in vsr's planes."""
LIMITED, FULL = 0, 1
"""Values of `_Range`. The core makes it of the old `_ColorRange` too, where they are the other way round."""
STREAMS = {"cpu": 2, "cuda": 8}
"""Requests at once: on a processor one is computed while the next is fetched; a GPU computes batches."""
Picture = Tensor | vsr.YuvFrame


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
        backend: `auto`, `torch`, `winograd`, `openvino`, `amx`, `cuda`.
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
    clerk = _clerk(device)
    upscaler = _built(
        clerk,
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
    streams = num_streams or min(vs.core.num_threads, STREAMS.get(upscaler.device.type, 1))
    if streams < 1:
        raise vs.Error(f"vsr_vapoursynth: num_streams of {num_streams} is not possible; give 1 or more")
    width, height = (max(1, int(side * upscaler.scale)) for side in (clip.width, clip.height))
    _check_size(clip.format, width, height)
    desk = Desk(upscaler, clerk, most=streams)
    if clip.format.id in PICTURES or _has_codes(clip.format):
        return _generated(clip, desk, width=width, height=height, streams=streams)
    lr = clip.std.ModifyFrame(clip, _tagged)
    sr = _generated(lr.resize.Bicubic(format=vs.RGBS), desk, width=width, height=height, streams=streams)
    return _as_before(sr, lr)


@cache
def _clerk(device: str) -> ThreadPoolExecutor:
    """The one thread that uses torch on a device, for all clips.

    GNU OpenMP gives each thread that computes workers of its own. Once they are more than cores they no
    longer spin, and every operator of torch begins and ends with a system call (vsr's docs/benchmarks.md).
    """
    return ThreadPoolExecutor(1, thread_name_prefix=f"vsr-{device}")


def _built(clerk: ThreadPoolExecutor, model: Any, **settings: Any) -> vsr.Upscaler:
    """On the thread on which it will compute, for building it computes too."""
    try:
        upscaler = clerk.submit(vsr.Upscaler, model, **settings).result()
    except vsr.VsrError as error:
        raise vs.Error(f"vsr_vapoursynth: {error}") from error
    if upscaler.device.type == "cpu":
        keep_freed_memory()
    return upscaler


def _has_codes(form: vs.VideoFormat) -> bool:
    """Whether its samples are what `vsr.YuvFrame` holds."""
    return bool(form.sample_type == vs.INTEGER and form.bits_per_sample <= MOST_BITS)


def _check_size(form: vs.VideoFormat, width: int, height: int) -> None:
    across, down = 1 << form.subsampling_w, 1 << form.subsampling_h
    if width % across or height % down:
        raise vs.Error(
            f"vsr_vapoursynth: {width}x{height} is not possible in {form.name}, whose sizes are multiples of "
            f"{across}x{down}; choose another scale"
        )


def _layout_of(form: vs.VideoFormat) -> vsr.PixelLayout:
    return vsr.PixelLayout(
        family=FAMILIES[form.color_family],
        bit_depth=min(form.bits_per_sample, MOST_BITS),
        chroma_shift=(form.subsampling_w, form.subsampling_h),
    )


def _color_of(f: vs.VideoFrame) -> vsr.ColorSpec:
    """What the samples of a frame mean: by its properties, else as players take it.

    What does not say its range is full in R'G'B' and limited elsewhere, in grey too: VapourSynth's own rule.
    """
    props = f.props
    usual = FULL if f.format.color_family == vs.RGB else LIMITED
    said = {"matrix": "_Matrix", "transfer": "_Transfer", "primaries": "_Primaries"}
    told = vsr.ColorSpec.from_numbers(
        **{tag: int(props[name]) for tag, name in said.items() if name in props},
        range=int(props.get("_Range", usual)) + 1,  # vsr's numbers are FFmpeg's, where 0 says nothing
        chroma_location=int(props.get("_ChromaLocation", -1)) + 1,
    )
    return told.guess_for(height=f.height, width=f.width, layout=_layout_of(f.format))[0]


def _props_of(frame: vsr.YuvFrame) -> dict[str, int]:
    """What its samples were converted by: a larger picture that says nothing would be taken otherwise."""
    color, shift = frame.color, frame.layout.chroma_shift
    place = {"_ChromaLocation": int(color.chroma_location) - 1} if shift != (0, 0) else {}
    return {"_Matrix": int(color.matrix), "_Range": int(color.range) - 1, **place}


def _tagged(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
    """With a matrix, if it has none: the resizer does not guess."""
    told = f.copy()
    told.props["_Matrix"] = int(_color_of(f).matrix)
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
    tags = {"matrix": f.props["_Matrix"]}
    if "_Range" in f.props:
        tags["range"] = f.props["_Range"]
    if f.format.subsampling_w and "_ChromaLocation" in f.props:
        tags["chromaloc"] = f.props["_ChromaLocation"]
    return tags


def _generated(lr: vs.VideoNode, desk: Desk, *, width: int, height: int, streams: int) -> vs.VideoNode:
    """Through the generator, in the same format.

    VapourSynth calls a function of a node once at a time, so there are `streams` nodes, each for every
    `streams`-th frame; what they ask for at the same time is one batch.
    """
    like = lr.std.BlankClip(width=width, height=height, keep=True)
    filled = partial(_filled, desk=desk, like=like, step=streams)

    def part(first: int) -> vs.VideoNode:
        some = lr.std.SelectEvery(streams, first, modify_duration=False) if streams > 1 else lr
        return like.std.Trim(length=len(some)).std.ModifyFrame(some, partial(filled, first=first))

    parts = [part(first) for first in range(min(streams, len(lr)))]
    return _interleaved(parts)[: len(lr)]


def _interleaved(parts: list[vs.VideoNode]) -> vs.VideoNode:
    """The first of each, then the second of each; the shorter ones are repeated at their end."""
    return vs.core.std.Interleave(parts, extend=True, modify_duration=False) if len(parts) > 1 else parts[0]


def _filled(
    n: int, f: vs.VideoFrame, *, desk: Desk, like: vs.VideoNode, first: int, step: int
) -> vs.VideoFrame:
    """The `n`-th of the frames `first`, `first + step` and so on, upscaled."""
    number = first + n * step
    try:
        made = desk.ask(_picture_of(f, number))
    except vsr.VsrError as error:
        # VapourSynth shows the traceback of what a frame raises; vsr's own would only bury the line.
        raise vs.Error(f"vsr_vapoursynth: frame {number}: {error}") from None
    sr = vs.core.create_video_frame(like.format, like.width, like.height)
    sr.props.update(f.props)
    if isinstance(made, vsr.YuvFrame):
        sr.props.update(_props_of(made))
    for plane, samples in enumerate(made.planes if isinstance(made, vsr.YuvFrame) else made):
        np.copyto(np.asarray(sr[plane]), samples.numpy())
    return sr


def _picture_of(f: vs.VideoFrame, number: int) -> Picture:
    """As `vsr.Upscaler` takes it, copied: torch has no memory that may only be read."""
    planes = tuple(torch.from_numpy(np.array(f[plane])) for plane in range(f.format.num_planes))
    if f.format.id in PICTURES:
        return torch.stack(planes)
    stamp = vsr.Stamp(index=number, pts=number, duration=1, time_base=Fraction(1))
    return vsr.YuvFrame(planes=planes, layout=_layout_of(f.format), color=_color_of(f), stamp=stamp)


class Desk:
    """Takes pictures from many threads, and has one compute all that wait, together."""

    def __init__(self, upscaler: vsr.Upscaler, clerk: ThreadPoolExecutor, *, most: int) -> None:
        self._upscaler = upscaler
        self._clerk = clerk
        self._most = most
        self._waiting: deque[tuple[Picture, Future[Picture]]] = deque()

    def ask(self, picture: Picture) -> Picture:
        """A picture on the host, upscaled; waits for it.

        Raises:
            vsr.VsrError: it, or one of those with which it was computed, cannot be.
        """
        answer: Future[Picture] = Future()
        self._waiting.append((picture, answer))
        self._clerk.submit(self._serve)
        return answer.result()

    def _serve(self) -> None:
        """Those who wait, together; often nobody does, as the time before took several."""
        taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        if not taken:
            return
        try:
            pictures = self._upscaler.frames(picture for picture, _ in taken)  # type: ignore[type-var]
            for (_, answer), sr in zip(taken, pictures, strict=True):
                answer.set_result(sr)
        except BaseException as error:  # whatever it is, those who wait must hear of it
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
