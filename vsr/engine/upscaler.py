"""Batches through a generator: whole or in tiles, and retried with smaller ones when memory runs out.

Nothing here knows video: frames, files and CUDA streams belong to the pipeline.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from vsr.engine import device, memory, tiles
from vsr.engine.backends import torch_eager
from vsr.engine.backends.contract import Run
from vsr.engine.backends.select import select
from vsr.errors import InputError, ModelError
from vsr.settings.schema import Backend, Precision

logger = logging.getLogger(__name__)

_CUDA_BATCH = 4
"""Images in a call on CUDA: enough to fill a GPU with small images, and few enough that 4K images of 64
channels stay below the 2^31 elements above which cuDNN is slow."""
_BLACK = 1e-3
"""Mean below which an image counts as black; the 8-bit code 1 is 0.004."""
_LARGEST = 1e5
"""Bound of an image's values; float16, the format with the largest values in files, ends at 65,504."""


@dataclass(slots=True)
class Launched:
    """The result of a started batch; on CUDA both tensors may not be computed yet."""

    images: Tensor
    """`(N, 3, H * scale, W * scale)` float32."""
    healthy: Tensor
    """`(N,)` bool on the device: whether an image is finite, and not black where the input was not."""


class Upscaler:
    """A generator on a device, with a batch and tile that fit into its memory.

    If the halo covers the network's receptive field (see `tiles.MAX_HALO`), batch and tile change results by
    rounding only. For larger receptive fields, tiles are blended.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device_name: str = "auto",
        precision: Precision = "auto",
        backend: Backend = "auto",
        tile: int | None = None,
        batch: int | None = None,
    ) -> None:
        """Prepare a generator for a device.

        Args:
            network: In eval mode, on the host, float32, with attributes `scale` and `receptive_radius` (LR
                pixels), and `multiple` if it unshuffles pixels.
            device_name: `auto`, `cpu`, `mps`, `cuda`, `cuda:N`.
            precision: Of weights and activations; input and output are float32.
            backend: What runs the network; `auto` takes the fastest one here, see `backends.select`.
            tile: Side of a tile in LR pixels; None decides by memory, 0 is the whole image.
            batch: Images in a call; None decides by device and memory.

        Raises:
            ConfigError: the backend does not run this network here, or the device's name is unknown.
            DeviceError: this machine does not have the device.
        """
        self.network = network
        self.device = device.choose_device(device_name)
        resampler = next(network.parameters(), None) is None
        # getattr, because the type stubs of Module declare every attribute as Tensor or Module.
        self.scale = Fraction(getattr(network, "scale"))  # noqa: B009
        self.radius = int(getattr(network, "receptive_radius"))  # noqa: B009
        self.multiple = int(getattr(network, "multiple", 1))
        self.redone_smaller = 0
        """How often a batch was retried with a smaller batch or tile."""
        self.is_network = not resampler
        """Whether the generator has weights; else it is a filter."""
        self._tile = 0 if resampler else tile
        self.batch = batch or (_CUDA_BATCH if self.device.type == "cuda" else 1)
        """Images that a caller should pass in a call; smaller after an out-of-memory error."""
        self._precision: Precision = precision
        self._selected = select(network, self.device, backend=backend, precision=precision)
        self._run = self._selected.compiled()
        self._load = memory.measure_load(network, element_bytes=self.dtype.itemsize)
        self._plans: dict[tuple[int, int], memory.Plan] = {}
        self._run_exact: Run | None = None

    @property
    def backend(self) -> Backend:
        """The name of what runs the generator."""
        return self._selected.backend

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and activations."""
        return self._selected.dtype

    @property
    def frames_device(self) -> torch.device:
        """Where images are taken and given: the device itself, or the CPU beside an Apple GPU."""
        return device.frames_device(self.device)

    @property
    def grid(self) -> int:
        """LR pixels; windows that begin at multiples of it can give the same bits as the whole image."""
        return math.lcm(self.multiple, self._selected.window.grid)

    @property
    def bit_radius(self) -> int:
        """LR pixels on each side that the bits of an output pixel depend on: `radius`, or more if the backend
        computes several pixels together."""
        window = self._selected.window
        return self.radius * window.reach + window.more

    @property
    def precision(self) -> str:
        """The dtype in which most of the generator computes: `float32`, `bfloat16`, `float16` or `int8`."""
        return self._selected.precision

    @property
    def resolved_precision(self) -> Precision:
        """The setting that gives `precision` without a choice."""
        return "int8" if self.precision == "int8" else device.NAMES[self.dtype]

    def plan(self, height: int, width: int) -> memory.Plan:
        """Return batch and tile for images of a size; they are remembered, and reduced after
        out-of-memory."""
        key = (height, width)
        if key not in self._plans:
            self._plans[key] = memory.fit(
                self._load,
                height=height,
                width=width,
                free_bytes=device.free_memory(self.device),
                batch=self.batch,
                tile=self._tile,
                margin=min(self.radius, tiles.MAX_HALO),
            )
            self.batch = self._plans[key].batch
        return self._plans[key]

    def follow(self, plan: memory.Plan, height: int, width: int, *, backend: Backend) -> None:
        """Use a plan that was made earlier, and the backend that it was made for; out-of-memory still reduces
        the plan."""
        if backend != self.backend:
            self._selected = select(
                self.network, self.device, backend=backend, precision=self._precision, dtype=self.dtype
            )
            self._run = self._selected.compiled()
        self._plans[height, width] = plan
        self.batch = plan.batch

    def estimate_bytes(self, height: int, width: int) -> int:
        """Return the bytes that the generator needs for images of a size with the current plan."""
        plan = self.plan(height, width)
        side = plan.tile + 2 * min(self.radius, tiles.MAX_HALO)
        pixels = height * width if not plan.tile else min(height, side) * min(width, side)
        return int(self._load.bytes_per_pixel * pixels * plan.batch)

    def __call__(self, images: Tensor) -> Tensor:
        """Upscale a batch, check it, and compute broken results again in float32.

        Args:
            images: `(N, 3, H, W)` float32 on `frames_device`, R'G'B' in [0, 1].

        Returns:
            `(N, 3, H * scale, W * scale)` float32, not clipped.

        Raises:
            DeviceMemoryError: even the smallest tile does not fit into memory.
            InputError: an image has NaN, infinity, or values so large that they overflow.
            ModelError: the result is not finite in float32, either.
        """
        launched = self.launch(images)
        self.repair(images, launched.images, launched.healthy.cpu())
        return launched.images

    def launch(self, images: Tensor) -> Launched:
        """Start a batch without waiting for the device; call `repair` before the result is used."""
        sr = self._retrying(images, self._run)
        return Launched(sr, _healthy(images, sr, exact=self.precision == "float32"))

    def repair(self, images: Tensor, sr: Tensor, healthy: Tensor) -> int:
        """Compute the images that are not healthy again in float32, in place.

        Args:
            images: The argument of `launch`.
            sr: The images that it returned; changed.
            healthy: The flags that it returned, on the host.

        Returns:
            How many images were computed again.
        """
        bad = [i for i, fine in enumerate(healthy.tolist()) if not fine]
        for i in bad:
            _check_input(images[i])
        if bad and self.precision == "float32":
            raise ModelError("the generator's result is not finite in fp32; use other weights")
        if bad and self._run_exact is None:
            logger.warning(
                "a result in %s is black or not finite; such images are computed again in fp32",
                self.precision,
            )
        for i in bad:
            one = images[i : i + 1]
            if self._run_exact is None:
                self._run_exact = torch_eager.eager(self.network, device=self.device, dtype=torch.float32)
            exact = self._retrying(one, self._run_exact)
            if not torch.isfinite(exact).all():
                raise ModelError("the generator's result is not finite, in fp32 either; use other weights")
            with torch.inference_mode():
                sr[i : i + 1] = exact
        return len(bad)

    def _retrying(self, images: Tensor, run: Run) -> Tensor:
        height, width = images.shape[-2:]
        while True:
            plan = self.plan(height, width)
            try:
                return self._attempt(images, plan, run)
            except (RuntimeError, MemoryError) as error:
                if not device.is_out_of_memory(error):
                    raise
                # The traceback references the tensors of the failed attempt; free them before the retry.
                error.__traceback__ = None
            smaller = plan.smaller(height, width, smallest=self._smallest_tile(height, width))
            logger.warning(
                "out of memory; the same frames are retried with batch %d, tile %d",
                smaller.batch,
                smaller.tile,
            )
            self._plans[height, width] = smaller
            self.batch = min(self.batch, smaller.batch)
            self.redone_smaller += 1
            device.release_cache(self.device)

    def _smallest_tile(self, height: int, width: int) -> int:
        if self.scale.denominator != 1:
            return max(height, width)  # tiles of a filter at x1.5 would not align with the output's pixels
        return tiles.MIN_BLENDED if self.radius > tiles.MAX_HALO else memory.MIN_TILE

    def _attempt(self, images: Tensor, plan: memory.Plan, run: Run) -> Tensor:
        height, width = images.shape[-2:]
        if not plan.tile or max(height, width) <= plan.tile:
            return _run_batches(run, images, plan.batch)
        tiling = tiles.plan_tiles(height, width, tile=plan.tile, radius=self.radius, multiple=self.multiple)
        canvas = tiles.Canvas(images, tiling, scale=int(self.scale))
        with torch.inference_mode():
            for index, window in enumerate(tiles.cut(images, tiling)):
                canvas.put(index, _run_batches(run, window, plan.batch))
        return canvas.result()


def _run_batches(run: Run, images: Tensor, batch: int) -> Tensor:
    results = [run(some) for some in images.split(batch)]
    return results[0] if len(results) == 1 else torch.cat(results)


def _check_input(image: Tensor) -> None:
    """Raise an error about the input, not the weights, if an image has values that no network can use."""
    largest = float(image.abs().max())
    if not largest < _LARGEST:  # true for NaN, too
        raise InputError(
            f"an image has values up to {largest:g}, where white is 1 and {_LARGEST:g} is the limit;"
            " replace NaN and infinity in the input"
        )


def _healthy(lr: Tensor, sr: Tensor, *, exact: bool) -> Tensor:
    """Return for each image whether all values are finite, and it is not black unless the source is black.

    It takes one pass and does not wait for the device. A black image that is `exact` is healthy, because
    computing it again would give the same.
    """
    with torch.inference_mode():
        mean = sr.mean(dim=(1, 2, 3))  # NaN or infinite if any value is
        if exact:
            return torch.isfinite(mean)
        source = lr.mean(dim=(1, 2, 3))
        return torch.isfinite(mean) & ((mean.abs() > _BLACK) | (source.abs() <= 4 * _BLACK))
