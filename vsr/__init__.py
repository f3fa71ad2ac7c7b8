"""Video super-resolution that loses nothing.

The public names, and nothing else; torch is imported when the first name that needs it is used.
"""

from __future__ import annotations

import logging
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
from vsr.settings.schema import (
    Backend,
    Deinterlace,
    EncoderSettings,
    ForcedOrder,
    Hwaccel,
    PipeFormat,
    Precision,
    UpscaleSettings,
)

if TYPE_CHECKING:
    from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
    from vsr.frame import (
        ContentLight,
        Crop,
        Damage,
        DolbyVision,
        MasteringDisplay,
        Message,
        RgbFrame,
        Spherical,
        Stamp,
        Stereo,
        VideoInfo,
        YuvFrame,
    )
    from vsr.media.audit import Audit, verify
    from vsr.media.decode.source import VideoSource, open_video
    from vsr.media.passthrough.stream_kinds import StreamFate
    from vsr.models.load import LoadedModel, load_generator
    from vsr.pipeline.estimate.dry_run import estimate
    from vsr.pipeline.estimate.figures import Estimate
    from vsr.pipeline.job.report import Report
    from vsr.pipeline.job.warm_generator import KeptModel
    from vsr.pipeline.probing import Chapter, Probe, StreamInfo, probe
    from vsr.pipeline.run import Progress, upscale
    from vsr.pipeline.upscaler import Upscaler, upscale_image
    from vsr.report.compare import Comparison, compare
    from vsr.report.evaluate import Evaluation, evaluate
    from vsr.report.preview import Preview, preview
    from vsr.settings.keywords import Overrides
    from vsr.training.finetune import FinetuneReport
    from vsr.training.public import TrainReport, finetune, train
    from vsr.training.run.loop import TrainProgress

logging.getLogger("vsr").addHandler(logging.NullHandler())  # a program decides where the log goes

__version__ = "0.1.0"
__all__ = [
    "Audit",
    "Backend",
    "CancelledError",
    "Chapter",
    "ChromaLocation",
    "ColorSpec",
    "Comparison",
    "ConfigError",
    "ContentLight",
    "Crop",
    "Damage",
    "Deinterlace",
    "DeviceError",
    "DeviceMemoryError",
    "DolbyVision",
    "EncoderSettings",
    "Estimate",
    "Evaluation",
    "FinetuneReport",
    "ForcedOrder",
    "Hwaccel",
    "InputError",
    "KeptModel",
    "LoadedModel",
    "MasteringDisplay",
    "Matrix",
    "Message",
    "ModelError",
    "OutputError",
    "Overrides",
    "PipeFormat",
    "PixelLayout",
    "PluginError",
    "Precision",
    "Preview",
    "Primaries",
    "Probe",
    "Progress",
    "Range",
    "ReaderGoneError",
    "Report",
    "RgbFrame",
    "Spherical",
    "Stamp",
    "Stereo",
    "StreamFate",
    "StreamInfo",
    "TrainProgress",
    "TrainReport",
    "Transfer",
    "UpscaleSettings",
    "Upscaler",
    "VideoInfo",
    "VideoSource",
    "VsrError",
    "YuvFrame",
    "compare",
    "estimate",
    "evaluate",
    "finetune",
    "load_generator",
    "open_video",
    "preview",
    "probe",
    "train",
    "upscale",
    "upscale_image",
    "verify",
]

_MODULES = {
    "vsr.color.spec": "ChromaLocation ColorSpec Matrix PixelLayout Primaries Range Transfer",
    "vsr.frame": "ContentLight Crop Damage DolbyVision MasteringDisplay Message RgbFrame Spherical Stamp"
    " Stereo VideoInfo YuvFrame",
    "vsr.media.audit": "Audit verify",
    "vsr.media.decode.source": "VideoSource open_video",
    "vsr.media.passthrough.stream_kinds": "StreamFate",
    "vsr.models.load": "LoadedModel load_generator",
    "vsr.pipeline.estimate.dry_run": "estimate",
    "vsr.pipeline.estimate.figures": "Estimate",
    "vsr.pipeline.job.report": "Report",
    "vsr.pipeline.job.warm_generator": "KeptModel",
    "vsr.pipeline.probing": "Chapter Probe StreamInfo probe",
    "vsr.pipeline.run": "Progress upscale",
    "vsr.pipeline.upscaler": "Upscaler upscale_image",
    "vsr.report.compare": "Comparison compare",
    "vsr.report.evaluate": "Evaluation evaluate",
    "vsr.report.preview": "Preview preview",
    "vsr.settings.keywords": "Overrides",
    "vsr.training.finetune": "FinetuneReport",
    "vsr.training.public": "TrainReport finetune train",
    "vsr.training.run.loop": "TrainProgress",
}
"""Where the names are that are imported on first use; a test compares this with the imports above."""
_LAZY = {name: module for module, names in _MODULES.items() for name in names.split()}


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


if not TYPE_CHECKING:  # a type checker would take any name for a public one

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'vsr' has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
