"""All runs in a process use the same streams of a GPU, so that memory freed by one run serves the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from vsr.pipeline.flow import cuda_streams
from vsr.pipeline.flow.cuda_streams import DeviceStreams


class FakeStream:
    """A stand-in that records the streams it waits for."""

    def __init__(self, device: object = None) -> None:
        self.device = device
        self.awaited: list[object] = []

    def wait_stream(self, other: object) -> None:
        self.awaited.append(other)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeStream]]:
    """Return a list of the streams that are created, without a GPU."""
    made: list[FakeStream] = []

    def stream(device: object = None) -> FakeStream:
        made.append(FakeStream(device))
        return made[-1]

    own = FakeStream()
    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: own)
    cuda_streams._streams_of.cache_clear()
    yield made
    cuda_streams._streams_of.cache_clear()


def test_every_run_on_a_gpu_uses_the_same_three_streams(made: list[FakeStream]) -> None:
    for _ in range(3):
        DeviceStreams(torch.device("cuda", 0))
    assert len(made) == 3


def test_each_run_waits_for_the_work_of_its_thread(made: list[FakeStream]) -> None:
    for _ in range(3):
        DeviceStreams(torch.device("cuda", 0))
    assert [len(stream.awaited) for stream in made] == [0, 3, 0]


def test_another_gpu_has_its_own_streams(made: list[FakeStream]) -> None:
    for index in (0, 1, 0):
        DeviceStreams(torch.device("cuda", index))
    assert [stream.device.index for stream in made] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_planes_are_copied_to_pinned_memory_without_torchs_threads(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy by torch waits at barriers for cores that the encoder uses, also in a caller's process."""
    empty, used = torch.empty, list[bool]()

    def pinned(*shape: object, pin_memory: bool, **others: object) -> torch.Tensor:
        used.append(pin_memory)
        return empty(*shape, **others)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(torch, "empty", pinned)
    padded = torch.arange(600 * 800).reshape(600, 800).to(dtype)[:, :700]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        copied = cuda_streams._pinned_copy(padded)
    assert used == [True]
    assert torch.equal(copied, padded)
    assert not [row.key for row in found.key_averages() if "copy" in row.key]


@pytest.mark.needs_cuda
def test_memory_of_one_run_is_reused_by_the_next() -> None:
    def run() -> None:
        with DeviceStreams(torch.device("cuda", 0)).computing():
            torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")

    run()
    held = torch.cuda.memory_reserved()
    for _ in range(5):
        run()
    assert torch.cuda.memory_reserved() == held
