"""The contract of both kernels for CPUs, `winograd` in float32 and `amx` in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from tests.engine.networks import exact, network, on_cpu, random_images, rrdb
from vsr import kernels
from vsr.engine.backends.contract import Run
from vsr.kernels import Target
from vsr.metrics import psnr


@dataclass(frozen=True)
class Case:
    """A target, the dtype of its features, and how many channels its networks need."""

    target: Target
    dtype: torch.dtype
    unit: int
    least_psnr: float
    """Of results in [0, 1] against torch in float32, in dB: float32 and bfloat16 round at about 1e-5 and
    4e-3."""

    def run(self, made: nn.Module) -> Run:
        return on_cpu(made, self.target, self.dtype)


@pytest.fixture(
    params=[Case("winograd", torch.float32, 16, 100), Case("amx", torch.bfloat16, 32, 40)],
    ids=lambda case: case.target,
)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    if not kernels.available(found.target):
        pytest.skip(f"this machine lacks the CPU features or packages that {found.target} needs")
    return found


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("make", [partial(network, nf=64), rrdb], ids=["compact", "rrdb"])
def test_the_number_of_threads_changes_no_bit(
    case: Case, make: Callable[[], nn.Module], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, x = make(), random_images(1, 3, 50, 130)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one_thread = case.run(made)(x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(case.run(made)(x), one_thread)


def test_an_interrupted_call_waits_for_its_threads(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work items that already run use the buffers of the next call, so they must end before it starts."""
    run, x = case.run(network(nf=64)), random_images(1, 3, 200, 200)
    expected = run(x)

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Future, "result", interrupted)
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                run(x)
    assert torch.equal(run(x), expected)


def test_results_are_right_after_code_was_dropped_from_the_cache_and_compiled_again(case: Case) -> None:
    """More shapes of networks than the cache keeps, each of them twice."""
    x = random_images(1, 3, 4, 40)
    for _ in range(2):
        for nf in range(case.unit, case.unit * 12, case.unit):
            made = network(nf=nf, nc=1)
            assert psnr(case.run(made)(x), exact(made, x), border=0) > case.least_psnr
