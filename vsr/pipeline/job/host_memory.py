"""Checks whether host memory is large enough for the frames in flight.

The engine limits the generator's memory by smaller tiles; frames, however, cannot be made smaller.
"""

from __future__ import annotations

import torch

from vsr.engine.device import free_memory
from vsr.errors import DeviceMemoryError
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.encoder_table import ENCODERS
from vsr.pipeline.job.output_size import TargetSize

BYTES = 101
"""Bytes for each pixel of the result, from the generator to the encoder: R'G'B' in float32, intermediate
results, and waiting planes. 77 were measured with ProRes and the bicubic filter, from peaks at 512 and 1,536
pixels a side. If the generator has its own thread, two more float32 frames wait."""


def check_room(size: TargetSize, *, batch: int, free: int | None = None, pixel_bytes: int = BYTES) -> None:
    """Check that at least one batch fits into host memory.

    Args:
        size: Size of the result.
        batch: Number of frames in a batch.
        free: Available bytes of host memory; None asks the operating system.
        pixel_bytes: Bytes for each pixel of the result.

    Raises:
        DeviceMemoryError: It does not fit; the message has the required memory.
    """
    need, free = size.width * size.height * pixel_bytes * batch, _free(free)
    if need > free:
        raise DeviceMemoryError(
            f"frames of {size.width}x{size.height} need about {_gib(need)} of memory, but only"
            f" {_gib(free)} are free. Use a smaller `scale`, or close other programs"
        )


def tight(size: TargetSize, plan: EncoderPlan, *, batch: int, free: int | None = None) -> list[str]:
    """Return a warning if the frames fit into memory, but perhaps not together with those in the encoder."""
    if plan.codec not in ENCODERS:  # uncompressed frames for a pipe need no encoder
        return []
    need, free = frames_and_encoder(size, plan, batch=batch), _free(free)
    if need <= free:
        return []
    return [
        f"{plan.codec} may run out of memory: frames of {size.width}x{size.height} need about {_gib(need)}"
        f" with it, but only {_gib(free)} are free. `encoder='ffv1'` or a fast `preset` needs less"
    ]


def frames_and_encoder(size: TargetSize, plan: EncoderPlan, *, batch: int) -> int:
    """Return the bytes of host memory for the frames of a run and for its encoder, without the generator."""
    wide = 1 if plan.layout.bit_depth == 8 else 2
    per_pixel = ENCODERS[plan.codec].memory * wide if plan.codec in ENCODERS else 0
    return _needed(size, batch) + size.width * size.height * per_pixel


def _needed(size: TargetSize, batch: int) -> int:
    return size.width * size.height * BYTES * batch


def _free(known: int | None) -> int:
    return free_memory(torch.device("cpu")) if known is None else known


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
