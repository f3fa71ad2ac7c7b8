"""`vsr` as a filter of VapourSynth.

    clip = vsr_vapoursynth.upscale(clip, model="auto", scale=2)

Integer formats are passed to vsr as planes, with each frame's properties, and the result equals that of `vsr
upscale` to the bit. R'G'B' of 8 and 16 bits and of floats is passed to the generator directly. Float formats
of Y'CbCr and grey, which vsr does not support, are converted to float R'G'B' by VapourSynth's own resizer.
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
"""Formats that are passed to the generator directly."""
FAMILIES: dict[int, Literal["yuv", "gray", "rgb"]] = {vs.YUV: "yuv", vs.GRAY: "gray", vs.RGB: "rgb"}
MOST_BITS = 16
"""Dtypes of integers in vsr's planes."""
LIMITED, FULL = 0, 1
"""Values of `_Range`. The core also creates it from the old `_ColorRange`, where the values are exchanged."""
STREAMS = {"cpu": 2, "cuda": 8}
"""Concurrent requests: on a CPU one is computed while the next is fetched; a GPU computes batches."""
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
        clip: A clip of one format and size: Y'CbCr, grey or R'G'B', integers of 8 to 16 bits or floats.
        model: Name in vsr's catalog, weight file, or a network; see `vsr.Upscaler`.
        scale: Output side / input side; None uses the model's own. Sizes are rounded down.
        strength: From 0, faithful, to 1, crisp, for models that come as a pair.
        partner: The faithful model to interpolate with, if `model` is a file.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        precision: `auto`, `fp32`, `bf16`, `fp16`, `int8`.
        backend: `auto`, `torch`, `winograd`, `openvino`, `amx`, `cuda`.
        tile: Side of a tile in LR pixels; None chooses by memory, 0 is the whole frame.
        batch: Frames in a batch; None chooses by device and memory.
        num_streams: Number of frames in progress at the same time; None chooses by device.

    Returns:
        A clip with the same format, length and frame properties.

    Raises:
        vs.Error: The clip, a setting or the model is impossible; one line. Frames raise it too.
    """
    if clip.format is None or not clip.width:
        raise vs.Error(
            "vsr_vapoursynth: the clip changes its format or size. Give one with a constant format and size"
        )
    executor = _executor(device)
    upscaler = _built(
        executor,
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
        raise vs.Error(f"vsr_vapoursynth: num_streams of {num_streams} is not possible. Give 1 or more")
    width, height = (max(1, int(side * upscaler.scale)) for side in (clip.width, clip.height))
    _check_size(clip.format, width, height)
    batcher = Batcher(upscaler, executor, most=streams)
    if clip.format.id in PICTURES or _has_codes(clip.format):
        return _generated(clip, batcher, width=width, height=height, streams=streams)
    lr = clip.std.ModifyFrame(clip, _tagged)
    sr = _generated(lr.resize.Bicubic(format=vs.RGBS), batcher, width=width, height=height, streams=streams)
    return _as_before(sr, lr)


@cache
def _executor(device: str) -> ThreadPoolExecutor:
    """Return the only thread that uses torch on a device, for all clips.

    GNU OpenMP gives each computing thread its own workers. If there are more workers
    than cores, they no longer spin, and every operator of torch begins and ends with a
    system call (see docs/benchmarks.md of vsr).
    """
    return ThreadPoolExecutor(1, thread_name_prefix=f"vsr-{device}")


def _built(executor: ThreadPoolExecutor, model: Any, **settings: Any) -> vsr.Upscaler:
    """Build the upscaler on the thread that will use it, because building also computes."""
    try:
        upscaler = executor.submit(vsr.Upscaler, model, **settings).result()
    except vsr.VsrError as error:
        raise vs.Error(f"vsr_vapoursynth: {error}") from error
    if upscaler.device.type == "cpu":
        keep_freed_memory()
    return upscaler


def _has_codes(form: vs.VideoFormat) -> bool:
    """Return whether `vsr.YuvFrame` supports the format."""
    return bool(form.sample_type == vs.INTEGER and form.bits_per_sample <= MOST_BITS)


def _check_size(form: vs.VideoFormat, width: int, height: int) -> None:
    across, down = 1 << form.subsampling_w, 1 << form.subsampling_h
    if width % across or height % down:
        raise vs.Error(
            f"vsr_vapoursynth: {width}x{height} is not possible in {form.name}, whose sizes are multiples of "
            f"{across}x{down}. Choose another scale"
        )


def _layout_of(form: vs.VideoFormat) -> vsr.PixelLayout:
    return vsr.PixelLayout(
        family=FAMILIES[form.color_family],
        bit_depth=min(form.bits_per_sample, MOST_BITS),
        chroma_shift=(form.subsampling_w, form.subsampling_h),
    )


def _color_of(f: vs.VideoFrame) -> vsr.ColorSpec:
    """Return the colour tags of a frame from its properties; missing ones are guessed as players do.

    Without a range, R'G'B' is full and everything else, including grey, is limited, as in VapourSynth.
    """
    props = f.props
    usual = FULL if f.format.color_family == vs.RGB else LIMITED
    said = {"matrix": "_Matrix", "transfer": "_Transfer", "primaries": "_Primaries"}
    told = vsr.ColorSpec.from_numbers(
        **{tag: int(props[name]) for tag, name in said.items() if name in props},
        range=int(props.get("_Range", usual)) + 1,  # vsr uses FFmpeg's numbers, where 0 is unspecified
        chroma_location=int(props.get("_ChromaLocation", -1)) + 1,
    )
    return told.guess_for(height=f.height, width=f.width, layout=_layout_of(f.format))[0]


def _props_of(frame: vsr.YuvFrame) -> dict[str, int]:
    """Return the tags that were used for the conversion; for a larger frame
    without tags, others would be guessed."""
    color, shift = frame.color, frame.layout.chroma_shift
    place = {"_ChromaLocation": int(color.chroma_location) - 1} if shift != (0, 0) else {}
    return {"_Matrix": int(color.matrix), "_Range": int(color.range) - 1, **place}


def _tagged(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
    """Return the frame with a matrix, because the resizer does not guess a missing one."""
    told = f.copy()
    told.props["_Matrix"] = int(_color_of(f).matrix)
    return told


def _as_before(sr: vs.VideoNode, lr: vs.VideoNode) -> vs.VideoNode:
    """Convert back to the format of `lr`, with the properties that each frame has there."""
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
    """Return the arguments that the resizer needs to make such a frame from float R'G'B'."""
    tags = {"matrix": f.props["_Matrix"]}
    if "_Range" in f.props:
        tags["range"] = f.props["_Range"]
    if f.format.subsampling_w and "_ChromaLocation" in f.props:
        tags["chromaloc"] = f.props["_ChromaLocation"]
    return tags


def _generated(lr: vs.VideoNode, batcher: Batcher, *, width: int, height: int, streams: int) -> vs.VideoNode:
    """Run the generator on a clip and return the same format.

    VapourSynth calls the function of a node once at a time. Therefore there are `streams` nodes, each for
    every `streams`-th frame, and concurrent requests form one batch.
    """
    like = lr.std.BlankClip(width=width, height=height, keep=True)
    filled = partial(_filled, batcher=batcher, like=like, step=streams)

    def part(first: int) -> vs.VideoNode:
        some = lr.std.SelectEvery(streams, first, modify_duration=False) if streams > 1 else lr
        return like.std.Trim(length=len(some)).std.ModifyFrame(some, partial(filled, first=first))

    parts = [part(first) for first in range(min(streams, len(lr)))]
    return _interleaved(parts)[: len(lr)]


def _interleaved(parts: list[vs.VideoNode]) -> vs.VideoNode:
    """Return the first frame of each part, then the second of each; shorter parts repeat their last frame."""
    return vs.core.std.Interleave(parts, extend=True, modify_duration=False) if len(parts) > 1 else parts[0]


def _filled(
    n: int, f: vs.VideoFrame, *, batcher: Batcher, like: vs.VideoNode, first: int, step: int
) -> vs.VideoFrame:
    """Return the `n`-th of the frames `first`, `first + step` and so on, upscaled."""
    number = first + n * step
    try:
        made = batcher.ask(_picture_of(f, number))
    except vsr.VsrError as error:
        # VapourSynth shows the traceback of an error in a frame; vsr's own would hide the message.
        raise vs.Error(f"vsr_vapoursynth: frame {number}: {error}") from None
    sr = vs.core.create_video_frame(like.format, like.width, like.height)
    sr.props.update(f.props)
    if isinstance(made, vsr.YuvFrame):
        sr.props.update(_props_of(made))
    for plane, samples in enumerate(made.planes if isinstance(made, vsr.YuvFrame) else made):
        np.copyto(np.asarray(sr[plane]), samples.numpy())
    return sr


def _picture_of(f: vs.VideoFrame, number: int) -> Picture:
    """Return a frame as the input of `vsr.Upscaler`, copied, because
    torch does not support read-only memory."""
    planes = tuple(torch.from_numpy(np.array(f[plane])) for plane in range(f.format.num_planes))
    if f.format.id in PICTURES:
        return torch.stack(planes)
    stamp = vsr.Stamp(index=number, pts=number, duration=1, time_base=Fraction(1))
    return vsr.YuvFrame(planes=planes, layout=_layout_of(f.format), color=_color_of(f), stamp=stamp)


class Batcher:
    """Collects frames from many threads into batches, which one thread computes."""

    def __init__(self, upscaler: vsr.Upscaler, executor: ThreadPoolExecutor, *, most: int) -> None:
        self._upscaler = upscaler
        self._executor = executor
        self._most = most
        self._waiting: deque[tuple[Picture, Future[Picture]]] = deque()

    def ask(self, picture: Picture) -> Picture:
        """Upscale a frame in host memory, and wait for the result.

        Raises:
            vsr.VsrError: This frame, or another one of its batch, cannot be upscaled.
        """
        answer: Future[Picture] = Future()
        self._waiting.append((picture, answer))
        self._executor.submit(self._serve)
        return answer.result()

    def _serve(self) -> None:
        """Compute all waiting requests together; often there are none,
        because the last call computed several."""
        taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        if not taken:
            return
        try:
            pictures = self._upscaler.frames(picture for picture, _ in taken)  # type: ignore[type-var]
            for (_, answer), sr in zip(taken, pictures, strict=True):
                answer.set_result(sr)
        except BaseException as error:  # every waiting request must get the error
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
