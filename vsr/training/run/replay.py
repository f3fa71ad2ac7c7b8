"""Training steps as CUDA graphs.

A small network's step is some hundred short kernels, and Python takes longer to start them than the card to
do them. The figures of a step are read some steps later, so that the card always has work in front of it.
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
from vsr.training.run.steps import Dials, Terms, device_step, ema_decay, seed_of

logger = logging.getLogger(__name__)

WARM_UP = 3
"""Steps before one is recorded: cuDNN chooses its kernels, optimisers make their moments."""
LAG = 16
"""Steps that the card may be behind the host."""


class Feed(Protocol):
    """The crops of a step: `crops.Batch`, or a `shelf.Cut` that is still to be cut on the card."""

    @property
    def tensors(self) -> tuple[Tensor, ...]: ...

    @property
    def kind(self) -> Hashable: ...

    def batch(self, tensors: Sequence[Tensor]) -> Batch: ...


Work = Callable[[], Tensor]
"""A step on what lies ready: its terms as one tensor, on the device."""
Recorder = Callable[[Work], Work]


def record(work: Work) -> Work:
    """A CUDA graph of `work`, which was done some times before; nothing is done yet."""
    graph = torch.cuda.CUDAGraph()
    # Only this thread may not wait for the card meanwhile; others pin memory for their clips.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step whose figures are known."""

    step: int
    """Number of steps done with it."""
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Late:
    """A step whose figures are on their way."""

    step: int
    names: tuple[str, ...]
    values: Tensor
    arrived: torch.cuda.Event | None


class Replay:
    """The steps of a run on one device. After a roll back, make a new one."""

    def __init__(self, state: State, recipe: Recipe, *, recorder: Recorder = record) -> None:
        """Start with nothing recorded.

        Args:
            state: Of the run; on CUDA, but for tests.
            recipe: One that `can_replay`.
            recorder: Makes what is replayed.
        """
        self._state, self._recipe, self._recorder = state, recipe, recorder
        self._kind: Hashable = None
        self._warm = 0
        self._entry: tuple[Tensor, ...] = ()
        self._numbers = torch.zeros(3 + 3 * COLOURS, device=state.device)
        self._names: tuple[str, ...] = ()
        self._work: Work | None = None
        self._late: deque[_Late] = deque()
        # One for all steps before a record: torch keeps the memory of each stream apart.
        self._aside = torch.cuda.Stream(state.device) if state.device.type == "cuda" else None

    def step(self, feed: Feed, factor: float) -> list[Done]:
        """Start a step, and give what is known of earlier ones by now.

        Args:
            feed: The crops, on the host or on the device.
            factor: Of the learning rates.
        """
        self._prepare(feed, factor)
        terms = self._result(feed)
        self._state.step += 1
        self._late.append(self._sent(terms))
        return self._known(LAG)

    def rest(self) -> list[Done]:
        """What is not known yet; waits for the card."""
        return self._known(0)

    def _prepare(self, feed: Feed, factor: float) -> None:
        """Bring to the device what the step reads."""
        losses, step = self._recipe.losses, self._state.step
        kind = feed.kind, step < losses.warmup  # after the warm-up other losses count
        if kind != self._kind:
            self._kind, self._warm, self._work = kind, 0, None
            self._entry = tuple(torch.empty_like(t, device=self._state.device) for t in feed.tensors)
        for mine, theirs in zip(self._entry, feed.tensors, strict=True):
            mine.copy_(_pinned(theirs, self._state.device), non_blocking=True)
        rival_rate = losses.adversarial.lr if losses.adversarial else 0.0
        move = 1 - ema_decay(self._recipe.ema, step + 1)
        numbers = torch.tensor([self._recipe.adam.lr * factor, rival_rate * factor, move])
        if losses.flat:
            own = torch.Generator().manual_seed(seed_of(self._recipe, step))
            numbers = torch.cat([numbers, torch.rand(3 * COLOURS, generator=own)])
        self._numbers[: len(numbers)].copy_(_pinned(numbers, self._state.device), non_blocking=True)

    def _result(self, feed: Feed) -> Tensor:
        """Do the step: as it is while it warms up, then from its record."""
        if self._work is None and self._warm >= WARM_UP:
            self._work = self._recorded(self._work_on(feed))
        if self._work is not None:
            return self._work()
        self._warm += 1
        with _on(self._aside):
            return self._work_on(feed)()

    def _work_on(self, feed: Feed) -> Work:
        """A step on what is in the entry, which is of the same kind as `feed`."""
        rate, rival_rate, move = self._numbers[:3].unbind()
        colours = self._numbers[3:].view(COLOURS, 3)
        dials = Dials(rate=rate, rival_rate=rival_rate, move=move, colours=colours)

        def work() -> Tensor:
            terms = device_step(self._state, self._recipe, feed.batch(self._entry), dials)
            self._names = tuple(terms)
            return torch.stack(list(terms.values()))

        return work

    def _recorded(self, work: Work) -> Work:
        try:
            return self._recorder(work)
        except RuntimeError as error:
            if devices.is_lost(error) and not (devices.is_out_of_memory(error) or "captur" in str(error)):
                raise  # "operation not permitted when stream is capturing" is called a CUDA error, too
            logger.debug("steps are not recorded: %s", str(error).splitlines()[0])
            return work

    def _sent(self, terms: Tensor) -> _Late:
        """Send the figures to the host; the next step writes over them."""
        arrived = None
        if terms.is_cuda:
            values = torch.empty(terms.shape, dtype=terms.dtype, pin_memory=True)
            values.copy_(terms, non_blocking=True)
            arrived = torch.cuda.Event(blocking=True)  # sleeps: the cores make clips meanwhile
            arrived.record()
        else:
            values = terms.clone()
        return _Late(step=self._state.step, names=self._names, values=values, arrived=arrived)

    def _known(self, behind: int) -> list[Done]:
        found = []
        while len(self._late) > behind:
            late = self._late.popleft()
            if late.arrived is not None:
                late.arrived.synchronize()  # waits, only where the card is `LAG` steps behind
            terms = dict(zip(late.names, late.values.tolist(), strict=True))
            if not math.isfinite(terms["loss"] + terms.get("d_norm", 0.0)):
                logger.warning("step %d was left out, or the discriminator's: not finite", late.step)
            found.append(Done(step=late.step, terms=terms))
        return found


def can_replay(state: State) -> bool:
    """Whether steps can be recorded: on CUDA, and nothing inside the networks is left to chance."""
    networks = [state.network] if state.rivals is None else [state.network, state.rivals.discriminator]
    chance = any(isinstance(m, nn.Dropout) and m.p > 0 for network in networks for m in network.modules())
    return state.device.type == "cuda" and not chance


@contextmanager
def tuned(device: torch.device) -> Generator[None, None, None]:
    """cuDNN tries its kernels on a card, as all batches have one shape, and fp32 products may be TF32."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    try:
        with torch.cuda.device(device):  # a graph is recorded on the current one
            yield
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.set_float32_matmul_precision(before[1])


def _pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Memory of its own, which torch gives to nobody before the card has copied it."""
    return tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor


@contextmanager
def _on(aside: torch.cuda.Stream | None) -> Generator[None, None, None]:
    """On a stream of its own, as what is to be recorded must be done before."""
    if aside is None:
        yield
        return
    before = torch.cuda.current_stream(aside.device)
    aside.wait_stream(before)
    with torch.cuda.stream(aside):
        yield
    before.wait_stream(aside)
