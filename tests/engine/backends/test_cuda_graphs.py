"""Batches are replayed from a graph from the second one of a shape on; here with a fake recorder."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vsr.engine.backends import cuda_graphs as graphs
from vsr.engine.backends.cuda_graphs import Recorded, record, replayed
from vsr.engine.backends.own_kernels import in_kernels
from vsr.engine.backends.torch_eager import eager
from vsr.models.load import load_generator


class Recorder:
    """A fake CUDA graph on the host, which repeats the same work between the same two tensors."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, run: graphs.Run, example: Tensor) -> Recorded:
        self.shapes.append(tuple(example.shape))
        batch = example.clone()
        result = run(batch)

        def replay() -> None:
            self.replays += 1
            result.copy_(run(batch))

        return Recorded(batch, result, replay)


def doubled(batch: Tensor) -> Tensor:
    return batch * 2


def test_the_first_batch_of_a_shape_is_run_and_the_others_are_replayed() -> None:
    recorder = Recorder()
    run = replayed(doubled, recorder)
    for batch in (torch.rand(2, 3, 4, 4) for _ in range(5)):
        assert torch.equal(run(batch), batch * 2)
    assert recorder.shapes == [(2, 3, 4, 4)]
    assert recorder.replays == 4


def test_a_result_is_not_overwritten_by_the_next_batch() -> None:
    run = replayed(doubled, Recorder())
    batches = [torch.rand(1, 3, 4, 4) for _ in range(4)]
    results = [run(batch) for batch in batches]
    assert all(torch.equal(one, batch * 2) for one, batch in zip(results, batches, strict=True))


def test_each_batch_shape_has_a_graph_and_two_shapes_are_kept() -> None:
    recorder = Recorder()
    run = replayed(doubled, recorder)
    for count in (4, 4, 1, 1, 4, 1, 2, 2, 4):
        batch = torch.rand(count, 3, 4, 4)
        assert torch.equal(run(batch), batch * 2)
    assert [shape[0] for shape in recorder.shapes] == [4, 1, 2, 4]


def test_a_run_that_cannot_be_recorded_is_called_and_recording_is_tried_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = []

    def recorder(run: graphs.Run, example: Tensor) -> Recorded:
        tries.append(1)
        raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing\nmore")

    run = replayed(doubled, recorder)
    for batch in (torch.rand(1, 3, 4, 4) for _ in range(4)):
        assert torch.equal(run(batch), batch * 2)
    assert len(tries) == 1
    (message,) = [r.message for r in caplog.records]
    assert message.startswith(
        "no CUDA graph for batches of (1, 3, 4, 4): CUDA error: operation not permitted"
    )
    assert "\n" not in message


def test_the_error_of_a_failed_gpu_is_raised() -> None:
    def recorder(run: graphs.Run, example: Tensor) -> Recorded:
        raise RuntimeError("CUDA error: unspecified launch failure")

    run = replayed(doubled, recorder)
    run(torch.rand(1, 3, 4, 4))
    with pytest.raises(RuntimeError, match="launch failure"):
        run(torch.rand(1, 3, 4, 4))


def test_graphs_are_freed_when_memory_runs_out() -> None:
    recorder = Recorder()

    def work(batch: Tensor) -> Tensor:
        if batch.shape[0] == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return doubled(batch)

    run = replayed(work, recorder)
    small = torch.rand(1, 3, 4, 4)
    run(small), run(small)
    with pytest.raises(torch.OutOfMemoryError):
        run(torch.rand(3, 3, 4, 4))
    assert torch.equal(run(small), small * 2)
    assert recorder.shapes == [(1, 3, 4, 4)] * 2


@pytest.mark.needs_cuda
@pytest.mark.parametrize("backend", ["torch", "cuda"])
def test_on_a_gpu_replays_give_the_same_bits_as_runs(backend: str) -> None:
    network: nn.Module = load_generator("fast-x2").network
    device = torch.device("cuda", 0)
    if backend == "torch":
        run = eager(network, device=device, dtype=torch.bfloat16)
    else:
        run = in_kernels(network, "cuda", torch.bfloat16, device)
    made: list[Recorded] = []

    def recorder(work: graphs.Run, example: Tensor) -> Recorded:
        made.append(record(work, example))  # shows that a graph was recorded, which does not change any bit
        return made[-1]

    again = replayed(run, recorder)
    for batch in (torch.rand(2, 3, 90, 160, device=device) for _ in range(4)):
        assert torch.equal(again(batch), run(batch))
    assert len(made) == 1
