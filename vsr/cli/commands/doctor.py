"""`vsr doctor`: lists versions, devices and encoders, and what is missing."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from vsr.cli import console

if TYPE_CHECKING:
    import torch


def doctor() -> None:
    """Show what this machine supports and what is missing."""
    from importlib.metadata import version

    import av
    import torch

    from vsr.engine.backends.select import availability
    from vsr.engine.device import bf16_is_quicker, cpu_has_bf16
    from vsr.media.decode import hwaccel
    from vsr.media.encode.encoder_table import ENCODERS

    console.out(
        f"vsr        {version('vsr-pipeline')}, Python {platform.python_version()}, {platform.platform()}"
    )
    threads = torch.get_num_threads()
    console.out(f"torch      {torch.__version__}, {threads} {'thread' if threads == 1 else 'threads'}")
    console.out(f"PyAV       {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
    slower = "" if bf16_is_quicker() else ", not faster than fp32"
    how = f"bf16 in hardware{slower}" if cpu_has_bf16() else "no bf16 in hardware"
    console.out(f"CPU        {how}, {_can(torch.device('cpu'))}")
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        console.out(f"CUDA {index}     {torch.cuda.get_device_name(device)}, {_can(device)}")
    if torch.backends.mps.is_available():
        console.out(f"Apple GPU  torch's MPS, {_can(torch.device('mps'))}")
    elif not torch.cuda.is_available():
        console.out("CUDA       none: a GPU requires a CUDA build of torch and an NVIDIA driver")
    for name, what in availability().items():
        console.out(f"backend    {name:<17} {what}")
    for name, what in hwaccel.available().items():
        console.out(f"hwaccel    {name:<17} {what}")
    for name, spec in ENCODERS.items():
        console.out(f"encoder    {name:<17} {_encoder_state(spec.codec)}")


def _can(device: torch.device) -> str:
    from vsr.engine.device import free_memory

    return f"{free_memory(device) / 2**30:.1f} GiB free, auto takes {_auto(device)}"


def _auto(device: torch.device) -> str:
    """Return what `auto` selects for the default model and, if different, for networks run by torch."""
    from vsr.engine.backends.select import select
    from vsr.models.catalog import AUTO, choose
    from vsr.models.load import load_generator

    model = load_generator(choose(AUTO, device.type)[0])
    own, in_torch = select(model.network, device), select(model.network, device, backend="torch")
    words = f"{own.backend} in {own.precision} for {model.name}"
    if own.dtype is in_torch.dtype:
        return words
    return f"{words}, {in_torch.precision} for networks that only torch runs"


def _encoder_state(codec: str) -> str:
    from vsr.media.encode import encoder_trial

    reason = encoder_trial.why_not(codec)
    if reason is None and not encoder_trial.opens(codec):
        reason = "does not open"
    return reason or "works"
