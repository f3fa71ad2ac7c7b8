"""Upscales the frames of a Python program as a stream.

It opens no files. The stages are those for the frames of a file, so the results are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vsr.engine import upscaler as engine
from vsr.engine.device import choose_device
from vsr.engine.static_regions import StaticRegions
from vsr.errors import ConfigError
from vsr.frame import RgbFrame, Stamp
from vsr.models.catalog import choose
from vsr.models.load import load_generator
from vsr.pipeline.flow import stages
from vsr.pipeline.flow.cuda_streams import DeviceStreams, Ready
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.job.output_size import MAX_SCALE
from vsr.pipeline.picture_types import Form, Picture, Tensors, opened
from vsr.settings.schema import Backend, Precision


class Upscaler:
    """A generator on a device for the frames of a Python program.

    Use an instance from one thread only. `frames` may be called any
    number of times, for one stream after another.
    """

    def __init__(
        self,
        model: str | Path | nn.Module = "auto",
        *,
        scale: Fraction | float | str | None = None,
        strength: float | None = None,
        partner: str | Path | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        backend: Backend = "auto",
        tile: int | None = None,
        batch: int | None = None,
        reuse: bool = True,
    ) -> None:
        """Load a generator and copy it to the device.

        Args:
            model: Name in the catalog (`vsr models list`), weight file, or a network in eval mode on the CPU
                with the attributes `scale` and `receptive_radius` (LR pixels).
            scale: Output side / input side; None uses the model's own. A bicubic filter resizes the rest.
            strength: From 0, faithful, to 1, crisp, for models that come as a pair.
            partner: The faithful model to interpolate with, if `model` is a file.
            device: `auto`, `cpu`, `mps`, `cuda`, `cuda:N`.
            backend: Backend that runs the generator: `auto`, `torch`, `winograd`, `openvino`, `amx`, `cuda`.
            precision: Number format of weights and activations; images remain float32.
            tile: Side of a tile in LR pixels; None chooses by memory, 0 is the whole frame.
            batch: Frames in a batch; None chooses by device and memory, and is 1 on the CPU.
            reuse: On the CPU and for batches of one, do not compute again what equals the
                previous frame: whole frames and, in float32, regions. The bits are the same.
                The last frame is kept for the comparison.

        Raises:
            ConfigError: Scale, strength or device is impossible.
            ModelError: The model does not exist, or the file is no model.
            DeviceError: The device is not available.
        """
        self._scale = None if scale is None else _checked_scale(scale)
        network = model if isinstance(model, nn.Module) else self._load(model, strength, partner, device)
        self._engine = engine.Upscaler(
            network, device_name=device, precision=precision, backend=backend, tile=tile, batch=batch
        )
        self._still = StaticRegions(self._engine, wholes=True) if reuse else None

    def _load(
        self, model: str | Path, strength: float | None, partner: str | Path | None, device: str
    ) -> nn.Module:
        name, _ = choose(str(model), choose_device(device).type)
        return load_generator(name, scale=self._scale, strength=strength, partner=partner).network

    @property
    def scale(self) -> Fraction:
        """Output side / input side."""
        return self._engine.scale if self._scale is None else self._scale

    @property
    def device(self) -> torch.device:
        """The device on which the generator runs."""
        return self._engine.device

    def frames(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """Upscale frames lazily, in batches and in order; exactly one frame comes out for each that goes in.

        At most two batches are read ahead (one on the CPU), so memory does not depend on the number of
        frames. Sizes and types may change from frame to frame.

        Args:
            frames: Frames of any of these types; all but the last are R'G'B', encoded for a display: numpy
                arrays `(H, W, 3)`: uint8 [0, 255], uint16 [0, 65535], float16 or float32, nominally [0, 1];
                torch tensors `(3, H, W)` of the same types or bfloat16, on the CPU or the upscaler's device;
                `RgbFrame`s; `YuvFrame`s: planes of Y'CbCr, R'G'B' or grey as decoders return them, 8 to 16
                bits, on the CPU or the upscaler's device, with complete tags (`ColorSpec.guess_for`).

        Yields:
            The same type and dtype, `(H * scale, W * scale, 3)` or `(3, H * scale, W * scale)`; sizes are
            rounded down. Integers are rounded and clipped; floats are not clipped. Tensors are on the device
            of the input. Frame objects keep their stamps, and alpha is upscaled by a filter. `YuvFrame`s also
            keep layout and colour, and equal what `upscale` writes for them to the bit.

        Raises:
            InputError: A frame has an unsupported shape, type or device, or
                its colour is unknown or not fully tagged.
            DeviceMemoryError: Not even the smallest tile fits.
            ModelError: The generator returns values that are not finite.
        """
        streams = DeviceStreams(self._engine.frames_device)
        forms: deque[Form] = deque()
        sr = self._by_size(_images(frames, forms, streams), streams)
        yield from _given_back(sr, forms, streams, depth=self._depth())

    def _depth(self) -> int:
        """Return how many downloads may be pending; 0 on the CPU, which has none."""
        return max(2, self._engine.batch) if self.device.type == "cuda" else 0

    def _by_size(self, lr: Iterator[RgbFrame], streams: DeviceStreams) -> Iterator[RgbFrame]:
        meter = Meter()
        for (height, width), group in groupby(lr, key=_size):
            made = stages.upscale(
                group,
                self._engine,
                streams,
                meter,
                height=max(1, int(height * self.scale)),
                width=max(1, int(width * self.scale)),
                still=self._still,
            )
            yield from (frame for frame in made if isinstance(frame, RgbFrame))


def upscale_image(
    image: Picture,
    *,
    model: str | Path | nn.Module = "auto",
    scale: Fraction | float | str | None = None,
    strength: float | None = None,
    partner: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    tile: int | None = None,
) -> Picture:
    """Upscale one image that a program has in memory.

    The model is loaded for each call. For several images make one `Upscaler` and use its method `frames`.

    Args:
        image: A numpy array `(H, W, 3)`, a torch tensor `(3, H, W)`, an `RgbFrame` or a `YuvFrame`, with the
            types and ranges that `Upscaler.frames` names: uint8 is 0 to 255, floats are nominally 0 to 1.
        model: Name in the catalog (`vsr models list`), weight file, or a network; see `Upscaler`.
        scale: Side of the result over side of the image; None takes the model's own.
        strength: From 0, faithful, to 1, crisp, for models that come as a pair.
        partner: The faithful model of the pair, for a model of one's own.
        device: `auto`, `cpu`, `mps`, `cuda`, `cuda:N`.
        precision: Number format of weights and activations.
        backend: What runs the network.
        tile: Side of a tile in pixels of the image; None decides by memory, 0 is the whole image.

    Returns:
        The result, of the type and kind of `image` and on its device, with sides of `H * scale` and
        `W * scale` pixels, rounded down.

    Raises:
        ConfigError: an impossible scale, strength or device.
        ModelError: no such model, or a file that is none.
        DeviceError: the device is not there.
        InputError: an image of another shape or type.
        DeviceMemoryError: not even the smallest tile fits.

    >>> import numpy as np
    >>> vsr.upscale_image(np.zeros((48, 64, 3), np.uint8), model="fast-x2").shape
    (96, 128, 3)
    """
    upscaler = Upscaler(
        model,
        scale=scale,
        strength=strength,
        partner=partner,
        device=device,
        precision=precision,
        backend=backend,
        tile=tile,
        reuse=False,
    )
    (made,) = upscaler.frames([image])
    return made


def _images(frames: Iterable[object], forms: deque[Form], streams: DeviceStreams) -> Iterator[RgbFrame]:
    """Convert frames to the generator's input, and append the type of each to `forms`."""
    for number, frame in enumerate(frames):
        lr, form = opened(frame, number, streams)
        forms.append(form)
        yield lr


def _given_back(
    frames: Iterable[RgbFrame], forms: deque[Form], streams: DeviceStreams, *, depth: int
) -> Iterator[Any]:
    """Convert results to the types of their inputs; on CUDA, up to `depth` downloads are pending."""
    flying: deque[tuple[Form, Tensors, Stamp, Ready]] = deque()
    for frame in frames:
        form = forms.popleft()
        made = form.made(frame, streams)
        tensors, ready = streams.download(made) if form.on_host else streams.release(made)
        flying.append((form, tensors, frame.stamp, ready))
        while len(flying) > depth:
            yield _landed(*flying.popleft())
    while flying:
        yield _landed(*flying.popleft())


def _landed(form: Form, tensors: Tensors, stamp: Stamp, ready: Ready) -> Any:
    ready.wait()  # waits: the copy must finish before the caller reads it
    return form.wrap(tensors, stamp)


def _size(frame: RgbFrame) -> tuple[int, int]:
    return frame.image.shape[-2], frame.image.shape[-1]


def _checked_scale(scale: Fraction | float | str) -> Fraction:
    try:
        found = Fraction(str(scale))
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= MAX_SCALE:
        raise ConfigError(f"a scale of {scale} is not possible. Use more than 0 and at most {MAX_SCALE}")
    return found
