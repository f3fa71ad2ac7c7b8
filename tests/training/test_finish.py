"""Post-processing of a Compact: chroma as good as a filter's, no grid, the same luma, compatible partners."""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.photographs import photograph
from vsr.engine.backends.openvino import calibration
from vsr.metrics import luma_studio, psnr_chroma
from vsr.models.archs.compact import Compact, CompactConfig, identity_init_
from vsr.training.batches.crops import Batch
from vsr.training.degrade.clips import reduce
from vsr.training.finish import BORDER, carrier_gains, carry_colour_, choose_carriers, finished
from vsr.training.losses.loss_settings import grid
from vsr.training.run.evaluate import enlarge

CONFIG = CompactConfig(nf=16, nc=3, scale=2)


def crops(number: int, first: int = 0) -> list[Batch]:
    """Make images with smooth chroma, as cameras do, one a batch."""
    found = []
    for seed in range(first, first + number):
        codes = photograph(seed, 112)[None]
        hr = codes / 255
        found.append(Batch(lr=reduce(codes, 2) / 255, hr=hr, plain=hr))
    return found


@pytest.fixture(scope="module")
def trained() -> Compact:
    """Make a network like a trained one: near its initial weights,
    with a grid and with noise in its chroma."""
    generator = torch.Generator().manual_seed(3)
    network = Compact(CONFIG)
    identity_init_(network, generator=generator)
    with torch.no_grad():
        last = network.body[-1]
        assert isinstance(last, torch.nn.Conv2d)
        last.weight.add_(0.02 * torch.randn(last.weight.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def done(trained: Compact) -> Compact:
    return finished(trained, crops(12), crops(12, 20), even=True)


@torch.inference_mode()
def result(network: Compact, batch: Batch) -> Tensor:
    return network(batch.lr)[..., 2 * BORDER : -2 * BORDER, 2 * BORDER : -2 * BORDER]


def target(batch: Batch) -> Tensor:
    return batch.hr[..., 2 * BORDER : -2 * BORDER, 2 * BORDER : -2 * BORDER]


def test_chroma_becomes_as_good_as_a_filters_on_other_images(trained: Compact, done: Compact) -> None:
    for batch in crops(3, 50):
        inner = (..., slice(2 * BORDER, -2 * BORDER), slice(2 * BORDER, -2 * BORDER))
        bicubic = psnr_chroma(enlarge(batch.lr, 2)[None][inner], target(batch), border=0)
        assert psnr_chroma(result(trained, batch), target(batch), border=0) < bicubic - 1
        assert psnr_chroma(result(done, batch), target(batch), border=0) > bicubic - 0.2


def test_the_grid_disappears_and_luma_stays_otherwise(trained: Compact, done: Compact) -> None:
    for batch in crops(3, 50):
        before, after = result(trained, batch), result(done, batch)
        assert grid(after, target(batch), 2) < 0.7 * grid(before, target(batch), 2)
        moved = (luma_studio(after) - luma_studio(before)).unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))
        # The mean over an LR pixel's output stays, except for the two features that were replaced.
        assert moved.mean((-1, -3)).abs().mean() < 0.25 * moved.abs().mean() + 1.0


def test_the_network_itself_does_not_change(trained: Compact) -> None:
    before = copy.deepcopy(trained.state_dict())
    finished(trained, crops(4), crops(4, 20))
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def spans(network: Compact) -> list[float]:
    """Return the range of 8-bit integers for the features of each layer."""
    return calibration.ranges(network.as_graph())[1:]


def test_carriers_bring_cb_and_cr_to_the_last_layer_times_their_gain(trained: Compact) -> None:
    network, given = copy.deepcopy(trained), crops(4)
    carriers = choose_carriers([network], given)
    with torch.no_grad():
        gains = carrier_gains([network])
        carry_colour_(network, carriers, gains, given)
        lr = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0))
        h = network.body[:-1](lr)[:, carriers[-1]]
    red, green, blue = lr.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1)
    torch.testing.assert_close(h, gains[-1] * expected, rtol=0, atol=1e-5 * gains[-1])


def test_the_largest_colours_fill_the_range_of_integers_of_every_layer(trained: Compact) -> None:
    """8-bit integers then keep Cb and Cr to half a step of 255; without a gain they had only a few steps."""
    network, given = copy.deepcopy(trained), crops(4)
    before = spans(network)
    with torch.no_grad():
        carry_colour_(network, choose_carriers([network], given), carrier_gains([network]), given)
    largest = torch.tensor([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1.0]]).reshape(4, 3, 1, 1)  # Cb, Cr: 0.5
    carried = choose_carriers([trained], given)
    h = largest.expand(4, 3, 5, 5)
    for layer, own, span in zip(range(0, 2 * len(before), 2), carried, before, strict=True):
        h = network.body[layer + 1](network.body[layer](h))
        assert h[:, own, 2, 2].abs().amax(0).tolist() == pytest.approx([span, span], rel=1e-3)


def test_partners_have_the_same_carriers_so_that_they_can_be_interpolated(trained: Compact) -> None:
    other = copy.deepcopy(trained)
    with torch.no_grad():
        for value in other.parameters():
            value.mul_(1 + 0.3 * random.Random(len(value)).random())
    given = crops(4)
    assert choose_carriers([trained, other], given) == choose_carriers([other, trained], given)
    assert carrier_gains([trained, other]) == carrier_gains([other, trained])


def test_a_network_without_two_spare_features_is_rejected(trained: Compact) -> None:
    with pytest.raises(ValueError, match="at least 8 features"):
        finished(Compact(replace(CONFIG, nf=4)), crops(1), crops(1))
    with pytest.raises(ValueError, match="PReLU"):
        finished(Compact(replace(CONFIG, activation="relu")), crops(1), crops(1))
    with pytest.raises(ValueError, match="the same shape"):
        finished(trained, crops(1), crops(1), partner=Compact(replace(CONFIG, nc=4)))
