"""A Compact network in convolutions for Triton."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsr.kernels.cuda.convolution import Layer, layer
from vsr.kernels.cuda.program import Build, Program, Shape, Step, entry_channels, twice
from vsr.kernels.cuda.work import Work
from vsr.kernels.weights import parameters, slopes_of
from vsr.models.archs.compact import Compact


def build(compact: Compact, *, device: torch.device, dtype: torch.dtype) -> Build:
    """Place its weights; the programs give the details that `Compact.assemble` takes, or whole pictures where
    they have a `picture`."""
    made = _layers(compact, device, dtype)
    details = 3 * compact.scale**2

    def program(shape: Shape) -> Program:
        entry = shape.features(entry_channels(3))
        if made[-1].packed is None:
            result, picture = shape.planes(details), None
        else:
            result, picture = shape.planes(3, compact.scale), shape.planes(3)
        one, other = shape.features(made[-1].channels), shape.features(made[-1].channels)
        sources = [entry, *([one, other] * len(made))[: len(made) - 1]]
        targets = [_outputs(buffer, compact) for buffer in sources[1:]]
        works = [
            *(Work(src, dst) for src, dst in zip(sources, targets, strict=False)),
            Work(sources[-1], result.permute(0, 2, 3, 1), picture=picture),
        ]
        return Program(entry, [Step(*step) for step in zip(made, works, strict=True)], result, picture)

    return program


def _outputs(buffer: Tensor, compact: Compact) -> Tensor:
    """The channels that a layer makes, without those that fill up."""
    return buffer[..., : compact.config.nf]


def _layers(compact: Compact, device: torch.device, dtype: torch.dtype) -> list[Layer]:
    *convs, last = [(i, module) for i, module in enumerate(compact.body) if isinstance(module, nn.Conv2d)]
    made = []
    for i, conv in convs:
        weight, bias = parameters(conv)
        slopes = slopes_of(compact.body[i + 1], len(bias))
        made.append(layer(weight if i else twice(weight), bias, slopes, dtype=dtype, device=device))
    weight, bias = parameters(last[1])
    return [
        *made,
        layer(
            weight,
            bias,
            torch.ones(len(bias)),
            dtype=dtype,
            device=device,
            planes=True,
            shuffle=compact.scale,
        ),
    ]
