"""The order in which a device gets its work: it always has queued work while the host waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.engine.upscaler import Launched
from vsr.frame import Stamp, YuvFrame
from vsr.pipeline.flow import stages
from vsr.pipeline.flow.marks import Idle, Mark, Repeat
from vsr.pipeline.flow.meter import Meter

COLOR = ColorSpec(
    matrix=Matrix.BT709,
    transfer=Transfer.BT709,
    primaries=Primaries.BT709,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.LEFT,
)
LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1))


@dataclass
class Recorder:
    """A device that records, at each wait of the host, how many batches are queued after the awaited one."""

    batch: int
    launched: int = 0
    queued_behind: list[int] = field(default_factory=list)
    device: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(type="cuda"))

    # The interface of DeviceStreams.
    def upload(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tensors

    def computing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def download(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], SimpleNamespace]:
        after = self.launched
        return tensors, SimpleNamespace(wait=lambda: self.queued_behind.append(self.launched - after))

    # The interface of Upscaler.
    def launch(self, images: Tensor) -> Launched:
        self.launched += 1
        return Launched(images.clone(), torch.ones(len(images), dtype=torch.bool))

    def repair(self, images: Tensor, sr: Tensor, healthy: Tensor) -> int:
        return 0


def frames(number: int) -> list[YuvFrame]:
    planes = tuple(torch.full(size, 100, dtype=torch.uint8) for size in ((8, 8), (4, 4), (4, 4)))
    return [
        YuvFrame(
            planes=planes,
            layout=LAYOUT,
            color=COLOR,
            stamp=Stamp(index=i, pts=i, duration=1, time_base=Fraction(1, 25)),
        )
        for i in range(number)
    ]


def run(recorder: Recorder, number: int, *, depth: int) -> list[YuvFrame]:
    return [frame for frame in staged(recorder, frames(number), depth=depth) if isinstance(frame, YuvFrame)]


def staged(
    recorder: Recorder, items: Iterable[YuvFrame | Mark], *, depth: int, length: int | None = None
) -> Iterator[YuvFrame | Mark]:
    streams, meter = recorder, Meter()
    uploaded = stages.upload(items, streams, meter)  # type: ignore[arg-type]
    lr = stages.rgb(uploaded, streams, meter)  # type: ignore[arg-type]
    sr = stages.upscale(lr, recorder, streams, meter, height=8, width=8, length=length)  # type: ignore[arg-type]
    planes = stages.yuv(sr, streams, meter, color=COLOR, layout=LAYOUT)  # type: ignore[arg-type]
    return stages.download(planes, streams, meter, depth=depth)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8])
def test_the_host_never_waits_for_the_newest_batch_while_more_can_be_queued(batch: int) -> None:
    recorder = Recorder(batch)
    out = run(recorder, 10 * batch, depth=max(2, batch))
    assert [f.stamp.index for f in out] == list(range(10 * batch))
    last = recorder.launched
    assert last == 10
    # At the end nothing more can be queued, so the host waits for the last batch and its frames.
    steady = recorder.queued_behind[: -(2 * batch + 2)]
    assert steady
    assert min(steady) >= 1


def test_with_too_few_pending_downloads_the_device_would_have_no_work() -> None:
    recorder = Recorder(batch=4)
    run(recorder, 40, depth=2)
    assert 0 in recorder.queued_behind[:-10]


@pytest.mark.parametrize("number", [1, 3, 5, 9])
def test_every_frame_comes_out_once_and_in_order(number: int) -> None:
    out = run(Recorder(batch=4), number, depth=4)
    assert [f.stamp.index for f in out] == list(range(number))
    assert all(int(f.planes[0].float().mean()) == 100 for f in out)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_live_frame_comes_out_before_the_next_is_requested_on_an_asynchronous_device(
    batch: int,
) -> None:
    """When the source has nothing ready, no frame waits for a batch, a check or a copy."""
    given: list[int] = []

    def live() -> Iterator[YuvFrame | Mark]:
        for number, frame in enumerate(frames(40)):
            given.append(number)
            yield frame if number % 3 == 0 else Repeat(frame.stamp)
            yield Idle()

    came = 0
    for item in staged(Recorder(batch), live(), depth=max(2, batch)):
        if isinstance(item, YuvFrame | Repeat):
            assert item.stamp.index == came == given[-1]
            came += 1
    assert came == 40


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_duplicates_keep_their_places_and_do_not_fill_a_batch(batch: int) -> None:
    recorder, still = Recorder(batch), {1, 2, 5, 6, 7, 8, 19}
    items = [Repeat(one.stamp) if n in still else one for n, one in enumerate(frames(20))]
    out = list(staged(recorder, items, depth=4))
    assert [one.stamp.index for one in out if isinstance(one, YuvFrame | Repeat)] == list(range(20))
    assert [type(one) for one in out] == [type(one) for one in items]
    assert recorder.launched == -(-13 // batch)


def test_a_static_film_is_written_although_its_batch_is_not_full() -> None:
    first, *rest = frames(1000)
    asked = 0

    def still() -> Iterator[YuvFrame | Mark]:
        nonlocal asked
        yield first
        for frame in rest:
            asked += 1
            yield Repeat(frame.stamp)

    next(staged(Recorder(batch=4), still(), depth=4))
    assert asked <= 3 * stages.MOST_REPEATS


def test_batches_do_not_cross_segments_with_duplicates_between() -> None:
    recorder = Recorder(batch=4)
    items = [Repeat(one.stamp) if n % 5 in (3, 4) else one for n, one in enumerate(frames(10))]
    list(staged(recorder, items, depth=4, length=5))
    assert recorder.launched == 2
