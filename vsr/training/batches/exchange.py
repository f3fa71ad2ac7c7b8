"""The exchange of clips: each process makes some of them, and all get all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor

from vsr.training.degrade.clips import Clip
from vsr.training.distributed.group import Group


def shared_clips(own: Mapping[int, Clip], group: Group) -> list[Clip]:
    """Return the clips that all processes have made, in the order of their numbers.

    Args:
        own: Those of this process, by their numbers among all.
        group: The processes.
    """
    if group.size == 1:
        return [own[number] for number in sorted(own)]
    found: dict[int, Clip] = {}
    for data in group.from_all(to_bytes(own)):
        found |= from_bytes(data)
    return [found[number] for number in sorted(found)]


def to_bytes(clips: Mapping[int, Clip]) -> bytes:
    """Return clips as the bytes of a safetensors file."""
    return save({f"{number}.{name}": t for number, clip in clips.items() for name, t in _parts(clip)})


def from_bytes(data: bytes) -> dict[int, Clip]:
    """Return the clips that `to_bytes` was given, to the bit."""
    parts: dict[int, dict[str, Tensor]] = {}
    for key, tensor in load(data).items():
        number, name = key.split(".")
        parts.setdefault(int(number), {})[name] = tensor
    return {number: _clip(tensors) for number, tensors in parts.items()}


def _parts(clip: Clip) -> Sequence[tuple[str, Tensor]]:
    parts = [("hr", clip.hr), ("lr", clip.lr), ("chosen", torch.tensor(clip.chosen))]
    parts += [] if clip.plain is clip.hr else [("plain", clip.plain)]
    parts += [] if clip.shift is None else [("shift", torch.tensor(clip.shift))]
    return [(name, tensor.contiguous()) for name, tensor in parts]


def _clip(parts: Mapping[str, Tensor]) -> Clip:
    down, right = parts["shift"].tolist() if "shift" in parts else (0, 0)
    return Clip(
        hr=parts["hr"],
        lr=parts["lr"],
        plain=parts.get("plain", parts["hr"]),
        chosen=tuple(parts["chosen"].tolist()),
        shift=(down, right) if "shift" in parts else None,
    )
