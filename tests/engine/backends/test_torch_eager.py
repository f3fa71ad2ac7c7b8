"""float32 is not TF32 on a GPU, whatever the host program has set, and its setting is restored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from vsr.engine.backends.torch_eager import without_tf32

PARTS = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)


@pytest.fixture
def host_wants_tf32() -> Iterator[None]:
    parts = (torch.backends, torch.backends.cudnn, *PARTS, torch.backends.mkldnn)
    before = [part.fp32_precision for part in parts]
    torch.backends.fp32_precision = "tf32"
    yield
    for part, precision in zip(parts, before, strict=True):
        part.fp32_precision = precision


def test_float32_is_not_tf32_inside_the_context() -> None:
    before = [part.fp32_precision for part in PARTS]
    with without_tf32():
        assert [part.fp32_precision for part in PARTS] == ["ieee"] * 3
    assert [part.fp32_precision for part in PARTS] == before


def test_a_setting_of_the_host_program_is_replaced_and_restored(host_wants_tf32: None) -> None:
    with without_tf32():
        assert [part.fp32_precision for part in PARTS] == ["ieee"] * 3
        torch.nn.functional.conv2d(torch.rand(1, 3, 8, 8), torch.rand(4, 3, 3, 3))  # reads the setting
    assert [part.fp32_precision for part in PARTS] == ["tf32"] * 3


def test_the_setting_is_restored_after_an_error() -> None:
    before = [part.fp32_precision for part in PARTS]
    with pytest.raises(ZeroDivisionError), without_tf32():
        _ = 1 / 0
    assert [part.fp32_precision for part in PARTS] == before
