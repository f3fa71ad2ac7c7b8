"""Whether the host's memory holds the frames that are under way.

The generator's own memory is the engine's matter, which makes tiles smaller; pictures cannot be made smaller.
"""

from __future__ import annotations

import torch

from vsr.engine.device import free_memory
from vsr.errors import DeviceMemoryError
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.encoder_table import ENCODERS
from vsr.pipeline.job.output_size import TargetSize

BYTES = 101
"""For a pixel of the result, from the generator to the encoder: R'G'B' in float32, what it is made of, and
planes that wait. Measured with ProRes and the bicubic filter, 77: peaks at 512 and at 1,536 pixels a side.
Where the generator has a thread to itself, two pictures more in float32 wait."""


def check_room(size: TargetSize, *, batch: int, free: int | None = None) -> None:
    """Refuse a result of which not one batch fits into memory.

    Args:
        size: Of the result.
        batch: Pictures that are computed at once.
        free: Bytes that can still be had on the host; None asks the system.

    Raises:
        DeviceMemoryError: it does not fit, with what it needs.
    """
    need, free = _needed(size, batch), _free(free)
    if need > free:
        raise DeviceMemoryError(
            f"pictures of {size.width}x{size.height} need about {_gib(need)} of memory, and {_gib(free)} are"
            " free; use a smaller `scale`, or close other programs"
        )


def tight(size: TargetSize, plan: EncoderPlan, *, batch: int, free: int | None = None) -> list[str]:
    """A sentence where the pictures fit, but perhaps not those that the encoder holds as well."""
    if plan.codec not in ENCODERS:  # uncompressed pictures for a pipe: none is held
        return []
    wide = 1 if plan.layout.bit_depth == 8 else 2
    held = size.width * size.height * ENCODERS[plan.codec].memory * wide
    need, free = _needed(size, batch) + held, _free(free)
    if need <= free:
        return []
    return [
        f"{plan.codec} may run out of memory: pictures of {size.width}x{size.height} need about "
        f"{_gib(need)} with it, and {_gib(free)} are free; `encoder='ffv1'` or a quick `preset` needs less"
    ]


def _needed(size: TargetSize, batch: int) -> int:
    return size.width * size.height * BYTES * batch


def _free(known: int | None) -> int:
    return free_memory(torch.device("cpu")) if known is None else known


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
