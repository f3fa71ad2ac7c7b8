"""The facts that decide a run's result: a run is resumed only where they are equal."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vsr.config import UpscaleSettings
from vsr.engine.upscaler import Upscaler
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.models.load import LoadedModel
from vsr.pipeline.inputfile import fingerprint
from vsr.pipeline.job.output_size import TargetSize
from vsr.pipeline.job.report import plain

_IGNORED = frozenset(
    {"device", "tile", "batch", "model", "partner", "strength", "resume", "restart", "encoder", "max_pixels"}
    | {"hwaccel"}
)
"""Settings that do not decide the result, or that stand in the key in a better form."""


def job_key(
    source: Path,
    settings: UpscaleSettings,
    model: LoadedModel,
    upscaler: Upscaler,
    plan: EncoderPlan,
    size: TargetSize,
    decoder: str,
) -> dict[str, Any]:
    """All that decides the pictures of a result, by name, in plain types.

    Args:
        source: The input.
        settings: As given.
        model: The generator.
        upscaler: With its device and precision chosen.
        plan: How the picture is encoded.
        size: Of the result.
        decoder: What decodes the input: of damaged pictures, a card makes something else than software.
    """
    key = {f.name: plain(getattr(settings, f.name)) for f in fields(settings) if f.name not in _IGNORED}
    return {
        "input": fingerprint(source),
        "network": f"{model.family} {model.config}",
        "weights": weights_digest(model.network),
        "output size": f"{size.width}x{size.height}",
        "encoder": plain(plan.codec),
        "pixel format": plan.pixel_format,
        "encoder options": plain(dict(plan.options)),
        "decoder": decoder,
        "device": upscaler.device.type,
        "precision": upscaler.precision,
        **key,
        **{f"version of {name}": version(name) for name in ("vsr-pipeline", "av", "torch")},
    }


def weights_digest(network: nn.Module) -> str:
    """Of all weights of a network on the host, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
