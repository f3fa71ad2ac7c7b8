"""Video super-resolution that loses nothing.

The public API, and nothing else; torch is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vsr.errors import (
    CancelledError,
    ConfigError,
    DeviceError,
    DeviceMemoryError,
    InputError,
    ModelError,
    OutputError,
    PluginError,
    ReaderGoneError,
    VsrError,
)
from vsr.settings.schema import EncoderSettings, UpscaleSettings

if TYPE_CHECKING:
    from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
    from vsr.engine.allocator import keep_freed_memory
    from vsr.frame import RgbFrame, Stamp, VideoInfo, YuvFrame
    from vsr.media.decode.source import open_video
    from vsr.models.load import load_generator
    from vsr.pipeline.job.report import Report
    from vsr.pipeline.run import Progress
    from vsr.pipeline.run import upscale_video as upscale
    from vsr.pipeline.upscaler import Upscaler

__version__ = "0.1.0"
__all__ = [
    "CancelledError",
    "ChromaLocation",
    "ColorSpec",
    "ConfigError",
    "DeviceError",
    "DeviceMemoryError",
    "EncoderSettings",
    "InputError",
    "Matrix",
    "ModelError",
    "OutputError",
    "PixelLayout",
    "PluginError",
    "Primaries",
    "Progress",
    "Range",
    "ReaderGoneError",
    "Report",
    "RgbFrame",
    "Stamp",
    "Transfer",
    "UpscaleSettings",
    "Upscaler",
    "VideoInfo",
    "VsrError",
    "YuvFrame",
    "keep_freed_memory",
    "load_generator",
    "open_video",
    "upscale",
]

_LAZY = {
    "ChromaLocation": ("vsr.color.spec", "ChromaLocation"),
    "ColorSpec": ("vsr.color.spec", "ColorSpec"),
    "Matrix": ("vsr.color.spec", "Matrix"),
    "PixelLayout": ("vsr.color.spec", "PixelLayout"),
    "Primaries": ("vsr.color.spec", "Primaries"),
    "Progress": ("vsr.pipeline.run", "Progress"),
    "Range": ("vsr.color.spec", "Range"),
    "Report": ("vsr.pipeline.job.report", "Report"),
    "RgbFrame": ("vsr.frame", "RgbFrame"),
    "Stamp": ("vsr.frame", "Stamp"),
    "Transfer": ("vsr.color.spec", "Transfer"),
    "Upscaler": ("vsr.pipeline.upscaler", "Upscaler"),
    "VideoInfo": ("vsr.frame", "VideoInfo"),
    "YuvFrame": ("vsr.frame", "YuvFrame"),
    "keep_freed_memory": ("vsr.engine.allocator", "keep_freed_memory"),
    "load_generator": ("vsr.models.load", "load_generator"),
    "open_video": ("vsr.media.decode.source", "open_video"),
    "upscale": ("vsr.pipeline.run", "upscale_video"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'vsr' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
