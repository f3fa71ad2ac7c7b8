"""Training steps recorded and replayed as CUDA graphs.

A step of a small network consists of about a hundred short kernels, and Python takes longer
to launch them than the GPU to run them. The loss terms of a step are read some steps later,
so that the GPU never waits for the host.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vsr.engine import device as devices
from vsr.training.batches.crops import Batch
from vsr.training.losses.constant_color import COLOURS
from vsr.training.recipe import Recipe
from vsr.training.run.state import State
from vsr.training.run.steps import StepInputs, Terms, device_step, ema_decay, seed_of

logger = logging.getLogger(__name__)

WARM_UP = 3
"""Steps before one is recorded, in which cuDNN chooses its kernels and optimisers allocate their moments."""
LAG = 16
"""Largest number of steps by which the GPU may lag behind the host."""


class BatchSource(Protocol):
    """The crops of a step: a `crops.Batch`, or a `device_buffer.Cut` that is cut on the GPU."""

    @property
    def tensors(self) -> tuple[Tensor, ...]: ...

    @property
    def kind(self) -> Hashable: ...

    def batch(self, tensors: Sequence[Tensor]) -> Batch: ...


Work = Callable[[], Tensor]
"""A step on inputs that are on the device; it returns the loss terms as one tensor."""
Recorder = Callable[[Work], Work]


def record(work: Work) -> Work:
    """Record `work`, which has run several times, as a CUDA graph; recording does not execute it."""
    graph = torch.cuda.CUDAGraph()
    # Only this thread must not synchronise while recording; others pin memory for their clips.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """Result of a step."""

    step: int
    """Number of steps done, including this one."""
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingResult:
    """Result of a step that is still being copied to the host."""

    step: int
    names: tuple[str, ...]
    values: Tensor
    copied: torch.cuda.Event | None


class Replay:
    """The training steps of a run on one device. After a rollback, create a new one."""

    def __init__(self, state: State, recipe: Recipe, *, recorder: Recorder = record) -> None:
        """Start without a recorded step.

        Args:
            state: State of the run; on CUDA except in tests.
            recipe: Recipe of the run.
            recorder: Function that records a step.
        """
        self._state, self._recipe, self._recorder = state, recipe, recorder
        self._kind: Hashable = None
        self._warm = 0
        self._entry: tuple[Tensor, ...] = ()
        self._scalars = torch.zeros(3 + 3 * COLOURS, device=state.device)
        self._names: tuple[str, ...] = ()
        self._work: Work | None = None
        self._pending: deque[_PendingResult] = deque()
        # All steps before the recording use one stream, because torch keeps separate memory for each stream.
        self._side_stream = torch.cuda.Stream(state.device) if state.device.type == "cuda" else None

    def step(self, source: BatchSource, factor: float) -> list[StepResult]:
        """Launch a step, and return the results of earlier steps that are known by now.

        Args:
            source: The crops, on the host or on the device.
            factor: Factor of the learning rates.
        """
        self._prepare(source, factor)
        terms = self._result(source)
        self._state.step += 1
        self._pending.append(self._start_copy(terms))
        return self._results(LAG)

    def wait(self) -> list[StepResult]:
        """Wait for the GPU, and return the remaining results."""
        return self._results(0)

    def _prepare(self, source: BatchSource, factor: float) -> None:
        """Copy the inputs of the step to the device."""
        losses, step = self._recipe.losses, self._state.step
        kind = source.kind, step < losses.warmup  # after the warm-up, the losses change
        if kind != self._kind:
            self._kind, self._warm, self._work = kind, 0, None
            self._entry = tuple(torch.empty_like(t, device=self._state.device) for t in source.tensors)
        for mine, theirs in zip(self._entry, source.tensors, strict=True):
            mine.copy_(_pinned(theirs, self._state.device), non_blocking=True)
        discriminator_rate = losses.adversarial.lr if losses.adversarial else 0.0
        move = 1 - ema_decay(self._recipe.ema, step + 1)
        scalars = torch.tensor([self._recipe.adam.lr * factor, discriminator_rate * factor, move])
        if losses.flat:
            own = torch.Generator().manual_seed(seed_of(self._recipe, step))
            scalars = torch.cat([scalars, torch.rand(3 * COLOURS, generator=own)])
        self._scalars[: len(scalars)].copy_(_pinned(scalars, self._state.device), non_blocking=True)

    def _result(self, source: BatchSource) -> Tensor:
        """Run the step directly during warm-up, and from its recording afterwards."""
        if self._work is None and self._warm >= WARM_UP:
            self._work = self._recorded(self._work_on(source))
        if self._work is not None:
            return self._work()
        self._warm += 1
        with _on(self._side_stream):
            return self._work_on(source)()

    def _work_on(self, source: BatchSource) -> Work:
        """Return a step that reads the input buffers, which have the same kind as `source`."""
        rate, discriminator_rate, move = self._scalars[:3].unbind()
        colours = self._scalars[3:].view(COLOURS, 3)
        inputs = StepInputs(rate=rate, discriminator_rate=discriminator_rate, move=move, colours=colours)

        def work() -> Tensor:
            terms = device_step(self._state, self._recipe, source.batch(self._entry), inputs)
            self._names = tuple(terms)
            return torch.stack(list(terms.values()))

        return work

    def _recorded(self, work: Work) -> Work:
        try:
            return self._recorder(work)
        except RuntimeError as error:
            if devices.is_lost(error) and not (devices.is_out_of_memory(error) or "captur" in str(error)):
                raise  # "operation not permitted when stream is capturing" is also reported as a CUDA error
            logger.debug("steps are not recorded as CUDA graphs: %s", str(error).splitlines()[0])
            return work

    def _start_copy(self, terms: Tensor) -> _PendingResult:
        """Start copying the loss terms to the host, before the next step overwrites them."""
        copied = None
        if terms.is_cuda:
            values = torch.empty(terms.shape, dtype=terms.dtype, pin_memory=True)
            values.copy_(terms, non_blocking=True)
            copied = torch.cuda.Event(blocking=True)  # waiting sleeps, so that the cores can make clips
            copied.record()
        else:
            values = terms.clone()
        return _PendingResult(step=self._state.step, names=self._names, values=values, copied=copied)

    def _results(self, lag: int) -> list[StepResult]:
        found = []
        while len(self._pending) > lag:
            pending = self._pending.popleft()
            if pending.copied is not None:
                pending.copied.synchronize()  # waits only if the GPU is `LAG` steps behind
            terms = dict(zip(pending.names, pending.values.tolist(), strict=True))
            if not math.isfinite(terms["loss"] + terms.get("d_norm", 0.0)):
                logger.warning("step %d was skipped for one of the networks: not finite", pending.step)
            found.append(StepResult(step=pending.step, terms=terms))
        return found


def can_replay(state: State) -> bool:
    """Return whether steps can be recorded: on CUDA, by one process, with networks without dropout."""
    networks = [state.network] if state.adversary is None else [state.network, state.adversary.discriminator]
    chance = any(isinstance(m, nn.Dropout) and m.p > 0 for network in networks for m in network.modules())
    return state.device.type == "cuda" and state.group.size == 1 and not chance


@contextmanager
def fast_cuda_settings(device: torch.device) -> Generator[None, None, None]:
    """Let cuDNN benchmark its kernels, since all batches have one
    shape, and permit TF32 for fp32 products."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    try:
        with torch.cuda.device(device):  # recording uses the current device
            yield
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.set_float32_matmul_precision(before[1])


def _pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to new pinned memory, which torch does not reuse before the GPU has read it."""
    return tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor


@contextmanager
def _on(side_stream: torch.cuda.Stream | None) -> Generator[None, None, None]:
    """Use a side stream, which CUDA requires for the steps before a recording."""
    if side_stream is None:
        yield
        return
    before = torch.cuda.current_stream(side_stream.device)
    side_stream.wait_stream(before)
    with torch.cuda.stream(side_stream):
        yield
    before.wait_stream(side_stream)
