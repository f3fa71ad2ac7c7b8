"""The contract of all backends: each test runs on every backend.

The tests of a backend's own folder cover what only that backend has, such as registers, work items or shared
memory. The emulated CUDA kernel is tested there, too, because emulation is too slow for the tests here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from tests.engine.networks import msrresnet, network, random_images, rrdb
from vsr.engine import device
from vsr.engine.backends import own_kernels, select, torch_eager
from vsr.engine.backends.contract import Run
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError
from vsr.models.archs.srresnet import SRResNet, SRResNetConfig
from vsr.settings.schema import Backend, Precision

CPU, FP32, BF16, FP16 = torch.device("cpu"), torch.float32, torch.bfloat16, torch.float16
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "compact": network,
    "compact, leaky": lambda: network(activation="leakyrelu"),
    "rrdb": lambda: rrdb(nf=32, gc=32),
    "rrdb with pixel unshuffle": lambda: rrdb(nf=32, gc=32, scale=2, unshuffle=2),
    "rrdb, x3 by pixel shuffle": lambda: rrdb(nf=32, gc=32, scale=3, upsampler="pixelshuffle"),
    "msrresnet": lambda: msrresnet(nf=32, nb=2, scale=2),
}


@dataclass(frozen=True)
class Case:
    """A backend and the dtype of its features."""

    name: Backend
    dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0) if self.name == "cuda" else CPU

    @property
    def worse(self) -> float:
        """How many times as large the mean squared error may be as torch's in the same dtype.

        The Winograd transforms add and subtract numbers that are larger than the result, which costs a bit or
        two each. For 16 bits, 1 dB allows for sums in another order.
        """
        return 100 if self.dtype == FP32 else 1.26

    def run(self, made: nn.Module) -> Run:
        return select.select(made, self.device, backend=self.name, dtype=self.dtype).compiled()


CASES = [
    Case("torch", FP32),
    Case("torch", BF16),
    Case("winograd", FP32),
    Case("openvino", FP32),
    Case("openvino", BF16),
    Case("amx", BF16),
    pytest.param(Case("cuda", FP16), marks=pytest.mark.needs_cuda),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case.name}-{str(case.dtype).removeprefix('torch.')}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    if found.name == "openvino" and not openvino.available():
        pytest.skip("the extra `openvino` is absent")
    elif found.name in ("winograd", "amx", "cuda") and not own_kernels.kernels_available(found.name):
        pytest.skip(f"this machine lacks what the kernels of {found.name} need")
    if found.dtype == BF16 and not device.cpu_has_bf16():
        pytest.skip("this CPU has no bf16 products")
    return found


def mean_square(x: Tensor) -> float:
    return float(x.double().square().mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_result_is_as_exact_as_torchs_in_the_same_dtype(case: Case, family: str) -> None:
    """Both against float64; some backends leave images narrower than 32 pixels to torch."""
    made = FAMILIES[family]()
    in_torch = torch_eager.eager(made, device=CPU, dtype=case.dtype)
    for size in [(9, 37), (6, 5)]:
        x = random_images(1, 3, *size)
        with torch.no_grad():
            exact = copy.deepcopy(made).double()(x.double())
        found = case.run(made)(x.to(case.device)).cpu()
        assert found.shape == exact.shape
        assert found.dtype == torch.float32
        least = mean_square(exact) * 2e-16  # the rounding of a float32 result
        assert mean_square(found - exact) < case.worse * max(mean_square(in_torch(x) - exact), least)


def test_shapes_may_change_and_results_repeat_to_the_bit(case: Case) -> None:
    run = case.run(network())
    for shape in [(2, 3, 8, 40), (1, 3, 20, 36), (1, 3, 4, 4), (3, 3, 5, 33), (2, 3, 8, 40)]:
        x = random_images(*shape).to(case.device)
        first, half = run(x).clone(), run(x / 2).clone()
        assert torch.equal(run(x), first)
        assert torch.equal(run(x / 2), half)
        assert not torch.equal(first, half)


def test_nan_in_the_input_is_nan_near_its_place_and_does_not_affect_the_next_batch(case: Case) -> None:
    """The engine detects by NaN which images it must compute again in fp32."""
    run, x = case.run(network(nc=2)), random_images(1, 3, 24, 40).to(case.device)
    expected = run(x).clone()
    broken = x.clone()
    broken[0, 1, 12, 20] = float("nan")
    found = run(broken)
    assert found[..., 22:28, 38:44].isnan().any()
    assert found[..., :8].isfinite().all()
    assert torch.equal(run(x), expected)


def test_threads_may_share_a_run_in_inference_mode_and_outside(case: Case) -> None:
    if case.name == "cuda":
        pytest.skip("a CUDA graph belongs to one thread")
    run, xs = case.run(network()), [random_images(1, 3, 30, 40) / n for n in range(1, 7)]
    with torch.inference_mode():
        expected = [run(x).clone() for x in xs]
    with ThreadPoolExecutor(3) as pool:
        assert all(map(torch.equal, pool.map(lambda x: run(x).clone(), xs), expected))


def test_steps_of_10_bits_survive(case: Case) -> None:
    """The codes 716 and 717 are one number in bf16, so input and output must have more bits."""
    run = case.run(network())
    dark, light = (run(torch.full((1, 3, 8, 40), code / 1023, device=case.device)) for code in (716, 717))
    steps = (light - dark).cpu()
    assert (steps > 0).float().mean() > 0.9


@pytest.mark.parametrize("case", [Case("winograd", FP32), Case("openvino", BF16), Case("amx", BF16)], ids=str)
def test_an_unsupported_network_is_refused_in_one_line(case: Case) -> None:
    other = SRResNet(SRResNetConfig(nf=16, nb=1, scale=2)).eval()  # its outer convolutions are 9x9
    for made, dtype in [(other, case.dtype), (network(), torch.float64)]:
        with pytest.raises(ConfigError, match=f"`backend={case.name!r}` ") as caught:
            select.select(made, case.device, backend=case.name, dtype=dtype)
        assert "\n" not in str(caught.value)


def test_tiled_output_is_close_to_whole_output(case: Case) -> None:
    made, x = network(), random_images(3, 3, 70, 90).to(case.device)
    precision: Precision = {FP32: "fp32", BF16: "bf16", FP16: "fp16"}[case.dtype]  # type: ignore[assignment]
    whole, tiled = (
        Upscaler(
            made, device_name=str(case.device), precision=precision, backend=case.name, tile=tile, batch=2
        )
        for tile in (0, 40)
    )
    assert whole.backend == tiled.backend == case.name
    # Windows and whole images may round differently, because kernels sum in another order.
    torch.testing.assert_close(tiled(x), whole(x), rtol=0, atol=2e-5 if case.dtype == FP32 else 0.02)
