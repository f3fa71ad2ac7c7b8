"""The stages of a frame between decoder and encoder, each a generator.

A stage replaces the image and keeps the time stamp. For each frame that goes in, exactly one comes out. Marks
between frames (`vsr.pipeline.flow.marks`) keep their place. No `yield` is inside a context of torch
(inference_mode, a stream), because the context would then also apply to the consumer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from vsr.color.convert import alpha_to_float, alpha_to_plane, to_planes, to_rgb
from vsr.color.spec import ColorSpec, PixelLayout
from vsr.color.transparent import spread
from vsr.engine.device import with_retry
from vsr.engine.static_regions import StaticRegions
from vsr.engine.upscaler import Upscaler
from vsr.frame import RgbFrame, YuvFrame
from vsr.models.archs.resample import resize
from vsr.pipeline.flow.cuda_streams import DeviceStreams, Ready
from vsr.pipeline.flow.marks import Idle, Mark, Repeat
from vsr.pipeline.flow.meter import Meter

REDONE = "pictures redone in fp32"
"""Name of a counter in the meter."""
STILL = "pictures' worth that stood still"
"""Name of a counter in the meter."""
MOST_REPEATS = 64
"""Largest number of duplicates that wait with a batch, so that a static film is written continuously."""


def upload(
    frames: Iterable[YuvFrame | Mark], streams: DeviceStreams, meter: Meter
) -> Iterator[YuvFrame | Mark]:
    """Copy planes to the device in their own format, 1.5 bytes a pixel for 8-bit 4:2:0."""
    for frame in frames:
        if isinstance(frame, Mark):
            yield frame
            continue
        with meter("upload"):
            tensors = frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)
            moved = streams.upload(tensors)
        n = len(frame.planes)
        yield replace(frame, planes=moved[:n], alpha=moved[n] if frame.alpha is not None else None)


def rgb(frames: Iterable[YuvFrame | Mark], streams: DeviceStreams, meter: Meter) -> Iterator[RgbFrame | Mark]:
    """Convert frames to R'G'B' on the device, according to their colour tags."""
    for frame in frames:
        if isinstance(frame, Mark):
            yield frame
            continue
        with meter("color"):
            picture = as_rgb(frame, streams)
        yield picture


def as_rgb(frame: YuvFrame, streams: DeviceStreams) -> RgbFrame:
    """Convert one frame as `rgb` does; its planes are on the device.

    Transparent pixels get the colours of their neighbours, so that no edge darkens.
    """
    with streams.computing(), torch.inference_mode():
        image = with_retry(partial(to_rgb, frame.planes, frame.color, frame.layout), streams.device)
        alpha = None if frame.alpha is None else alpha_to_float(frame.alpha, frame.layout)
        if alpha is not None:
            image = with_retry(partial(spread, image, alpha), streams.device)
    return RgbFrame(image=image, alpha=alpha, stamp=frame.stamp)


@dataclass(frozen=True, slots=True)
class _Batch:
    items: list[RgbFrame | Repeat]
    """Frames, and duplicates of them in their places."""
    lr: Tensor
    sr: Tensor
    healthy: Tensor
    ready: Ready


def upscale(
    frames: Iterable[RgbFrame | Mark],
    upscaler: Upscaler,
    streams: DeviceStreams,
    meter: Meter,
    *,
    height: int,
    width: int,
    length: int | None = None,
    still: StaticRegions | None = None,
) -> Iterator[RgbFrame | Mark]:
    """Upscale batches with the generator, check them, and resize them to `height` x `width`.

    A batch does not cross frames whose numbers are multiples of `length`, so that a run that resumes there
    computes the same batches as an uninterrupted one, and therefore the same bits.

    With `still`, static regions are not computed again (`engine.static_regions`), with the same bits.

    On CUDA, the check of a batch is read after the next batch was queued, so the device never waits. If the
    source is idle, incomplete batches and pending checks are finished at once.
    """
    waiting: deque[_Batch | list[Repeat]] = deque()
    launch = upscaler.launch if still is None else still.launch
    lag = 1 if streams.device.type == "cuda" else 0
    for group in _groups(frames, upscaler, length):
        if isinstance(group, Idle):
            while waiting:
                yield from _finish(waiting.popleft(), upscaler, streams, meter, height, width)
            yield group
            continue
        pictures = [item.image for item in group if isinstance(item, RgbFrame)]
        if not pictures:
            waiting.append([item for item in group if isinstance(item, Repeat)])
        else:
            with meter("upscale"), streams.computing(), torch.inference_mode():
                images = torch.stack(pictures) if len(pictures) > 1 else pictures[0][None]
                launched = launch(images)
                (healthy,), ready = streams.download((launched.healthy,))
                waiting.append(_Batch(group, images, launched.images, healthy, ready))
        while len(waiting) > lag:
            yield from _finish(waiting.popleft(), upscaler, streams, meter, height, width)
    while waiting:
        yield from _finish(waiting.popleft(), upscaler, streams, meter, height, width)
    meter.count(STILL, 0 if still is None else round(still.saved))


def _groups(
    frames: Iterable[RgbFrame | Mark], upscaler: Upscaler, length: int | None
) -> Iterator[list[RgbFrame | Repeat] | Idle]:
    """Yield batches, with duplicates in their places, and the marks of an idle source.

    The batch size is read again for each batch, because it decreases when memory is short.
    """
    group: list[RgbFrame | Repeat] = []
    pictures = 0
    for frame in frames:
        part_ends = length and group and _part(frame, length) != _part(group[0], length)
        if group and (part_ends or isinstance(frame, Idle)):
            yield group
            group, pictures = [], 0
        if isinstance(frame, Idle):
            yield frame
            continue
        assert isinstance(frame, RgbFrame | Repeat)
        group.append(frame)
        pictures += isinstance(frame, RgbFrame)
        if not pictures or pictures >= upscaler.batch or len(group) >= pictures + MOST_REPEATS:
            yield group
            group, pictures = [], 0
    if group:
        yield group


def _part(frame: RgbFrame | Mark, length: int) -> int | None:
    """Return the number of the segment that a frame belongs to; None for other marks."""
    return frame.stamp.index // length if isinstance(frame, RgbFrame | Repeat) else None


def _finish(
    batch: _Batch | list[Repeat],
    upscaler: Upscaler,
    streams: DeviceStreams,
    meter: Meter,
    height: int,
    width: int,
) -> Sequence[RgbFrame | Mark]:
    if not isinstance(batch, _Batch):
        return batch
    with meter("upscale"), streams.computing(), torch.inference_mode():
        batch.ready.wait()  # waits for the check of this batch; on CUDA, the next one is already queued
        meter.count(REDONE, upscaler.repair(batch.lr, batch.sr, batch.healthy))
        images = batch.sr
        if images.shape[-2:] != (height, width):
            images = with_retry(partial(resize, images, height=height, width=width), streams.device)
        made = iter(images)
        return [_made(item, made, height, width) for item in batch.items]


def _made(item: RgbFrame | Repeat, images: Iterator[Tensor], height: int, width: int) -> RgbFrame | Repeat:
    """Return the result for an item: the next image for a frame, the mark itself for a duplicate."""
    if isinstance(item, Repeat):
        return item
    return RgbFrame(image=next(images), alpha=_resized(item.alpha, height, width), stamp=item.stamp)


def _resized(alpha: Tensor | None, height: int, width: int) -> Tensor | None:
    """Resize alpha by bicubic interpolation; the generator never processes it."""
    if alpha is None or alpha.shape[-2:] == (height, width):
        return alpha
    return resize(alpha[None], height=height, width=width, kind="bicubic")[0]


def yuv(
    frames: Iterable[RgbFrame | Mark],
    streams: DeviceStreams,
    meter: Meter,
    *,
    color: ColorSpec,
    layout: PixelLayout,
) -> Iterator[YuvFrame | Mark]:
    """Convert frames to the sink's planes, rounded to 8 or 16 bits on the device to keep downloads small."""
    for frame in frames:
        if isinstance(frame, Mark):
            yield frame
            continue
        with meter("color"):
            picture = as_yuv(frame, streams, color=color, layout=layout)
        yield picture


def as_yuv(frame: RgbFrame, streams: DeviceStreams, *, color: ColorSpec, layout: PixelLayout) -> YuvFrame:
    """Convert one frame as `yuv` does; its planes are writable."""
    with streams.computing(), torch.no_grad():  # tensors of inference mode would stay read-only
        planes = with_retry(partial(to_planes, frame.image, color, layout), streams.device)
        alpha = _alpha_plane(frame, layout) if layout.alpha else None
    return YuvFrame(planes=planes, alpha=alpha, layout=layout, color=color, stamp=frame.stamp)


def _alpha_plane(frame: RgbFrame, layout: PixelLayout) -> Tensor:
    """Return the frame's alpha as a plane, or an opaque plane if it has none."""
    alpha = frame.alpha if frame.alpha is not None else torch.ones_like(frame.image[:1])
    return alpha_to_plane(alpha, layout)


def download(
    frames: Iterable[YuvFrame | Mark], streams: DeviceStreams, meter: Meter, *, depth: int
) -> Iterator[YuvFrame | Mark]:
    """Copy planes to the host; each frame waits only for its own copy, while later frames are computed.

    Up to `depth` downloads are pending. It must be at least a batch, otherwise the host would wait for the
    newest batch before it has queued the next one. When the source is idle, all downloads are finished.
    """
    if streams.device.type != "cuda":
        depth = 0
    flying: deque[tuple[YuvFrame, Ready] | Mark] = deque()
    for frame in frames:
        flying.append(frame if isinstance(frame, Mark) else _started(frame, streams, meter))
        while len(flying) > (0 if isinstance(frame, Idle) else depth):
            yield _landed(flying.popleft(), meter)
    while flying:
        yield _landed(flying.popleft(), meter)


def _started(frame: YuvFrame, streams: DeviceStreams, meter: Meter) -> tuple[YuvFrame, Ready]:
    with meter("download"):
        tensors = frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)
        moved, ready = streams.download(tensors)
        n = len(frame.planes)
        alpha = moved[n] if frame.alpha is not None else None
        return replace(frame, planes=moved[:n], alpha=alpha), ready


def _landed(flight: tuple[YuvFrame, Ready] | Mark, meter: Meter) -> YuvFrame | Mark:
    if isinstance(flight, Mark):
        return flight
    frame, ready = flight
    with meter("download"):
        ready.wait()
    return frame
