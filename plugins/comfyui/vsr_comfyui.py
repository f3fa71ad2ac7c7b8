"""Two nodes of ComfyUI: load a generator, and upscale pictures with it.

ComfyUI gives a clip as one tensor and wants one back. Between the two, pictures pass as a stream: beside
input and output, memory holds two batches at most, however many pictures there are.
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
"""ComfyUI's name of the folders with weights for upscaling. Other files cannot be named, so that whoever may
send a workflow does not thereby read the machine's disk."""
OWN_SCALE = 0.0
NO_STRENGTH = -1.0
AUTO_TILE = -1
AUTO_BATCH = 0
UPSCALER = "VSR_UPSCALER"
"""Type of the wire between the two nodes."""


class LoadModel:
    """Node: a generator on a device, a `vsr.Upscaler`."""

    CATEGORY = "image/upscaling"
    FUNCTION = "load"
    RETURN_TYPES = (UPSCALER,)
    RETURN_NAMES = ("upscaler",)
    DESCRIPTION = (
        "Load a generator for 'Upscale frames (vsr)': one that vsr ships, or a file of upscale_models."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 - ComfyUI's name
        """The widgets."""
        return {
            "required": {
                "model": ([*SHIPPED, *_files()], {"tooltip": "auto: what suits the device and the scale"}),
                "scale": (
                    "FLOAT",
                    {
                        "default": OWN_SCALE,
                        "min": 0.0,
                        "max": 16.0,
                        "step": 0.01,
                        "tooltip": "0: the model's own",
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
                        "tooltip": "0 faithful to 1 crisp, for models of a pair; -1: as the model is",
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
                        "tooltip": "-1: by memory; 0: none",
                    },
                ),
                "batch": (
                    "INT",
                    {
                        "default": AUTO_BATCH,
                        "min": AUTO_BATCH,
                        "max": 64,
                        "tooltip": "pictures at once; 0: auto",
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
        """Load it.

        Args:
            model: One of `SHIPPED`, or the name of a file in `upscale_models`.
            scale: Output side over input side; 0 takes the model's own.
            strength: From 0, faithful, to 1, crisp; -1 leaves the model as it is.
            device: `auto`, `cpu`, `cuda`, `cuda:N`.
            precision: `auto`, `fp32`, `bf16`, `fp16`, `int8`.
            backend: `auto`, `torch`, `winograd`, `openvino`, `amx`, `cuda`: what runs it.
            tile: Side of a tile in LR pixels; 0 is the whole picture, -1 decides by memory.
            batch: Pictures at once; 0 decides by device and memory.

        Raises:
            vsr.VsrError: no such model, or settings that are impossible; one line, which ComfyUI shows.
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
    """Node: every picture of a batch through the generator, in order."""

    CATEGORY = "image/upscaling"
    FUNCTION = "upscale"
    RETURN_TYPES = ("IMAGE",)
    DESCRIPTION = "Upscale a picture or a clip; memory beside input and output does not depend on its length."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 - ComfyUI's name
        """The sockets."""
        return {"required": {"upscaler": (UPSCALER,), "images": ("IMAGE",)}}

    def upscale(self, upscaler: vsr.Upscaler, images: Tensor) -> tuple[Tensor]:
        """Upscale a batch.

        Args:
            upscaler: Of `LoadModel`.
            images: `(N, H, W, 3)`, float, [0, 1], on any device.

        Returns:
            `(N, H * scale, W * scale, 3)`, of the same type and on the same device, clipped to [0, 1].

        Raises:
            vsr.InputError: another shape.
            vsr.DeviceMemoryError: too little memory for the result, or for the smallest tile.
            Exception: ComfyUI's own, when the user interrupts.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or not images.numel():
            raise vsr.InputError(
                f"images have the shape {tuple(images.shape)}; give (N, H, W, 3), none of them 0"
            )
        step = _progress(len(images))
        result: Tensor | None = None
        for number, picture in enumerate(upscaler.frames(_pictures(images, upscaler.device))):
            if result is None:
                result = _room(images, height=picture.shape[1], width=picture.shape[2])
            torch.clamp(picture.permute(1, 2, 0).to(result.device), 0, 1, out=result[number])
            step()
        assert result is not None  # there is at least one picture
        return (result,)


def _pictures(images: Tensor, device: torch.device) -> Iterator[Tensor]:
    """`(3, H, W)` each, where the upscaler can take it; the end when the user wants it."""
    interrupt = _interrupt()
    for number in range(len(images)):
        interrupt()
        picture = images[number]
        yield (picture if picture.device == device else picture.cpu()).permute(2, 0, 1)


def _room(images: Tensor, *, height: int, width: int) -> Tensor:
    """For the whole result."""
    shape = (len(images), height, width, 3)
    try:
        if images.device.type != "cpu":
            return images.new_empty(shape)
        # NumPy asks the system for large pages, torch does not: gigabytes that are written for the first time
        # then take half as long.
        room = numpy.empty(math.prod(shape) * images.element_size(), numpy.uint8)
        return torch.from_numpy(room).view(images.dtype).view(shape)
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        gib = math.prod(shape) * images.element_size() / 2**30
        what = f"{len(images)} pictures of {width}x{height} ({gib:.1f} GiB)"
        raise vsr.DeviceMemoryError(f"no room for {what}; give fewer pictures at once") from error


def _host(name: str) -> ModuleType | None:
    """A module of ComfyUI; None outside of it."""
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
            f"{model}: no file of the folder {FOLDER}; shipped models are {', '.join(SHIPPED)}"
        )
    return str(path)


def _interrupt() -> Callable[[], None]:
    """What raises ComfyUI's own error when the user wants the end."""
    host = _host("comfy.model_management")
    return (lambda: None) if host is None else host.throw_exception_if_processing_interrupted


def _progress(total: int) -> Callable[[], None]:
    """What tells ComfyUI that one more picture is done."""
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
