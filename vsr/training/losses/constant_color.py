"""The constant-colour loss, which keeps areas of one colour unchanged.

Discriminators and perceptual losses hardly react to colour errors of one or two code values, or to the faint
grid that a pixel shuffle leaves on skies and walls, but both are visible.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError

COLOURS = 16
"""Number of random colours in each step."""
_SIDE = 4
"""Side of the input in LR pixels: the largest factor by which a network unshuffles its input."""


def constant_color_loss(network: nn.Module, colours: Tensor) -> Tensor:
    """Return the mean error of a network's output for images of one colour.

    Args:
        network: A generator without batch norm, see `check_flat`.
        colours: `(N, 3)`, R'G'B' in [0, 1], float32, on the network's device.

    Returns:
        Scalar, fp32: the mean absolute difference, over all positions of a pixel shuffle.
    """
    lr = colours[:, :, None, None].expand(-1, -1, _SIDE, _SIDE)
    with edges_repeated(network):
        sr: Tensor = network(lr.contiguous(memory_format=torch.channels_last))
    return (sr.float() - colours[:, :, None, None]).abs().mean()


@contextmanager
def edges_repeated(network: nn.Module) -> Generator[None, None, None]:
    """Let convolutions pad by replication instead of zeros, so that a few pixels act as an infinite image."""
    convolutions = [(m, m.padding_mode) for m in network.modules() if isinstance(m, nn.Conv2d)]
    try:
        for convolution, _ in convolutions:
            convolution.padding_mode = "replicate"
        yield
    finally:
        for convolution, mode in convolutions:
            convolution.padding_mode = mode


def check_flat(network: nn.Module) -> None:
    """Reject networks with batch norm, whose running averages would include the constant images.

    Raises:
        ConfigError: The network has batch norm.
    """
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise ConfigError("losses.flat above 0 cannot be combined with batch norm. Set it to 0")
