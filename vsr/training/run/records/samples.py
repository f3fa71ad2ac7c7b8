"""Sample images of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.errors import OutputError
from vsr.media.png import save_png
from vsr.training.recipe import Recipe
from vsr.training.run.evaluate import ValidationCase, enlarge, shown_condition, upscaled
from vsr.training.run.state import State

ROWS = 4
SIDE = 192
"""Side of a sample in HR pixels."""
_GAP = 4


def save_samples(output: Path, state: State, cases: Sequence[ValidationCase], recipe: Recipe) -> Path:
    """Write a grid of samples; the columns are LR as whole pixels, bicubic, the averaged network, and HR.

    Raises:
        OutputError: The file cannot be written.
    """
    folder = output.with_suffix(".samples")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created ({error.strerror})") from error
    path = folder / f"step-{state.step:09d}.png"
    chosen = [case for case in cases if case.condition == shown_condition(cases)][:ROWS]
    rows = [_row(case, upscaled(state.average, case, recipe, state.device), recipe.scale) for case in chosen]
    save_png(_stack(rows, 1), path)
    return path


def _row(case: ValidationCase, sr: Tensor, scale: int) -> Tensor:
    lr = case.lr[0].cpu()
    nearest = lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return _stack([_middle(image) for image in (nearest, enlarge(case.lr, scale), sr, case.hr)], 2)


def _middle(image: Tensor) -> Tensor:
    """Return the central square of `SIDE` pixels."""
    height, width = image.shape[-2:]
    side = min(SIDE, height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return image[:, y : y + side, x : x + side].float().clamp(0, 1)


def _stack(images: Sequence[Tensor], dim: int) -> Tensor:
    """Join images in a row (dim 2) or a column (dim 1), with white gaps."""
    padded = [F.pad(image, (0, _GAP, 0, 0) if dim == 2 else (0, 0, 0, _GAP), value=1.0) for image in images]
    return torch.cat(padded, dim)


def save_columns(rows: Sequence[Sequence[Tensor]], path: Path) -> None:
    """Write the central squares of images `(3, H, W)` as a grid."""
    save_png(_stack([_stack([_middle(image) for image in row], 2) for row in rows], 1), path)


def save_pair(lr: Tensor, hr: Tensor, path: Path) -> None:
    """Write LR, enlarged to whole pixels, beside HR.

    Args:
        lr: `(3, H, W)`, nominally [0, 1].
        hr: `(3, H * scale, W * scale)`, [0, 1].
        path: PNG file to write.
    """
    scale = hr.shape[-1] // lr.shape[-1]
    nearest = lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    save_png(_stack([nearest.clamp(0, 1), hr], 2), path)
