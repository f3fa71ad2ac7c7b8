"""Two nodes of ComfyUI: load a generator, and upscale frames with it.

ComfyUI passes a clip as one tensor and expects one back. Between the two, frames are processed as a stream:
besides input and output, memory holds at most two batches for any number of frames.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, get_args

import numpy
import torch
from torch import Tensor

import vsr

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "LoadModel", "UpscaleFrames"]

SHIPPED = ("auto", "fast", "compact", "bicubic", "lanczos")
"""Models that need no file; `fast` and `compact` choose by scale."""
FOLDER = "upscale_models"
"""ComfyUI's name for the folders with upscaling weights. Other files cannot be named, so that a workflow from
an untrusted source cannot read other files."""
OWN_SCALE = 0.0
NO_STRENGTH = -1.0
AUTO_TILE = -1
AUTO_BATCH = 0
UPSCALER = "VSR_UPSCALER"
"""Type of the connection between the two nodes."""


class LoadModel:
    """Node that loads a generator on a device, a `vsr.Upscaler`."""

    CATEGORY = "image/upscaling"
    FUNCTION = "load"
    RETURN_TYPES = (UPSCALER,)
    RETURN_NAMES = ("upscaler",)
    DESCRIPTION = (
        "Load a generator for 'Upscale frames (vsr)': one included in vsr, or a file in upscale_models."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 - ComfyUI's name
        """Return the widgets."""
        return {
            "required": {
                "model": ([*SHIPPED, *_files()], {"tooltip": "auto: chosen by device and scale"}),
                "scale": (
                    "FLOAT",
                    {
                        "default": OWN_SCALE,
                        "min": 0.0,
                        "max": 16.0,
                        "step": 0.01,
                        "tooltip": "0: the model's own scale",
                    },
                ),
            },
            "optional": {
                "strength": (
                    "FLOAT",
                    {
                        "default": NO_STRENGTH,
                        "min": NO_STRENGTH,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "0 faithful to 1 crisp, for pairs of models; -1: the model itself",
                    },
                ),
                "device": ("STRING", {"default": "auto", "tooltip": "auto, cpu, cuda, cuda:N"}),
                "precision": (list(get_args(vsr.Precision)),),
                "backend": (list(get_args(vsr.Backend)),),
                "tile": (
                    "INT",
                    {
                        "default": AUTO_TILE,
                        "min": AUTO_TILE,
                        "max": 8192,
                        "tooltip": "-1: chosen by memory; 0: no tiles",
                    },
                ),
                "batch": (
                    "INT",
                    {
                        "default": AUTO_BATCH,
                        "min": AUTO_BATCH,
                        "max": 64,
                        "tooltip": "frames in a batch; 0: auto",
                    },
                ),
            },
        }

    def load(
        self,
        model: str,
        scale: float,
        strength: float = NO_STRENGTH,
        device: str = "auto",
        precision: Any = "auto",
        backend: Any = "auto",
        tile: int = AUTO_TILE,
        batch: int = AUTO_BATCH,
    ) -> tuple[vsr.Upscaler]:
        """Load a generator.

        Args:
            model: One of `SHIPPED`, or the name of a file in `upscale_models`.
            scale: Output side / input side; 0 uses the model's own.
            strength: From 0, faithful, to 1, crisp; -1 uses the model itself.
            device: `auto`, `cpu`, `cuda`, `cuda:N`.
            precision: `auto`, `fp32`, `bf16`, `fp16`, `int8`.
            backend: Backend: `auto`, `torch`, `winograd`, `openvino`, `amx`, `cuda`.
            tile: Side of a tile in LR pixels; 0 is the whole frame, -1 chooses by memory.
            batch: Frames in a batch; 0 chooses by device and memory.

        Raises:
            vsr.VsrError: The model does not exist, or settings are
            impossible; ComfyUI shows the one-line message.
        """
        upscaler = vsr.Upscaler(
            model if model in SHIPPED else _path_of(model),
            scale=None if scale == OWN_SCALE else str(scale),
            strength=None if strength < 0 else strength,
            device=device,
            precision=precision,
            backend=backend,
            tile=None if tile == AUTO_TILE else tile,
            batch=None if batch == AUTO_BATCH else batch,
        )
        return (upscaler,)


class UpscaleFrames:
    """Node that upscales every frame of a batch, in order."""

    CATEGORY = "image/upscaling"
    FUNCTION = "upscale"
    RETURN_TYPES = ("IMAGE",)
    DESCRIPTION = "Upscale an image or a clip; memory besides input and output does not depend on its length."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        return {"required": {"upscaler": (UPSCALER,), "images": ("IMAGE",)}}

    def upscale(self, upscaler: vsr.Upscaler, images: Tensor) -> tuple[Tensor]:
        """Upscale a batch.

        Args:
            upscaler: Result of `LoadModel`.
            images: `(N, H, W, 3)`, float, [0, 1], on any device.

        Returns:
            `(N, H * scale, W * scale, 3)`, with the same dtype and device, clipped to [0, 1].

        Raises:
            vsr.InputError: The shape is different.
            vsr.DeviceMemoryError: There is too little memory for the result, or for the smallest tile.
            Exception: ComfyUI's own, if the user interrupts.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or not images.numel():
            raise vsr.InputError(
                f"images have the shape {tuple(images.shape)}. Give (N, H, W, 3), none of them 0"
            )
        step = _progress(len(images))
        result: Tensor | None = None
        for number, picture in enumerate(upscaler.frames(_pictures(images, upscaler.device))):
            if result is None:
                result = _room(images, height=picture.shape[1], width=picture.shape[2])
            torch.clamp(picture.permute(1, 2, 0).to(result.device), 0, 1, out=result[number])
            step()
        assert result is not None  # there is at least one frame
        return (result,)


def _pictures(images: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Yield each frame as `(3, H, W)` on a device that the upscaler
    accepts; raises ComfyUI's error on interrupt."""
    interrupt = _interrupt()
    for number in range(len(images)):
        interrupt()
        picture = images[number]
        yield (picture if picture.device == device else picture.cpu()).permute(2, 0, 1)


def _room(images: Tensor, *, height: int, width: int) -> Tensor:
    """Allocate the memory for the whole result."""
    shape = (len(images), height, width, 3)
    try:
        if images.device.type != "cpu":
            return images.new_empty(shape)
        # NumPy asks the operating system for huge pages, torch does not. The first write to gigabytes of
        # memory then takes half the time.
        room = numpy.empty(math.prod(shape) * images.element_size(), numpy.uint8)
        return torch.from_numpy(room).view(images.dtype).view(shape)
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        gib = math.prod(shape) * images.element_size() / 2**30
        what = f"{len(images)} frames of {width}x{height} ({gib:.1f} GiB)"
        raise vsr.DeviceMemoryError(f"there is no memory for {what}. Give fewer frames at a time") from error


def _host(name: str) -> ModuleType | None:
    """Return a module of ComfyUI; None outside of it."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        return None
    return importlib.import_module(name)


def _files() -> list[str]:
    paths = _host("folder_paths")
    return [] if paths is None else list(paths.get_filename_list(FOLDER))


def _path_of(model: str) -> str:
    paths = _host("folder_paths")
    path = None if paths is None else paths.get_full_path(FOLDER, model)
    if path is None:
        raise vsr.ModelError(
            f"{model} is no file in the folder {FOLDER}. Included models are {', '.join(SHIPPED)}"
        )
    return str(path)


def _interrupt() -> Callable[[], None]:
    """Return the function that raises ComfyUI's own error if the user interrupts."""
    host = _host("comfy.model_management")
    return (lambda: None) if host is None else host.throw_exception_if_processing_interrupted


def _progress(total: int) -> Callable[[], None]:
    """Return the function that reports to ComfyUI that another frame is done."""
    host = _host("comfy.utils")
    if host is None:
        return lambda: None
    bar = host.ProgressBar(total)
    return lambda: bar.update(1)


NODE_CLASS_MAPPINGS: Mapping[str, type] = {"VsrLoadModel": LoadModel, "VsrUpscaleFrames": UpscaleFrames}
NODE_DISPLAY_NAME_MAPPINGS: Mapping[str, str] = {
    "VsrLoadModel": "Load model (vsr)",
    "VsrUpscaleFrames": "Upscale frames (vsr)",
}
