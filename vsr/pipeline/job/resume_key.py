"""The facts that decide the result of a run; a run is resumed only where they are equal."""

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
    """The facts that decide the frames of a result, by name, in plain types.

    A setting says itself whether it belongs here (`in_resume_key` in `vsr/settings/schema.py`).


    Args:
        source: The input.
        settings: As given.
        model: The generator.
        upscaler: With its device and precision chosen.
        plan: How the picture is encoded.
        size: Of the result.
        decoder: What decodes the input; a GPU makes something else of damaged frames than software does.
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
    """Hash of the names and values of all weights of a network on the host."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
