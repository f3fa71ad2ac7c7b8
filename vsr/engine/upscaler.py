"""Batches through a generator: whole or in tiles, and again smaller when memory is short.

Here is no video: frames, files and streams of the device are the pipeline's.
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
"""Frames at once on CUDA at most: enough to fill it with small frames, and a 4K picture of 64 channels stays
below the 2^31 elements at which cuDNN slows down."""
_BLACK = 1e-3
"""Mean below which a picture counts as all black; 8-bit code 1 is 0.004."""
_LARGEST = 1e5
"""Of a picture's values; half-float pictures, the brightest that there are, end at 65,504."""


@dataclass(slots=True)
class Launched:
    """A batch on its way: on CUDA both tensors may still be being computed."""

    images: Tensor
    """`(N, 3, H * scale, W * scale)` float32."""
    healthy: Tensor
    """`(N,)` bool on the device: finite, and not black where the input was not."""


class Upscaler:
    """A generator on a device, with the batch and tile that fit there.

    Results do not depend on batch and tile beyond rounding where the halo covers the network's receptive
    field (see `tiles.MAX_HALO`); beyond it, tiles are blended.
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
        """Place a generator.

        Args:
            network: In eval mode on the host, float32, with attributes `scale` and `receptive_radius` (LR
                pixels), and `multiple` if it unshuffles pixels.
            device_name: `auto`, `cpu`, `cuda`, `cuda:N`.
            precision: Of weights and activations; input and output are float32.
            backend: What runs it; `auto` takes what is faster here, see `backends.select`.
            tile: Side in LR pixels; None decides by memory, 0 is the whole frame.
            batch: Frames at once; None decides by device and memory.

        Raises:
            ConfigError: the backend does not run this network here.
            ConfigError, DeviceError: no such device.
        """
        self.network = network
        self.device = device.choose_device(device_name)
        resampler = next(network.parameters(), None) is None
        # getattr: Module's stubs take every attribute for a Tensor or a Module.
        self.scale = Fraction(getattr(network, "scale"))  # noqa: B009
        self.radius = int(getattr(network, "receptive_radius"))  # noqa: B009
        self.multiple = int(getattr(network, "multiple", 1))
        self.redone_smaller = 0
        """Times that a batch was done again with a smaller batch or tile."""
        self.is_network = not resampler
        """Whether it computes with weights; else it is a filter."""
        self._tile = 0 if resampler else tile
        self.batch = batch or (_CUDA_BATCH if self.device.type == "cuda" else 1)
        """Pictures to hand over at once; becomes smaller with out-of-memory."""
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
        """Of weights and activations."""
        return self._selected.dtype

    @property
    def grid(self) -> int:
        """LR pixels, at multiples of which windows begin that may give the bits that the whole gives."""
        return math.lcm(self.multiple, self._selected.window.grid)

    @property
    def bit_radius(self) -> int:
        """LR pixels on each side that the bits of an output pixel depend on: `radius`, or more where some are
        computed together."""
        window = self._selected.window
        return self.radius * window.reach + window.more

    @property
    def precision(self) -> str:
        """What most of the generator computes in: `float32`, `bfloat16`, `float16` or `int8`."""
        return self._selected.precision

    def plan(self, height: int, width: int) -> memory.Plan:
        """Batch and tile for pictures of this size; remembered, and made smaller by out-of-memory."""
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
        """Use a plan that was made earlier, as far as memory allows, and the backend that it was made for."""
        if backend != self.backend:
            self._selected = select(
                self.network, self.device, backend=backend, precision=self._precision, dtype=self.dtype
            )
            self._run = self._selected.compiled()
        self._plans[height, width] = plan
        self.batch = plan.batch

    def estimate_bytes(self, height: int, width: int) -> int:
        """Memory that the generator needs for pictures of this size under the current plan."""
        plan = self.plan(height, width)
        side = plan.tile + 2 * min(self.radius, tiles.MAX_HALO)
        pixels = height * width if not plan.tile else min(height, side) * min(width, side)
        return int(self._load.bytes_per_pixel * pixels * plan.batch)

    def __call__(self, images: Tensor) -> Tensor:
        """Upscale, check, and redo in float32 what came out broken.

        Args:
            images: `(N, 3, H, W)` float32 on `device`, R'G'B' in [0, 1].

        Returns:
            `(N, 3, H * scale, W * scale)` float32, not clipped.

        Raises:
            DeviceMemoryError: not even the smallest tile fits.
            InputError: a picture holds NaN or infinity, or is as large as to overflow.
            ModelError: the result is not finite in float32 either.
        """
        launched = self.launch(images)
        self.repair(images, launched.images, launched.healthy.cpu())
        return launched.images

    def launch(self, images: Tensor) -> Launched:
        """Start a batch without waiting for the device; ask `repair` before the result is used."""
        sr = self._retrying(images, self._run)
        return Launched(sr, _healthy(images, sr, exact=self.precision == "float32"))

    def repair(self, images: Tensor, sr: Tensor, healthy: Tensor) -> int:
        """Redo in float32 the pictures that are not healthy, in place.

        Args:
            images: As given to `launch`.
            sr: What it returned; changed.
            healthy: What it returned, on the host.

        Returns:
            How many were redone.
        """
        bad = [i for i, fine in enumerate(healthy.tolist()) if not fine]
        for i in bad:
            _refuse_broken(images[i])
        if bad and self.precision == "float32":
            raise ModelError("the generator gives values that are not finite, in fp32; use other weights")
        if bad and self._run_exact is None:
            logger.warning(
                "a picture came out broken in %s; such pictures are done again in fp32", self.precision
            )
        for i in bad:
            one = images[i : i + 1]
            if self._run_exact is None:
                self._run_exact = torch_eager.eager(self.network, device=self.device, dtype=torch.float32)
            exact = self._retrying(one, self._run_exact)
            if not torch.isfinite(exact).all():
                raise ModelError(
                    "the generator gives values that are not finite, in fp32 too; use other weights"
                )
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
                # The error holds the failed attempt's tensors through its traceback: let go before retrying.
                error.__traceback__ = None
            smaller = plan.smaller(height, width, smallest=self._smallest_tile(height, width))
            logger.warning(
                "out of memory; the same frames again with batch %d, tile %d", smaller.batch, smaller.tile
            )
            self._plans[height, width] = smaller
            self.batch = min(self.batch, smaller.batch)
            self.redone_smaller += 1
            device.release_cache(self.device)

    def _smallest_tile(self, height: int, width: int) -> int:
        if self.scale.denominator != 1:
            return max(height, width)  # tiles of a filter at x1.5 would not meet on the output's grid
        return tiles.MIN_BLENDED if self.radius > tiles.MAX_HALO else memory.MIN_TILE

    def _attempt(self, images: Tensor, plan: memory.Plan, run: Run) -> Tensor:
        height, width = images.shape[-2:]
        if not plan.tile or max(height, width) <= plan.tile:
            parts = [run(chunk) for chunk in images.split(plan.batch)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        tiling = tiles.plan_tiles(height, width, tile=plan.tile, radius=self.radius, multiple=self.multiple)
        canvas = tiles.Canvas(images, tiling, scale=int(self.scale))
        with torch.inference_mode():
            for index, window in enumerate(tiles.cut(images, tiling)):
                parts = [run(chunk) for chunk in window.split(plan.batch)]
                canvas.put(index, parts[0] if len(parts) == 1 else torch.cat(parts))
        return canvas.result()


def _refuse_broken(picture: Tensor) -> None:
    """Blame the picture and not the weights where it holds what no network computes with."""
    largest = float(picture.abs().max())
    if not largest < _LARGEST:  # nor NaN
        raise InputError(
            f"a picture holds values up to {largest:g}, where white is 1 and {_LARGEST:g} the most that is"
            " usable; replace NaN and infinity in the input"
        )


def _healthy(lr: Tensor, sr: Tensor, *, exact: bool) -> Tensor:
    """Per picture: every value finite, and not black where the source is not. One pass, no waiting.

    Black is no sign of anything in an `exact` result: there is no better one to be had.
    """
    with torch.inference_mode():
        mean = sr.mean(dim=(1, 2, 3))  # one NaN or infinity anywhere makes it NaN or infinite
        if exact:
            return torch.isfinite(mean)
        source = lr.mean(dim=(1, 2, 3))
        return torch.isfinite(mean) & ((mean.abs() > _BLACK) | (source.abs() <= 4 * _BLACK))
