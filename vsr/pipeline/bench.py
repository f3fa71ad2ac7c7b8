"""Measures the speed of every model on this machine, for `vsr bench`.

There are two separate measurements: the generator alone, and file to file with decoder, colour conversion and
encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from vsr.engine import throughput
from vsr.engine.device import choose_device, choose_dtype
from vsr.engine.upscaler import Upscaler
from vsr.models.load import load_generator
from vsr.pipeline.estimate.dry_run import FRAMES, dry_run
from vsr.settings.schema import UpscaleSettings
from vsr.system.scratch import scratch_folder

RATE = 25
"""Frames a second of the test clip, and the speed that counts as real time."""
_SECONDS = 1.5
"""Duration of the measurement of a generator."""
_STEP = 3
"""Pixels by which the content of the clip moves from frame to frame, so that no frame repeats another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The device and its highest speed."""

    device: str
    threads: int
    ceilings: Mapping[str, float]
    """Operations a second of a large matrix product, by number format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Speed of one model on the machine."""

    model: str
    height: int
    """Height of the result in pixels."""
    width: int
    model_fps: float
    """Frames a second of the generator alone."""
    whole_fps: float
    """Frames a second from file to file."""
    backend: str
    precision: str
    bound: str
    """The slowest stage, which limits the speed."""
    operations: float
    """Operations a second of the generator alone, counted as direct convolutions; 0 for a filter."""

    @property
    def real_time(self) -> bool:
        """Whether the clip is upscaled at least as fast as it plays."""
        return self.whole_fps >= RATE


def machine(settings: UpscaleSettings) -> Machine:
    """Measure the device in fp32, and in the 16-bit format that it prefers, if there is one.

    Raises:
        DeviceError: The device does not exist.
    """
    device = choose_device(settings.device)
    formats = dict.fromkeys((torch.float32, choose_dtype("auto", device)))
    return Machine(
        device=str(device),
        threads=torch.get_num_threads(),
        ceilings={str(dtype).removeprefix("torch."): throughput.ceiling(device, dtype) for dtype in formats},
    )


def measure(settings: UpscaleSettings, *, height: int, width: int) -> Speed:
    """Measure one model on a generated clip in temporary files.

    Args:
        settings: Model, device, precision, tile and encoder.
        height: Height of the source in pixels.
        width: Width of the source in pixels.

    Raises:
        VsrError: An error that a run with these settings would raise.
    """
    with scratch_folder("vsr-bench-") as folder:
        clip = write_clip(folder / "clip.mkv", height=height, width=width)
        forecast = dry_run(clip, folder / "out.mkv", settings)
    model = load_generator(settings.model, scale=settings.scale, strength=settings.strength)
    upscaler = Upscaler(
        model.network,
        device_name=settings.device,
        precision=settings.precision,
        backend=settings.backend,
        tile=settings.tile,
    )
    lr = torch.rand(upscaler.batch, 3, height, width, device=upscaler.frames_device)
    seconds = throughput.seconds_a_run(lambda: upscaler(lr), upscaler.device, budget=_SECONDS)
    model_fps = len(lr) / seconds
    return Speed(
        model=model.name,
        height=forecast.report.height,
        width=forecast.report.width,
        model_fps=model_fps,
        whole_fps=forecast.fps,
        backend=upscaler.backend,
        precision=upscaler.precision,
        bound=forecast.bottleneck,
        operations=throughput.operations_per_pixel(model.network) * height * width * model_fps,
    )


def write_clip(path: Path, *, height: int, width: int) -> Path:
    """Write a clip of moving detail, H.264 at a common quality, with as many frames as are measured."""
    y, x = np.mgrid[0 : height + FRAMES * _STEP, 0 : width + FRAMES * _STEP]
    waves = 128 + 60 * np.sin(x / 5 + np.sin(y / 31) * 3) + 50 * np.sin(y / 7)
    large = waves.astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FRAMES + 1):
            place = number * _STEP
            gray = large[place : place + height, place : place + width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), "gray")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame.reformat(format="yuv420p", threads=1)))
        container.mux(stream.encode(None))
    return path
