"""Kernels in Triton compute Compact and RRDB networks as torch does; without a card, its interpreter's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.engine import choice
from vsr.engine.backends import eager, in_kernels, kernels_support
from vsr.errors import ConfigError
from vsr.kernels.cuda import backend
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.models.load import load_generator

pytest.importorskip("triton", reason="Triton is not installed")

from vsr.kernels.cuda import convolution, lowering, program
from vsr.kernels.cuda.work import Work

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HALF = torch.float16


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)


def mixed(network: Compact | RRDB) -> Compact | RRDB:
    """With numbers by which each layer counts, and an order mixed up is seen."""
    torch.manual_seed(3)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, -0.04, 0.05)
            assert layer.bias is not None
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    return network.eval()


def exact(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = network.to(DEVICE)(x)
    network.cpu()
    return found


def convolved(weight: Tensor, x: Tensor) -> Tensor:
    """`(N, C, H, W)` through the kernel."""
    none, plain = torch.zeros(len(weight)), torch.ones(len(weight))
    layer = convolution.layer(weight, none, plain, dtype=HALF, device=DEVICE)
    src = torch.zeros(len(x), *x.shape[2:], layer.channels, dtype=HALF, device=DEVICE)
    src[..., : x.shape[1]] = x.permute(0, 2, 3, 1)
    dst = torch.full((len(x), *x.shape[2:], len(weight)), torch.nan, device=DEVICE)
    convolution.launch(layer, Work(src, dst))
    return dst.permute(0, 3, 1, 2)


@pytest.mark.parametrize(("outputs", "channels"), [(1, 1), (16, 16), (24, 40), (48, 64), (64, 96), (3, 160)])
@pytest.mark.parametrize("size", [(1, 1), (9, 17), (8, 16), (3, 40)], ids=str)
def test_a_convolution_of_any_channels_and_size_is_torchs(
    outputs: int, channels: int, size: tuple[int, int]
) -> None:
    weight, x = pictures(outputs, channels, 3, 3) - 0.5, pictures(2, channels, *size)
    expected = F.conv2d(x.to(HALF).float(), weight.to(HALF).float(), padding=1)
    # Products of fp16 are exact in fp32; sums of 9 * 160 of them round in another order.
    assert torch.allclose(convolved(weight, x), expected, atol=1e-4)


def test_what_is_no_number_stays_where_it_can_be_seen() -> None:
    """By that the engine finds what must be computed again in fp32."""
    x = pictures(1, 16, 12, 20)
    x[0, 3, 4, 4] = torch.nan
    found = convolved(pictures(16, 16, 3, 3), x)
    assert found[..., 3:6, 3:6].isnan().all()
    assert found.isnan().sum() == 9 * 16


NETWORKS = {
    "compact": lambda: Compact(CompactConfig(nf=32, nc=2, scale=2)),
    "compact of odd channels": lambda: Compact(CompactConfig(nf=24, nc=1, scale=3)),
    "compact, leaky": lambda: Compact(CompactConfig(nf=16, nc=1, scale=4, activation="leakyrelu")),
    "compact of nothing inside": lambda: Compact(CompactConfig(nf=16, nc=0, scale=2)),
    "rrdb": lambda: RRDB(RRDBConfig(nf=64, nb=1, gc=32)),
    "rrdb of three blocks": lambda: RRDB(RRDBConfig(nf=16, nb=3, gc=16, scale=2)),
    "rrdb without blocks": lambda: RRDB(RRDBConfig(nf=16, nb=0, gc=16, scale=2)),
    "rrdb of squares": lambda: RRDB(RRDBConfig(nf=16, nb=1, gc=16, scale=2, unshuffle=2)),
    "rrdb, x3 by pixel shuffle": lambda: RRDB(
        RRDBConfig(nf=16, nb=1, gc=16, scale=3, upsampler="pixelshuffle")
    ),
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


def test_the_shipped_network_is_as_close_to_fp32_as_torch_in_16_bits() -> None:
    network, x = load_generator("fast-x2").network, pictures(1, 3, 20, 37)
    expected = exact(network, x)
    in_torch = eager(network, device=DEVICE, dtype=HALF)(x)
    found = in_kernels(network, "cuda", HALF, DEVICE)(x)
    assert psnr(found, expected, border=0) > psnr(in_torch, expected, border=0) - 1


def test_sizes_may_change_and_a_result_is_not_written_over_by_the_next() -> None:
    network = mixed(Compact(CompactConfig(nf=16, nc=1, scale=2)))
    run = in_kernels(network, "cuda", HALF, DEVICE)
    for size in [(5, 7), (8, 6), (3, 20), (5, 7)]:
        x = pictures(1, 3, *size)
        first, second = run(x), run(x / 2)
        assert torch.equal(first, run(x))
        assert torch.equal(second, run(x / 2))


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
    network, x = mixed(Compact(CompactConfig(nf=16, nc=1, scale=2))), pictures(1, 3, 8, 9)
    build = lowering.build(network.as_graph(), device=DEVICE, dtype=HALF)  # type: ignore[arg-type]
    assert program.elements(build, program.Shape(1, 8, 9, DEVICE, HALF)) == 8 * 9 * 32
    monkeypatch.setattr(backend, "_MOST", 8 * 9 * 32)
    assert torch.equal(
        in_kernels(network, "cuda", HALF, DEVICE)(x), eager(network, device=DEVICE, dtype=HALF)(x)
    )


def test_the_features_of_a_dense_block_are_never_copied() -> None:
    """Each of its convolutions reads one buffer from the input on, and writes behind what it read."""
    network = RRDB(RRDBConfig(nf=32, nb=1, gc=16)).eval()
    made = lowering.build(network.as_graph(), device=DEVICE, dtype=HALF)(program.Shape(1, 8, 8, DEVICE, HALF))
    first, second = made.steps[1:3]
    assert first.work.src.data_ptr() == second.work.src.data_ptr()
    assert second.work.src.shape[3] == first.work.src.shape[3] + first.work.dst.shape[3]
    assert first.work.dst.data_ptr() == first.work.src.data_ptr() + 2 * 32
    for step in made.steps:
        assert step.work.src.data_ptr() != step.work.dst.data_ptr(), "neighbours are read while others write"


def test_networks_and_formats_that_it_does_not_take_are_known() -> None:
    compact_net = Compact(CompactConfig(nf=24, nc=1))
    assert kernels_support(compact_net, "cuda", torch.bfloat16)
    assert not kernels_support(compact_net, "cuda", torch.float32)
    assert not kernels_support(RRDB(RRDBConfig(nf=24, nb=1, gc=16)), "cuda", HALF)
    assert not kernels_support(nn.Identity(), "cuda", HALF)


@pytest.mark.parametrize("wish", ["triton", "cudagraphs"])
def test_on_the_processor_it_is_refused_in_one_line(wish: choice.Backend) -> None:
    network = Compact(CompactConfig(nf=16, nc=1))
    with pytest.raises(
        ConfigError, match=f"--backend {wish} runs .* on a CUDA device, not this one .* on cpu"
    ):
        choice.choose(wish, network, device=torch.device("cpu"), dtype=torch.bfloat16)


COMPILED = """
import subprocess
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from vsr.kernels.cuda import convolution

kernel, dump = convolution._convolve.fn, Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
formats = dict.fromkeys(("src", "weights", "base", "under", "dst"), "*bf16")
formats |= dict.fromkeys(("bias", "slopes"), "*fp32")
formats |= dict.fromkeys(("gain", "base_gain", "under_gain"), "fp32")
layer = dict(TAPS=9, COLUMNS=3, TOP=-1, LEFT=-1, CHANNELS=192, DEPTH=64, OUTPUTS=64, BASED=True, UNDER=True)
for tiling in convolution._TILINGS:
    fixed = layer | tiling.kwargs | {"dst_channel": 1}
    types = {name: "constexpr" if name in fixed else formats.get(name, "i32") for name in kernel.arg_names}
    whole = [(i,) for i, name in enumerate(kernel.arg_names) if types[name] not in ("constexpr", "fp32")]
    source = ASTSource(kernel, types, fixed, {place: [["tt.divisibility", 16]] for place in whole})
    options = {"num_warps": tiling.num_warps, "num_stages": tiling.num_stages}
    for capability in (80, 90):
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        Path("kernel").write_bytes(made.asm["cubin"])
        used = subprocess.run([dump, "--dump-resource-usage", "kernel"], capture_output=True)
        kept = b"STACK:0" in used.stdout and b"LOCAL:0" in used.stdout
        print(capability, *(word in made.asm["ptx"] for word in ("wgmma", "mma.sync", "cp.async")), kept)
"""


def test_it_compiles_to_tensor_cores_for_ampere_and_hopper_and_no_register_is_spilled(tmp_path: Path) -> None:
    """Triton compiles without a card. Operands are copied asynchronously, products are the tensor cores'."""
    environment = {"PATH": "/usr/bin:/bin", "TRITON_INTERPRET": "0", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", COMPILED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tilings = len(convolution._TILINGS)
    assert done.stdout.splitlines() == tilings * ["80 False True True True", "90 True False True True"]
