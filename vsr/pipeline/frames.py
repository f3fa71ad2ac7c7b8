"""Pictures of a Python program through a generator, as a stream: arrays, tensors or `RgbFrame`s.

Files are not seen here. The stages are those of a file's pictures, so the results are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vsr.config import Backend, Precision
from vsr.engine import upscaler as engine
from vsr.engine.device import choose_device
from vsr.errors import ConfigError, InputError
from vsr.frame import RgbFrame, Stamp
from vsr.models.catalog import choose
from vsr.models.load import load_generator
from vsr.pipeline import stages
from vsr.pipeline.meter import Meter
from vsr.pipeline.sizing import MAX_SCALE
from vsr.pipeline.streams import DeviceStreams, Ready

Picture = TypeVar("Picture", NDArray[Any], Tensor, RgbFrame)

_WHITE = {torch.uint8: 255, torch.uint16: 65535, torch.float16: 1, torch.bfloat16: 1, torch.float32: 1}
"""Types of samples that are taken, to the value of white."""
_OF_NUMPY = {"uint8": torch.uint8, "uint16": torch.uint16, "float16": torch.float16, "float32": torch.float32}


class Upscaler:
    """A generator on a device, for pictures that a program has.

    One instance serves one thread; `frames` may be called as often as wanted, one stream after the other.
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
    ) -> None:
        """Load a generator and place it.

        Args:
            model: Name in the catalog (`vsr models list`), weight file, or a network in eval mode on the host
                with the attributes `scale` and `receptive_radius` (LR pixels).
            scale: Output side over input side; None takes the model's own. What the model does not enlarge,
                a bicubic filter does.
            strength: From 0, faithful, to 1, crisp, for models that come as a pair.
            partner: The faithful end for a model of one's own.
            device: `auto`, `cpu`, `cuda`, `cuda:N`.
            backend: `auto`, `torch` or `openvino`: what runs it.
            precision: Of weights and activations; pictures stay float32 around them.
            tile: Side of a tile in LR pixels; None decides by memory, 0 is the whole picture.
            batch: Pictures at once; None decides by device and memory, and is 1 on the CPU.

        Raises:
            ConfigError: an impossible scale, strength or device.
            ModelError: no such model, or a file that is none.
            DeviceError: the device is not there.
        """
        self._scale = None if scale is None else _checked_scale(scale)
        network = model if isinstance(model, nn.Module) else self._load(model, strength, partner, device)
        self._engine = engine.Upscaler(
            network, device_name=device, precision=precision, backend=backend, tile=tile, batch=batch
        )

    def _load(
        self, model: str | Path, strength: float | None, partner: str | Path | None, device: str
    ) -> nn.Module:
        name, _ = choose(str(model), choose_device(device).type)
        return load_generator(name, scale=self._scale, strength=strength, partner=partner).network

    @property
    def scale(self) -> Fraction:
        """Output side over input side."""
        return self._engine.scale if self._scale is None else self._scale

    @property
    def device(self) -> torch.device:
        """Where the generator runs."""
        return self._engine.device

    def frames(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """Upscale pictures as they come: lazily, in batches, in order, one out for one in.

        At most two batches are ahead of what was taken (one on the CPU), so memory does not depend on the
        number of pictures. Sizes and kinds may change on the way.

        Args:
            frames: Pictures in R'G'B', encoded as a display wants it, of any of these kinds:
                numpy arrays `(H, W, 3)`: uint8 [0, 255], uint16 [0, 65535], float16 or float32, nominally
                [0, 1];
                torch tensors `(3, H, W)` of the same types or bfloat16, on the host or the upscaler's device;
                `RgbFrame`s.

        Yields:
            The same kind and type, `(H * scale, W * scale, 3)` or `(3, H * scale, W * scale)`; sizes are
            rounded down. Integers are rounded and clipped; floats are not clipped. Tensors are where they
            came from, host or device. `RgbFrame`s keep their stamps, and their alpha is enlarged with them.

        Raises:
            InputError: a picture of another shape or type.
            DeviceMemoryError: not even the smallest tile fits.
            ModelError: the generator gives values that are not finite.
        """
        streams = DeviceStreams(self._engine.device)
        origins: deque[_Origin] = deque()
        lr = _images(frames, origins, streams)
        sr = self._by_size(lr, streams)
        yield from _given_back(sr, origins, streams, depth=self._depth())

    def _depth(self) -> int:
        """Pictures that may be on their way from the device; none on the CPU, which has no way."""
        return max(2, self._engine.batch) if self.device.type == "cuda" else 0

    def _by_size(self, lr: Iterator[RgbFrame], streams: DeviceStreams) -> Iterator[RgbFrame]:
        meter = Meter()
        for (height, width), group in groupby(lr, key=_size):
            yield from stages.upscale(
                group,
                self._engine,
                streams,
                meter,
                height=max(1, int(height * self.scale)),
                width=max(1, int(width * self.scale)),
            )


@dataclass(frozen=True, slots=True)
class _Origin:
    """In which form a picture came, and goes out."""

    dtype: torch.dtype
    on_host: bool
    wrap: Callable[[Tensor, RgbFrame], Any]
    """Samples `(3, H, W)` of that type, and the frame that they are of, to what is given back."""


def _images(frames: Iterable[Any], origins: deque[_Origin], streams: DeviceStreams) -> Iterator[RgbFrame]:
    """What the generator takes; the origin of each is appended."""
    for number, frame in enumerate(frames):
        samples, wrap = _opened(frame, number)
        origins.append(_Origin(samples.dtype, samples.device.type == "cpu", wrap))
        stamp, alpha = Stamp(index=number, pts=number, duration=1, time_base=Fraction(1)), None
        if isinstance(frame, RgbFrame):
            stamp, alpha = frame.stamp, frame.alpha
        yield RgbFrame(
            image=_placed(samples, number, streams),
            alpha=None if alpha is None else _placed(alpha, number, streams),
            stamp=stamp,
        )


def _opened(frame: object, number: int) -> tuple[Tensor, Callable[[Tensor, RgbFrame], Any]]:
    """The samples of a picture as `(3, H, W)`, and what makes such a picture of samples.

    Raises:
        InputError: it is none.
    """
    if isinstance(frame, np.ndarray):
        if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size or frame.dtype.name not in _OF_NUMPY:
            what = f"an array {frame.shape} of {frame.dtype}"
            raise InputError(f"picture {number} is {what}; give (H, W, 3) of {', '.join(_OF_NUMPY)}")
        return _tensor_of(frame).permute(2, 0, 1), _as_array
    image = frame.image if isinstance(frame, RgbFrame) else frame
    if not isinstance(image, Tensor):
        kind = type(frame).__name__
        raise InputError(f"picture {number} is a {kind}; give a numpy array, a torch tensor or an RgbFrame")
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel() or image.dtype not in _WHITE:
        what = f"a tensor {tuple(image.shape)} of {_name(image.dtype)}"
        raise InputError(f"picture {number} is {what}; give (3, H, W) of {', '.join(map(_name, _WHITE))}")
    return image, _as_frame if isinstance(frame, RgbFrame) else _as_tensor


def _tensor_of(array: NDArray[Any]) -> Tensor:
    """The same memory where torch can use it; read-only, reversed and big-endian arrays are copied."""
    usable = array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
    return torch.from_numpy(
        array if usable else np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    )


def _as_array(samples: Tensor, _: RgbFrame) -> NDArray[Any]:
    return np.ascontiguousarray(samples.permute(1, 2, 0).numpy())


def _as_tensor(samples: Tensor, _: RgbFrame) -> Tensor:
    return samples


def _as_frame(samples: Tensor, frame: RgbFrame) -> RgbFrame:
    return RgbFrame(image=samples, alpha=frame.alpha, stamp=frame.stamp)


def _placed(samples: Tensor, number: int, streams: DeviceStreams) -> Tensor:
    """As float32, nominally [0, 1], on the device of the streams."""
    if samples.device.type == "cpu":
        (moved,) = streams.upload((samples,))
    elif samples.device.type == streams.device.type:
        moved = streams.adopt(samples)
    else:
        raise InputError(
            f"picture {number} is on {samples.device} and the generator on {streams.device}; bring it there, "
            "or to the host"
        )
    with streams.computing(), torch.inference_mode():
        return moved.to(torch.float32) / _WHITE[samples.dtype]


def _given_back(
    frames: Iterable[RgbFrame], origins: deque[_Origin], streams: DeviceStreams, *, depth: int
) -> Iterator[Any]:
    """Pictures in the form in which they came; on CUDA, `depth` of them may be on their way to the host."""
    flying: deque[tuple[_Origin, Tensor, RgbFrame, Ready]] = deque()
    for frame in frames:
        origin = origins.popleft()
        with streams.computing(), torch.no_grad():  # inference mode's tensors could not be written to later
            samples = _samples(frame.image, origin.dtype)
        (samples,), ready = streams.download((samples,)) if origin.on_host else streams.release((samples,))
        flying.append((origin, samples, frame, ready))
        while len(flying) > depth:
            yield _landed(*flying.popleft())
    while flying:
        yield _landed(*flying.popleft())


def _landed(origin: _Origin, samples: Tensor, frame: RgbFrame, ready: Ready) -> Any:
    ready.wait()  # waits: the copy must finish before the caller reads it
    return origin.wrap(samples, frame)


def _samples(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Float32 as samples of a type, in memory of its own: integers are rounded and clipped."""
    if dtype.is_floating_point:
        return image.to(dtype, copy=True)
    white = _WHITE[dtype]
    return (image * white).round_().clamp_(0, white).to(dtype)


def _size(frame: RgbFrame) -> tuple[int, int]:
    return frame.image.shape[-2], frame.image.shape[-1]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _checked_scale(scale: Fraction | float | str) -> Fraction:
    try:
        found = Fraction(str(scale))
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= MAX_SCALE:
        raise ConfigError(f"a scale of {scale} is not possible; use more than 0 and at most {MAX_SCALE}")
    return found
