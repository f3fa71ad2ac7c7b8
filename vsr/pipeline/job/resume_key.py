"""Computes the resume key: all facts that change the result. A run is resumed only if they are equal."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vsr.engine.upscaler import Upscaler
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.models.load import LoadedModel
from vsr.pipeline.inputfile import fingerprint
from vsr.pipeline.job.output_size import TargetSize
from vsr.pipeline.job.report import plain
from vsr.settings.field import settings_of
from vsr.settings.schema import UpscaleSettings


def job_key(
    source: Path,
    settings: UpscaleSettings,
    model: LoadedModel,
    upscaler: Upscaler,
    plan: EncoderPlan,
    size: TargetSize,
    decoder: str,
) -> dict[str, Any]:
    """Return the facts that change the frames of a result, by name, in plain types.

    `in_resume_key` in `vsr/settings/schema.py` states for each setting whether it is included.

    Args:
        source: The input.
        settings: Settings of the run.
        model: The generator.
        upscaler: The generator on its device, in its precision.
        plan: How the video is encoded.
        size: Size of the result.
        decoder: Name of the decoder; a GPU and software decode damaged frames differently.
    """
    values = {
        name: plain(getattr(settings, name))
        for name, facts in settings_of(settings).items()
        if facts.in_resume_key == "value"
    }
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
        **values,
        **{f"version of {name}": version(name) for name in ("vsr-pipeline", "av", "torch")},
    }


def weights_digest(network: nn.Module) -> str:
    """Return a hash of the names and values of all weights of a network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
