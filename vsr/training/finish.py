"""Post-processing of a trained Compact: exact colour and no grid, by linear algebra instead of training.

A small network uses nearly all its features for luma. Its errors in Cb and Cr are about one code value of
noise, which is worse than bicubic on 4:4:4 input. But two features of each layer are hardly used. They are
replaced by features that carry Cb and Cr unchanged through the network. The last layer is linear in its
features, so a least squares fit determines its weights: chroma towards the ground truth, luma as before. The
same method can remove the differences between the mean errors of the sub-pixel positions, which are visible
as a grid. The measurements are in docs/training-log.md.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.engine.backends.openvino import calibration
from vsr.models.archs.compact import Compact
from vsr.models.archs.prelu import PReLU
from vsr.training.batches.crops import Batch

BORDER = 12
"""Width in LR pixels of the border of a crop that is ignored, because there the network sees zero padding."""
BLOCK = 4
"""Side in LR pixels of the blocks over which the mean error of each sub-pixel position is computed."""
FLAT = 96
"""LR pixels: side of a crop of one colour, most of which no padding reaches."""
RIDGE = 1e-4
"""Ridge regularisation: this fraction of a feature's mean square is
added, so that no weight grows by chance."""
SHARE = 0.5
"""Weight of the chroma solution that uses all features; the solution from the two carriers alone has the
rest. Their errors differ, so the mean of both is better than either."""
LARGEST_COLOUR = 0.5
"""Largest magnitude of Cb and Cr of R'G'B' in [0, 1]."""
LEAST = 8
"""Smallest number of features of a network that can spare two."""

_LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
_TO_COLOUR = torch.tensor(
    [[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float64
)  # BT.601: Cb and Cr of R, G, B
_FROM_COLOUR = torch.tensor([[0, 1.402], [-0.344136, -0.714136], [1.772, 0]], dtype=torch.float64)

Equations = tuple[Tensor, Tensor]
"""Normal equations of a least squares problem, float64: mean products of the inputs with each other, and of
the inputs with the targets."""


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
    """Return a copy of a network with exact chroma; `network` itself does not change.

    Args:
        network: A trained network with PReLU, on the CPU.
        clean: Crops of uncoded LR with full-resolution chroma, wider than twice `BORDER`; hundreds in total.
        coded: The same for coded LR.
        partner: A network of the same shape that is processed the same way. Users interpolate the weights of
            the two, so the same features must carry chroma in both.
        even: Also remove the grid. This costs a network that was trained on pixel losses alone 0.015 dB.
        share: Weight of the chroma solution that uses all features, see
            `SHARE`; less is better at x2 on clean LR.

    Raises:
        ValueError: The network has no PReLU, too few features, or another shape than its partner.
    """
    made = copy.deepcopy(network).eval()
    if made.config.activation != "prelu" or made.config.nf < LEAST:
        raise ValueError(f"a Compact with PReLU and at least {LEAST} features is required, not {made.config}")
    if partner is not None and partner.config != made.config:
        raise ValueError(f"partners must have the same shape, not {made.config} and {partner.config}")
    pair = [made] if partner is None else [made, partner]
    carriers = choose_carriers(pair, clean)
    carry_colour_(made, carriers, carrier_gains(pair), clean)
    both = [*clean, *coded]
    _solve_last_(made, network, both, _colour_by_carriers(made, clean, carriers[-1]), share)
    if even:
        even_places_(made, [*both, *flat_crops(made.scale)])
    return made


def choose_carriers(networks: Sequence[Compact], crops: Sequence[Batch]) -> list[list[int]]:
    """Return for each layer the two features that matter least, summed over networks of the same shape."""
    weights = [_weights_of_features(network, crops) for network in networks]
    return [sum(layer[1:], layer[0]).argsort()[:2].tolist() for layer in zip(*weights, strict=True)]


@torch.no_grad()
def carrier_gains(networks: Sequence[Compact]) -> list[float]:
    """Return the factor for Cb and Cr in each layer with which they fill the range of its 8-bit integers.

    The range of a layer is that of its largest feature, several times that of Cb and Cr. Without a gain they
    would have only a few integer steps: the int8 result of compact-x4 was 37.7 dB from fp32, and is 40.4 dB
    with it. Partners need the same gains, because their weights are interpolated.
    """
    images = calibration.images()
    ranges = [[calibration.span(h) for h in _activated(network, images)] for network in networks]
    return [min(layer) / LARGEST_COLOUR for layer in zip(*ranges, strict=True)]


def _weights_of_features(network: Compact, crops: Sequence[Batch]) -> list[Tensor]:
    """Return the importance of each feature, `(nf,)` a layer with mean 1: its
    deviation times its outgoing weights."""
    found = []
    for h, following in zip(_features(network, crops), _convolutions(network)[1:], strict=True):
        weight = h.std((0, 2, 3)) * following.weight.square().sum((0, 2, 3)).sqrt()
        found.append(weight / weight.mean())
    return found


def _features(network: Compact, crops: Sequence[Batch]) -> Iterator[Tensor]:
    """Yield the output of each layer for some of the crops."""
    yield from _activated(network, torch.cat([batch.lr for batch in crops[:: max(1, len(crops) // 8)]]))


def _activated(network: Compact, h: Tensor) -> Iterator[Tensor]:
    """Yield the output of each layer for images `(N, 3, H, W)`."""
    for convolution, activation in zip(_convolutions(network), _activations(network), strict=False):
        h = activation(convolution(h))
        yield h


def carry_colour_(
    network: Compact, carriers: Sequence[Sequence[int]], gains: Sequence[float], crops: Sequence[Batch]
) -> None:
    """Make two features of each layer carry Cb and Cr of the input, times a gain; in place."""
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
    """Set the weights that read some features to zero, and add their mean contribution to the bias."""
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
    """Make a feature carry Cb (0) or Cr (1) times a gain, from the image or from the carrier in the previous
    layer."""
    assert convolution.bias is not None
    convolution.weight[feature] = 0
    convolution.bias[feature] = 0
    if before is None:
        convolution.weight[feature, :, 1, 1] = gain * _TO_COLOUR[colour].to(convolution.weight)
    else:
        features, its_gain = before
        convolution.weight[feature, features[colour], 1, 1] = gain / its_gain


def flat_crops(scale: int) -> list[Batch]:
    """Return crops of one colour each, on which a grid is seen first: all colours of 0.1, 0.5 and 0.9."""
    found = []
    for color in itertools.product((0.1, 0.5, 0.9), repeat=3):
        image = torch.tensor(color).view(1, 3, 1, 1)
        hr = image.repeat(1, 1, scale * FLAT, scale * FLAT)
        found.append(Batch(lr=image.repeat(1, 1, FLAT, FLAT), hr=hr, plain=hr))
    return found


def even_places_(network: Compact, crops: Sequence[Batch]) -> None:
    """Remove the grid: fit the differences between the sub-pixel
    positions' mean errors, and subtract the fit.

    The fit is linear in the block means of the features and changes the last layer in place.
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
    """Solve the last layer in place by least squares: luma as in the
    original network, chroma as in the ground truth.

    Args:
        network: The network with carriers. The other features compensate
            for the luma that the carriers replaced.
        original: The network without carriers.
        both: Crops of clean and of coded LR.
        by_carriers: Solution for chroma from the carriers alone.
        share: Weight of the solution for chroma from all features.
    """
    last, places = _convolutions(network)[-1], network.scale**2

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for batch, (h, target) in zip(both, _targets(network, both), strict=True):
            luma = _to_components(original.body(batch.lr), _LUMA[None], places)
            yield _rows(_unfolded(h)), _rows(torch.cat([luma, _to_components(target, _TO_COLOUR, places)], 1))

    before = torch.zeros_like(by_carriers[:, :1]).repeat(1, 3 * places)
    before[:, :places] = torch.einsum("r,rpk->kp", _LUMA, _weights_and_bias(last))
    found = _solved(_equations(pieces()), before)
    luma, colour = found[:, :places], share * found[:, places:] + (1 - share) * by_carriers
    colour = torch.einsum("rc,kcp->rpk", _FROM_COLOUR, colour.unflatten(1, (2, places)))
    numbers = (luma.T + colour).flatten(0, 1)
    assert last.bias is not None
    last.weight.copy_(numbers[:, :-1].reshape(last.weight.shape))
    last.bias.copy_(numbers[:, -1])


def _colour_by_carriers(network: Compact, clean: Sequence[Batch], carriers: Sequence[int]) -> Tensor:
    """Return a last layer's weights for Cb and Cr that read the
    carriers alone: `(nf * 9 + 1, 2 * scale^2)`."""
    places, features = network.scale**2, network.config.nf

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for h, target in _targets(network, clean):
            yield _rows(_unfolded(h[:, list(carriers)])), _rows(_to_components(target, _TO_COLOUR, places))

    found = _solved(_equations(pieces()))
    spread = found.new_zeros(features * 9 + 1, found.shape[1])
    spread[[*(9 * carrier + tap for carrier in carriers for tap in range(9)), 9 * features]] = found
    return spread


def _weights_and_bias(last: nn.Conv2d) -> Tensor:
    """Return the weights and the bias of a layer as one tensor, `(3, scale^2, inputs + 1)`, float64."""
    assert last.bias is not None
    return torch.cat([last.weight.flatten(1), last.bias[:, None]], 1).double().unflatten(0, (3, -1))


def _to_components(details: Tensor, matrix: Tensor, places: int) -> Tensor:
    """Convert R'G'B' `(N, 3 * places, H, W)` by a matrix to `(N, rows of the matrix * places, H, W)`."""
    rgb = details.unflatten(1, (3, places))
    return torch.einsum("cr,nrphw->ncphw", matrix.to(rgb), rgb).flatten(1, 2)


def _unfolded(h: Tensor) -> Tensor:
    """Return the inputs of a 3x3 convolution at each pixel: `(N, C * 9, H, W)`."""
    return F.unfold(h, 3, padding=1).unflatten(2, h.shape[-2:])


def _rows(x: Tensor) -> Tensor:
    """Reshape `(N, C, H, W)` to `(pixels, C)`, without the border."""
    return _inner(x).transpose(0, 1).flatten(1).T


def _targets(network: Compact, crops: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each batch the input of the last layer and its ideal output."""
    for batch in crops:
        nearest = batch.lr.repeat_interleave(network.scale**2, 1)
        yield network.body[:-1](batch.lr), F.pixel_unshuffle(batch.hr, network.scale) - nearest


def _errors(network: Compact, crops: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each batch the input of the last layer and its actual minus its ideal output."""
    for h, target in _targets(network, crops):
        yield h, network.body[-1](h) - target


def _means(x: Tensor) -> Tensor:
    """Return block means of `(N, C, H, W)` as `(blocks, C)`, without the border."""
    return F.avg_pool2d(_inner(x), BLOCK).transpose(0, 1).flatten(1).T


def _inner(x: Tensor) -> Tensor:
    return x[..., BORDER:-BORDER, BORDER:-BORDER]


def _equations(pieces: Iterator[tuple[Tensor, Tensor]]) -> Equations:
    """Accumulate the normal equations from pieces of `(inputs,
    targets)`; a constant 1 is added to the inputs."""
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
    """Solve the equations; weights that the data do not determine stay at `near`, or at zero without it."""
    squares, products = equations
    added = torch.diag(RIDGE * squares.diagonal() + 1e-12)
    products = products if near is None else products + added @ near
    solution: Tensor = torch.linalg.solve(squares + added, products)
    return solution


def _convolutions(network: Compact) -> list[nn.Conv2d]:
    return [layer for layer in network.body if isinstance(layer, nn.Conv2d)]


def _activations(network: Compact) -> list[PReLU]:
    return [layer for layer in network.body if isinstance(layer, PReLU)]
