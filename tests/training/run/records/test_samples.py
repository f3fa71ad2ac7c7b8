"""Sample images of a run, and the content of their columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.training.photographs import photograph, tiny_recipe
from vsr.errors import OutputError
from vsr.training.run.evaluate import Scores, ValidationCase, enlarge
from vsr.training.run.records.samples import ROWS, SIDE, save_columns, save_pair, save_samples
from vsr.training.run.state import new_state

GAP = 4


def read(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255


def case(condition: str, seed: int, side: int = 64) -> ValidationCase:
    lr = photograph(seed, side // 2)[None] / 255
    return ValidationCase(
        condition=condition,
        lr=lr,
        hr=photograph(seed + 50, side) / 255,
        bicubic=Scores(30.0, 30.0, 30.0),
        lanczos=30.0,
        before=None,
        shift=None,
    )


def test_a_row_is_lr_bicubic_network_and_hr(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    state = replace(new_state(recipe), step=20)
    shown = case("crf23", 1)
    path = save_samples(tmp_path / "out.safetensors", state, [case("clean", 2), shown], recipe)
    assert path == tmp_path / "out.samples" / "step-000000020.png"
    image = read(path)
    assert image.shape == (3, 64 + GAP, 4 * (64 + GAP))
    columns = [image[:, :64, i * (64 + GAP) : i * (64 + GAP) + 64] for i in range(4)]
    with torch.inference_mode():
        sr = state.average(shown.lr)[0]
    nearest = shown.lr[0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    for found, expected in zip(columns, [nearest, enlarge(shown.lr, 2), sr, shown.hr], strict=True):
        assert (found - expected.clamp(0, 1)).abs().max() <= 0.51 / 255  # rounded to 8 bits


def test_the_number_of_rows_is_limited_and_large_images_are_cropped(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    cases = [case("own", seed, side=SIDE + 40) for seed in range(ROWS + 2)]
    image = read(save_samples(tmp_path / "out.safetensors", new_state(recipe), cases, recipe))
    assert image.shape == (3, ROWS * (SIDE + GAP), 4 * (SIDE + GAP))


def test_a_pair_shows_lr_at_the_size_of_hr(tmp_path: Path) -> None:
    lr, hr = photograph(1, 32) / 255, photograph(2, 64) / 255
    save_pair(lr, hr, tmp_path / "pair.png")
    image = read(tmp_path / "pair.png")
    assert torch.equal(image[:, :64:2, :64:2], lr)
    assert torch.equal(image[:, :64, 64 + GAP : 128 + GAP], hr)


def test_columns_are_side_by_side(tmp_path: Path) -> None:
    rows = [[photograph(i, 32) / 255, photograph(i + 5, 32) / 255] for i in range(3)]
    save_columns(rows, tmp_path / "columns.png")
    image = read(tmp_path / "columns.png")
    assert image.shape == (3, 3 * (32 + GAP), 2 * (32 + GAP))
    assert torch.equal(image[:, 2 * 36 : 2 * 36 + 32, 36 : 36 + 32], rows[2][1])


def test_a_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out.samples").write_bytes(b"a file in the way")
    recipe = tiny_recipe()
    with pytest.raises(OutputError, match=r"out\.samples cannot be created"):
        save_samples(tmp_path / "out.safetensors", new_state(recipe), [case("clean", 1)], recipe)
