"""The CUDA kernel computes whole networks as torch does; without a GPU, its text runs on the host."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.kernels.cuda import emulation
from vsr.engine.backends import select
from vsr.engine.backends.own_kernels import in_kernels, kernels_support
from vsr.engine.backends.torch_eager import eager
from vsr.errors import ConfigError
from vsr.kernels.cuda import backend, halo, lowering, program
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.msrresnet import MSRResNet, MSRResNetConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HALF = torch.float16


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE.type == "cpu":
        monkeypatch.setattr(halo, "launch", emulation.launch)


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)


def mixed(network: nn.Module) -> nn.Module:
    """With numbers by which each layer counts, and an order mixed up is seen."""
    torch.manual_seed(3)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, -0.03, 0.04)
            assert layer.bias is not None
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    return network.eval()


def exact(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = network.to(DEVICE)(x)
    network.cpu()
    return found


NETWORKS = {
    "compact": lambda: Compact(CompactConfig(nf=32, nc=2, scale=2)),
    "compact, x4": lambda: Compact(CompactConfig(nf=64, nc=1, scale=4)),
    "compact, leaky": lambda: Compact(CompactConfig(nf=32, nc=1, scale=2, activation="leakyrelu")),
    "compact of nothing inside": lambda: Compact(CompactConfig(nf=32, nc=0, scale=2)),
    "rrdb of two blocks": lambda: RRDB(RRDBConfig(nf=32, nb=2, gc=32, scale=2)),
    "rrdb without blocks": lambda: RRDB(RRDBConfig(nf=32, nb=0, gc=32, scale=2)),
    "rrdb of squares": lambda: RRDB(RRDBConfig(nf=32, nb=1, gc=32, scale=2, unshuffle=2)),
    "rrdb, x3 by pixel shuffle": lambda: RRDB(
        RRDBConfig(nf=32, nb=1, gc=32, scale=3, upsampler="pixelshuffle")
    ),
    "msrresnet": lambda: MSRResNet(MSRResNetConfig(nf=32, nb=1, scale=2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_as_close_to_fp32_as_torch_in_16_bits(name: str) -> None:
    """Both round features to 16 bits and sum in fp32; 1 dB is left for sums in another order."""
    network, x = mixed(NETWORKS[name]()), pictures(1, 3, 5, 9)
    expected = exact(network, x)
    in_torch = eager(network, device=DEVICE, dtype=HALF)(x)
    found = in_kernels(network, "cuda", HALF, DEVICE)(x)
    assert found.shape == expected.shape
    span = expected.max() - expected.min()
    ours, theirs = (psnr(one / span, expected / span, border=0) for one in (found, in_torch))
    assert ours > min(theirs - 1, 80)


def test_steps_of_10_bits_are_seen() -> None:
    """0.7 and the next code of 10 bits are the same number in bf16; the first convolution gets both parts."""
    samples = torch.tensor([716 / 1023, 717 / 1023]).view(1, 2, 1, 1)
    entry = torch.zeros(1, 1, 1, program.entry_channels(2), dtype=torch.bfloat16)
    program.enter(samples, entry)
    assert entry[..., 0] == entry[..., 1]
    assert torch.allclose(
        entry[..., :2].float() + entry[..., 2:4].float(), samples.view(1, 1, 1, 2), atol=2**-17
    )


def test_a_buffer_of_more_elements_than_a_kernel_counts_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, x = mixed(Compact(CompactConfig(nf=32, nc=1, scale=2))), pictures(1, 3, 8, 9)
    build = lowering.build(network.as_graph(), device=DEVICE, dtype=HALF)  # type: ignore[operator]
    assert program.elements(build, program.Shape(1, 8, 9, DEVICE, HALF)) == 8 * 9 * 32
    monkeypatch.setattr(backend, "_MOST", 8 * 9 * 32)
    run = in_kernels(network, "cuda", HALF, DEVICE)
    assert torch.equal(run(x), eager(network, device=DEVICE, dtype=HALF)(x))


def test_the_features_of_a_dense_block_are_never_copied() -> None:
    """Each of its convolutions reads one buffer from the input on, and writes behind what it read."""
    graph = RRDB(RRDBConfig(nf=64, nb=1, gc=32)).eval().as_graph()
    made = lowering.build(graph, device=DEVICE, dtype=HALF)(program.Shape(1, 8, 8, DEVICE, HALF))
    first, second = made.steps[1:3]
    assert first.work.src.data_ptr() == second.work.src.data_ptr()
    assert second.work.src.shape[3] == first.work.src.shape[3] + first.work.dst.shape[3]
    assert first.work.dst.data_ptr() == first.work.src.data_ptr() + 2 * 64
    for step in made.steps:
        assert step.work.src.data_ptr() != step.work.dst.data_ptr(), "neighbours are read while others write"


def test_networks_and_formats_that_it_does_not_take_are_known() -> None:
    network = Compact(CompactConfig(nf=32, nc=1))
    assert kernels_support(network, "cuda", torch.bfloat16)
    assert not kernels_support(network, "cuda", torch.float32)
    assert not kernels_support(Compact(CompactConfig(nf=24, nc=1)), "cuda", HALF)
    assert not kernels_support(RRDB(RRDBConfig(nf=64, nb=1, gc=16)), "cuda", HALF)
    assert not kernels_support(nn.Identity(), "cuda", HALF)


def test_on_the_cpu_it_is_refused_in_one_line() -> None:
    network = Compact(CompactConfig(nf=32, nc=1))
    with pytest.raises(
        ConfigError, match=r"`backend='cuda'` runs .* on a CUDA device, not this one .* on cpu"
    ):
        select.select(network, torch.device("cpu"), backend="cuda", dtype=torch.bfloat16)
