"""Frames of a program through a generator: the same type comes out, lazily and in order."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.engine.fakes import Hungry, Nearest
from vsr.errors import ConfigError, InputError, ModelError
from vsr.frame import RgbFrame, Stamp
from vsr.pipeline.upscaler import Upscaler


def nearest(**wishes: object) -> Upscaler:
    return Upscaler(Nearest(), device="cpu", **wishes)  # type: ignore[arg-type]


def doubled(array: np.ndarray) -> np.ndarray:
    return array.repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_arrays_keep_dtype_and_every_value(dtype: str) -> None:
    random = np.random.default_rng(1)
    most = np.iinfo(dtype).max if dtype.startswith("u") else 1
    array = (random.random((5, 7, 3)) * most).astype(dtype)
    (made,) = nearest().frames([array])
    assert made.dtype == array.dtype
    np.testing.assert_array_equal(made, doubled(array))
    made += 1  # the caller may write to it


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "bfloat16", "float32"])
def test_tensors_keep_dtype_and_every_value(dtype: str) -> None:
    kind = getattr(torch, dtype)
    image = torch.arange(3 * 5 * 7).reshape(3, 5, 7).to(torch.float32)
    image = (image / 128).to(kind) if kind.is_floating_point else image.to(kind)
    (made,) = nearest().frames([image])
    assert made.dtype == kind
    assert made.shape == (3, 10, 14)
    assert torch.equal(made[:, ::2, ::2].float(), image.float())
    made.mul_(2)  # fails for a tensor of inference mode


def test_floats_are_not_clipped_and_integers_are() -> None:
    bright = np.full((4, 4, 3), 1.25, np.float32)
    (made,) = nearest().frames([bright])
    assert made.max() == 1.25
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    (made,) = Upscaler("lanczos", scale=2, device="cpu").frames([edge])  # overshoots at the edge
    assert made[:, :4].max() < 64  # clipped, without overflow
    assert made[:, -4:].min() > 191


def test_rgb_frames_keep_stamp_and_alpha() -> None:
    stamp = Stamp(index=4, pts=3003, duration=1001, time_base=Fraction(1, 30000))
    frame = RgbFrame(image=torch.rand(3, 6, 4), alpha=torch.ones(1, 6, 4), stamp=stamp)
    (made,) = nearest().frames([frame])
    assert made.stamp == stamp
    assert made.alpha is not None
    assert made.alpha.shape == (1, 12, 8)


@pytest.mark.parametrize("batch", [1, 3])
def test_frames_come_lazily_and_in_order(batch: int) -> None:
    pulled: list[int] = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            pulled.append(len(pulled))
            yield np.full((4, 4, 3), pulled[-1], np.uint8)

    stream = nearest(batch=batch).frames(endless())
    for number in range(20):
        assert next(stream).max() == number
        assert len(pulled) <= number + batch
    stream.close()  # type: ignore[attr-defined]


def test_sizes_and_types_may_change_between_frames() -> None:
    frames = [np.zeros((4, 6, 3), np.uint8), torch.zeros(3, 4, 6), np.zeros((5, 5, 3), np.uint16)]
    made = list(nearest(batch=4).frames(frames))  # type: ignore[type-var]
    assert [tuple(m.shape) for m in made] == [(8, 12, 3), (3, 8, 12), (10, 10, 3)]
    assert [type(m) for m in made] == [np.ndarray, torch.Tensor, np.ndarray]


def test_an_array_may_be_reused_while_its_batch_is_not_full() -> None:
    def one_buffer() -> Iterator[np.ndarray]:
        array = np.zeros((4, 4, 3), np.float32)
        for number in range(6):
            array[:] = number
            yield array

    assert [made.max() for made in nearest(batch=4).frames(one_buffer())] == [0, 1, 2, 3, 4, 5]


def test_read_only_reversed_and_big_endian_arrays_are_read_correctly() -> None:
    array = np.arange(4 * 5 * 3, dtype=np.uint16).reshape(4, 5, 3)
    frozen = array.copy()
    frozen.flags.writeable = False
    odd = [frozen, array[::-1, ::-1], array.astype(">u2"), array.transpose(1, 0, 2)]
    for given, made in zip(odd, nearest().frames(odd), strict=True):
        np.testing.assert_array_equal(made, doubled(given))


def test_a_scale_that_the_model_does_not_have_is_reached_by_a_filter() -> None:
    upscaler = nearest(scale=1.5)
    assert upscaler.scale == Fraction(3, 2)
    (made,) = upscaler.frames([np.full((6, 9, 3), 77, np.uint8)])
    assert made.shape == (9, 13, 3)
    assert (made == 77).all()


def test_an_included_model_by_name_and_memory_that_runs_out() -> None:
    assert Upscaler("fast-x2", device="cpu").scale == 2
    hungry = Hungry(limit=3 * 16)
    made = list(Upscaler(hungry, device="cpu", batch=8).frames([np.full((4, 4, 3), 9, np.uint8)] * 5))
    assert [m.max() for m in made] == [9] * 5
    assert max(n * h * w for n, _, h, w in hungry.calls[-2:]) <= 3 * 16


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_duplicate_frame_is_computed_once_also_in_the_next_stream(precision: str) -> None:
    counting = Hungry(limit=1 << 20)
    upscaler = Upscaler(counting, device="cpu", precision=precision)
    one, other = np.full((4, 4, 3), 9, np.uint8), np.full((4, 4, 3), 10, np.uint8)
    first, again, changed = upscaler.frames([one, one.copy(), other])
    (later,) = upscaler.frames([torch.full((3, 4, 4), 10, dtype=torch.uint8)])
    assert len(counting.calls) == 2
    assert (first == again).all()
    first += 1  # the caller may write to it
    assert [made.max() for made in (first, again, changed, later)] == [10, 9, 10, 10]
    plain = Upscaler(counting, device="cpu", precision=precision, reuse=False)
    list(plain.frames([one, one]))
    assert len(counting.calls) == 4


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((4, 4), np.uint8), r"frame 0 is an array \(4, 4\) of uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"Give \(H, W, 3\)"),
        (np.zeros((4, 4, 3)), r"of float64\. Give"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (torch.zeros(4, 4, 3), r"a tensor \(4, 4, 3\) of float32\. Give \(3, H, W\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "of int32"),
        ("picture.png", r"is a str\. Give a numpy array"),
    ],
)
def test_an_unsupported_type_is_rejected_in_one_line(frame: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(nearest().frames([frame]))  # type: ignore[type-var]


@pytest.mark.parametrize("scale", [0, -1, 17, "wide", float("nan")])
def test_an_impossible_scale_is_rejected(scale: object) -> None:
    with pytest.raises(ConfigError, match="scale"):
        nearest(scale=scale)


def test_an_unknown_model_is_rejected() -> None:
    with pytest.raises(ModelError, match="nonesuch"):
        Upscaler("nonesuch")


@pytest.mark.needs_cuda
@pytest.mark.parametrize("where", ["host", "device"])
def test_on_a_gpu_results_are_complete_when_they_are_returned(where: str) -> None:
    """Long work is queued, so that a missing synchronisation would be visible."""
    random = torch.Generator().manual_seed(1)
    images = [torch.rand(3, 256, 256, generator=random) for _ in range(12)]
    given = images if where == "host" else [image.cuda() for image in images]
    made = list(Upscaler(Nearest(), device="cuda", precision="fp32").frames(given))
    for before, after in zip(given, made, strict=True):
        assert after.device.type == before.device.type
        assert torch.equal(after[:, ::2, ::2], before)
