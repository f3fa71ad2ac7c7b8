"""The last touch to a trained Compact: colour as faithful as a filter's, and no grid. Nothing is trained.

A small network spends all its features on luma, and what they leave in Cb and Cr is noise of about a code: on
4:4:4 input worse than bicubic. But two features of each layer are hardly used. They are made to carry Cb and
Cr through the network as they are, and the last layer, which is linear in the features, is solved for colour
by least squares, and for luma as it was. What the means of its places differ by, which an eye sees as a grid,
can be taken out likewise. Measured in docs/training-log.md.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.engine.backends import calibration
from vsr.models.archs.compact import Compact
from vsr.models.archs.prelu import PReLU
from vsr.training.batches.crops import Batch

BORDER = 12
"""LR pixels at the sides of a crop that are not counted: there zeros beyond its edge are seen."""
BLOCK = 4
"""LR pixels: side of the blocks in which the places of the pixel shuffle shall have one mean."""
RIDGE = 1e-4
"""Share of the mean square of a feature that is added to it, so that none gets a large weight by chance."""
SHARE = 0.5
"""Of the least squares solution for colour by all features; the rest is that by Cb and Cr alone. They err in
different ways: their mean is better than either."""
LARGEST_COLOUR = 0.5
"""Magnitude of Cb and Cr of R'G'B' in [0, 1]."""
LEAST = 8
"""Features of a network that can spare two."""

_LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
_TO_COLOUR = torch.tensor(
    [[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float64
)  # BT.601: Cb and Cr of R, G, B
_FROM_COLOUR = torch.tensor([[0, 1.402], [-0.344136, -0.714136], [1.772, 0]], dtype=torch.float64)

Equations = tuple[Tensor, Tensor]
"""Of least squares: mean products of what is known with itself, and with what is looked for; float64."""


@torch.inference_mode()
def finished(
    network: Compact,
    clean: Sequence[Batch],
    coded: Sequence[Batch],
    *,
    partner: Compact | None = None,
    even: bool = False,
    share: float = SHARE,
) -> Compact:
    """A network with the last touch; `network` itself is not changed.

    Args:
        network: A trained one with PReLU, on the host.
        clean: Crops of LR with colours of full resolution, more than twice `BORDER` wide; hundreds in all.
        coded: Likewise of coded LR.
        partner: Of the same shape, to be finished likewise: both are mixed by weights, so the same features
            must carry colour.
        even: Whether the grid is taken out, too. It costs a network of pixel losses alone 0.015 dB.
        share: Of colour by all features, see `SHARE`; at x2 on clean LR less is better.

    Raises:
        ValueError: it has no PReLU, too few features to spare two, or another shape than its partner.
    """
    made = copy.deepcopy(network).eval()
    if made.config.activation != "prelu" or made.config.nf < LEAST:
        raise ValueError(f"a Compact with PReLU and {LEAST} features or more is needed, not {made.config}")
    if partner is not None and partner.config != made.config:
        raise ValueError(f"partners have one shape, not {made.config} and {partner.config}")
    pair = [made] if partner is None else [made, partner]
    carriers = choose_carriers(pair, clean)
    carry_colour_(made, carriers, carrier_gains(pair), clean)
    both = [*clean, *coded]
    _solve_last_(made, network, both, _colour_by_carriers(made, clean, carriers[-1]), share)
    if even:
        even_places_(made, both)
    return made


def choose_carriers(networks: Sequence[Compact], crops: Sequence[Batch]) -> list[list[int]]:
    """The two features of each layer that matter least, to all of some networks of one shape together."""
    weights = [_weights_of_features(network, crops) for network in networks]
    return [sum(layer[1:], layer[0]).argsort()[:2].tolist() for layer in zip(*weights, strict=True)]


@torch.no_grad()
def carrier_gains(networks: Sequence[Compact]) -> list[float]:
    """By how much Cb and Cr are multiplied in each layer, so that they fill the range of its 8-bit integers.

    The range of a layer is that of its largest feature, several times that of a colour. Without a gain a
    colour would be a few steps wide: compact-x4 in integers was 37.7 dB from fp32, with it 40.4. Partners
    need the same gains, for their weights are mixed.
    """
    pictures = calibration.images()
    ranges = [[calibration.span(h) for h in _activated(network, pictures)] for network in networks]
    return [min(layer) / LARGEST_COLOUR for layer in zip(*ranges, strict=True)]


def _weights_of_features(network: Compact, crops: Sequence[Batch]) -> list[Tensor]:
    """Of each layer `(nf,)`, 1 on the mean: how much a feature varies, by how much of it is read."""
    found = []
    for h, following in zip(_features(network, crops), _convolutions(network)[1:], strict=True):
        weight = h.std((0, 2, 3)) * following.weight.square().sum((0, 2, 3)).sqrt()
        found.append(weight / weight.mean())
    return found


def _features(network: Compact, crops: Sequence[Batch]) -> Iterator[Tensor]:
    """What each layer makes of some of the crops."""
    yield from _activated(network, torch.cat([batch.lr for batch in crops[:: max(1, len(crops) // 8)]]))


def _activated(network: Compact, h: Tensor) -> Iterator[Tensor]:
    """The features of each layer for images `(N, 3, H, W)`."""
    for convolution, activation in zip(_convolutions(network), _activations(network), strict=False):
        h = activation(convolution(h))
        yield h


def carry_colour_(
    network: Compact, carriers: Sequence[Sequence[int]], gains: Sequence[float], crops: Sequence[Batch]
) -> None:
    """Let two features of each layer carry Cb and Cr of the input, times a gain; in place."""
    means = [h.mean((0, 2, 3)) for h in _features(network, crops)]
    before: tuple[Sequence[int], float] | None = None
    layers = zip(pairwise(_convolutions(network)), _activations(network), carriers, gains, means, strict=True)
    for (convolution, following), activation, own, gain, mean in layers:
        _silence_(following, own, mean)
        for colour, feature in enumerate(own):
            _pass_on_(convolution, feature, colour, gain, before)
            activation.weight[feature] = 1
        before = own, gain


def _silence_(convolution: nn.Conv2d, features: Sequence[int], means: Tensor) -> None:
    """Let a convolution no more read features; what they gave on the mean goes into its bias."""
    assert convolution.bias is not None
    for feature in features:
        convolution.bias.add_(convolution.weight[:, feature].sum((1, 2)) * means[feature])
        convolution.weight[:, feature] = 0


def _pass_on_(
    convolution: nn.Conv2d,
    feature: int,
    colour: int,
    gain: float,
    before: tuple[Sequence[int], float] | None,
) -> None:
    """Make a feature Cb (0) or Cr (1) times a gain, from the image or from the features of the layer
    before."""
    assert convolution.bias is not None
    convolution.weight[feature] = 0
    convolution.bias[feature] = 0
    if before is None:
        convolution.weight[feature, :, 1, 1] = gain * _TO_COLOUR[colour].to(convolution.weight)
    else:
        features, its_gain = before
        convolution.weight[feature, features[colour], 1, 1] = gain / its_gain


def even_places_(network: Compact, crops: Sequence[Batch]) -> None:
    """Take out of the last layer what the error's means over blocks differ by from place to place; in place.

    As far as the means of the features tell it: by least squares.
    """
    last, places = _convolutions(network)[-1], network.scale**2
    assert last.bias is not None

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for h, error in _errors(network, crops):
            apart = error.unflatten(1, (3, places))
            apart = (apart - apart.mean(2, keepdim=True)).flatten(1, 2)
            yield _means(h), _means(apart)

    solution = _solved(_equations(pieces()))
    last.weight[:, :, 1, 1] -= solution[:-1].T.to(last.weight)
    last.bias -= solution[-1].to(last.bias)


def _solve_last_(
    network: Compact, original: Compact, both: Sequence[Batch], by_carriers: Tensor, share: float
) -> None:
    """Solve the last layer anew, in place: luma as the original network makes it, colour as it is in truth.

    Args:
        network: With carriers; what its layers lost of luma by them is made up for as far as the others can.
        original: Before.
        both: Crops of clean and of coded LR.
        by_carriers: Colour by the carriers alone.
        share: Of colour by all features.
    """
    last, places = _convolutions(network)[-1], network.scale**2

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for batch, (h, target) in zip(both, _targets(network, both), strict=True):
            luma = _parts(original.body(batch.lr), _LUMA[None], places)
            yield _rows(_unfolded(h)), _rows(torch.cat([luma, _parts(target, _TO_COLOUR, places)], 1))

    before = torch.zeros_like(by_carriers[:, :1]).repeat(1, 3 * places)
    before[:, :places] = torch.einsum("r,rpk->kp", _LUMA, _numbers(last))
    found = _solved(_equations(pieces()), before)
    luma, colour = found[:, :places], share * found[:, places:] + (1 - share) * by_carriers
    colour = torch.einsum("rc,kcp->rpk", _FROM_COLOUR, colour.unflatten(1, (2, places)))
    numbers = (luma.T + colour).flatten(0, 1)
    assert last.bias is not None
    last.weight.copy_(numbers[:, :-1].reshape(last.weight.shape))
    last.bias.copy_(numbers[:, -1])


def _colour_by_carriers(network: Compact, clean: Sequence[Batch], carriers: Sequence[int]) -> Tensor:
    """The weights of a last layer for Cb and Cr that reads carriers alone: `(nf * 9 + 1, 2 * scale^2)`."""
    places, features = network.scale**2, network.config.nf

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for h, target in _targets(network, clean):
            yield _rows(_unfolded(h[:, list(carriers)])), _rows(_parts(target, _TO_COLOUR, places))

    found = _solved(_equations(pieces()))
    spread = found.new_zeros(features * 9 + 1, found.shape[1])
    spread[[*(9 * carrier + tap for carrier in carriers for tap in range(9)), 9 * features]] = found
    return spread


def _numbers(last: nn.Conv2d) -> Tensor:
    """Weights and bias, `(3, places, inputs + 1)`, float64."""
    assert last.bias is not None
    return torch.cat([last.weight.flatten(1), last.bias[:, None]], 1).double().unflatten(0, (3, -1))


def _parts(details: Tensor, matrix: Tensor, places: int) -> Tensor:
    """Luma or colours of `(N, 3 * places, H, W)`, R'G'B': `(N, rows of the matrix * places, H, W)`."""
    rgb = details.unflatten(1, (3, places))
    return torch.einsum("cr,nrphw->ncphw", matrix.to(rgb), rgb).flatten(1, 2)


def _unfolded(h: Tensor) -> Tensor:
    """What a 3x3 convolution reads at each place: `(N, C * 9, H, W)`."""
    return F.unfold(h, 3, padding=1).unflatten(2, h.shape[-2:])


def _rows(x: Tensor) -> Tensor:
    """`(N, C, H, W)` as `(pixels, C)`, without the borders."""
    return _inner(x).transpose(0, 1).flatten(1).T


def _targets(network: Compact, crops: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each batch the features before the last layer, and what that should make of them."""
    for batch in crops:
        nearest = batch.lr.repeat_interleave(network.scale**2, 1)
        yield network.body[:-1](batch.lr), F.pixel_unshuffle(batch.hr, network.scale) - nearest


def _errors(network: Compact, crops: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    """The features likewise, and what the last layer makes of them less what it should."""
    for h, target in _targets(network, crops):
        yield h, network.body[-1](h) - target


def _means(x: Tensor) -> Tensor:
    """`(N, C, H, W)` as `(blocks, C)`, without the borders."""
    return F.avg_pool2d(_inner(x), BLOCK).transpose(0, 1).flatten(1).T


def _inner(x: Tensor) -> Tensor:
    return x[..., BORDER:-BORDER, BORDER:-BORDER]


def _equations(pieces: Iterator[tuple[Tensor, Tensor]]) -> Equations:
    """Of rows of what is known, to which a one is added, and of what is looked for."""
    squares: Tensor | float = 0.0
    products: Tensor | float = 0.0
    count = 0
    for known, wanted in pieces:
        known = torch.cat([known, torch.ones(len(known), 1)], 1).double()
        squares, products = squares + known.T @ known, products + known.T @ wanted.double()
        count += len(known)
    assert isinstance(squares, Tensor)
    assert isinstance(products, Tensor)
    return squares / count, products / count


def _solved(equations: Equations, near: Tensor | None = None) -> Tensor:
    """The weights; where features do not tell, those of `near`, else none."""
    squares, products = equations
    added = torch.diag(RIDGE * squares.diagonal() + 1e-12)
    products = products if near is None else products + added @ near
    solution: Tensor = torch.linalg.solve(squares + added, products)
    return solution


def _convolutions(network: Compact) -> list[nn.Conv2d]:
    return [layer for layer in network.body if isinstance(layer, nn.Conv2d)]


def _activations(network: Compact) -> list[PReLU]:
    return [layer for layer in network.body if isinstance(layer, PReLU)]
