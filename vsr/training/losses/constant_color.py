"""A loss that keeps constant colours constant.

Discriminators and features care little for a code or two of colour, nor for the faint grid that the places of
a pixel shuffle leave on skies and walls; an eye does.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError

COLOURS = 16
"""Drawn in each step."""
_SIDE = 4
"""LR pixels: the largest factor by which a network unshuffles its input."""


def flatness(network: nn.Module, colours: Tensor) -> Tensor:
    """How far flat pictures come out from their colour, anywhere.

    Args:
        network: A generator without batch norm, see `check_flat`.
        colours: `(N, 3)`, R'G'B' in [0, 1], float32, on the network's device.

    Returns:
        fp32, no dimensions: the mean absolute difference. Each place of a pixel shuffle counts for itself.
    """
    lr = colours[:, :, None, None].expand(-1, -1, _SIDE, _SIDE)
    with edges_repeated(network):
        sr: Tensor = network(lr.contiguous(memory_format=torch.channels_last))
    return (sr.float() - colours[:, :, None, None]).abs().mean()


@contextmanager
def edges_repeated(network: nn.Module) -> Generator[None, None, None]:
    """Convolutions repeat the edge instead of zeros: a few flat pixels then stand for an endless picture."""
    convolutions = [(m, m.padding_mode) for m in network.modules() if isinstance(m, nn.Conv2d)]
    try:
        for convolution, _ in convolutions:
            convolution.padding_mode = "replicate"
        yield
    finally:
        for convolution, mode in convolutions:
            convolution.padding_mode = mode


def check_flat(network: nn.Module) -> None:
    """Refuse networks whose batch norm would take flat pictures into its averages.

    Raises:
        ConfigError: it has batch norm.
    """
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise ConfigError("losses.flat = above 0 cannot be used with batch norm; leave it out")
