"""The CUDA kernel computes whole networks as torch does; without a GPU its text is compiled for the host."""

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


def random_images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)


def mixed(network: nn.Module) -> nn.Module:
    """Fill a network with random numbers, so that every layer and the order of channels affect the result."""
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
    "compact without inner layers": lambda: Compact(CompactConfig(nf=32, nc=0, scale=2)),
    "rrdb of two blocks": lambda: RRDB(RRDBConfig(nf=32, nb=2, gc=32, scale=2)),
    "rrdb without blocks": lambda: RRDB(RRDBConfig(nf=32, nb=0, gc=32, scale=2)),
    "rrdb with pixel unshuffle": lambda: RRDB(RRDBConfig(nf=32, nb=1, gc=32, scale=2, unshuffle=2)),
    "rrdb, x3 by pixel shuffle": lambda: RRDB(
        RRDBConfig(nf=32, nb=1, gc=32, scale=3, upsampler="pixelshuffle")
    ),
    "msrresnet": lambda: MSRResNet(MSRResNetConfig(nf=32, nb=1, scale=2)),
}


SLOW = {"rrdb of two blocks"}
"""Networks whose kernels take more than ten seconds on a CPU, where an interpreter runs them."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NETWORKS]
)
def test_a_network_is_as_close_to_fp32_as_torch_in_16_bits(name: str) -> None:
    """Both round features to 16 bits and sum in fp32; 1 dB is left for sums in another order."""
    network, x = mixed(NETWORKS[name]()), random_images(1, 3, 5, 9)
    expected = exact(network, x)
    in_torch = eager(network, device=DEVICE, dtype=HALF)(x)
    found = in_kernels(network, "cuda", HALF, DEVICE)(x)
    assert found.shape == expected.shape
    span = expected.max() - expected.min()
    ours, theirs = (psnr(one / span, expected / span, border=0) for one in (found, in_torch))
    assert ours > min(theirs - 1, 80)


def test_an_input_pixel_keeps_steps_of_10_bits() -> None:
    """0.7 and the next code of 10 bits are one number in bf16; the second number of a sample tells them
    apart."""
    samples = torch.tensor([716 / 1023, 717 / 1023]).view(1, 2, 1, 1)
    features = torch.zeros(1, 1, 1, program.input_channels(2), dtype=torch.bfloat16)
    program.split(samples, features)
    assert features[..., 0] == features[..., 1]
    assert torch.allclose(
        features[..., :2].float() + features[..., 2:4].float(), samples.view(1, 1, 1, 2), atol=2**-17
    )


def test_a_batch_whose_buffers_are_too_large_for_the_kernel_is_computed_by_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, x = mixed(Compact(CompactConfig(nf=32, nc=1, scale=2))), random_images(1, 3, 8, 9)
    build = lowering.build(network.as_graph(), device=DEVICE, dtype=HALF)  # type: ignore[operator]
    assert program.elements(build, program.Shape(1, 8, 9, DEVICE, HALF)) == 8 * 9 * 32
    monkeypatch.setattr(backend, "_MOST", 8 * 9 * 32)
    run = in_kernels(network, "cuda", HALF, DEVICE)
    assert torch.equal(run(x), eager(network, device=DEVICE, dtype=HALF)(x))


def test_a_dense_block_concatenates_features_without_copying_them() -> None:
    """Each convolution reads one buffer from its first channel on, and writes the channels after those."""
    graph = RRDB(RRDBConfig(nf=64, nb=1, gc=32)).eval().as_graph()
    made = lowering.build(graph, device=DEVICE, dtype=HALF)(program.Shape(1, 8, 8, DEVICE, HALF))
    first, second = made.steps[1:3]
    assert first.operands.src.data_ptr() == second.operands.src.data_ptr()
    assert second.operands.src.shape[3] == first.operands.src.shape[3] + first.operands.dst.shape[3]
    assert first.operands.dst.data_ptr() == first.operands.src.data_ptr() + 2 * 64
    for step in made.steps:
        assert step.operands.src.data_ptr() != step.operands.dst.data_ptr(), (
            "neighbours are read while others write"
        )


def test_unsupported_networks_and_dtypes_are_recognised() -> None:
    network = Compact(CompactConfig(nf=32, nc=1))
    assert kernels_support(network, "cuda", torch.bfloat16)
    assert not kernels_support(network, "cuda", torch.float32)
    assert not kernels_support(Compact(CompactConfig(nf=24, nc=1)), "cuda", HALF)
    assert not kernels_support(RRDB(RRDBConfig(nf=64, nb=1, gc=16)), "cuda", HALF)
    assert not kernels_support(nn.Identity(), "cuda", HALF)


def test_the_cuda_backend_is_refused_on_the_cpu_in_one_line() -> None:
    network = Compact(CompactConfig(nf=32, nc=1))
    with pytest.raises(
        ConfigError, match=r"`backend='cuda'` runs .* on a CUDA device, not this one .* on cpu"
    ):
        select.select(network, torch.device("cpu"), backend="cuda", dtype=torch.bfloat16)
