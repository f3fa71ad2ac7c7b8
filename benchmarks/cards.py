"""The pictures of the model cards: a detail of a rendered clip at CRF 23, by bicubic, by the model, original.

What is shown is made with the weights that lie in `vsr/weights`, so after a training it is made anew:

    python benchmarks/cards.py
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import vsr
from vsr.models.catalog import MODELS
from vsr.report.clip import render
from vsr.report.compare import compare

FOLDER = Path(__file__).parent.parent / "docs" / "cards"
AT = Fraction(1)
"""Seconds into the clip: a picture that depends on others before it."""


def draw(name: str, scale: int, folder: Path) -> Path:
    """The picture of one model's card; `folder` takes the clips."""
    clip, truth, result = (folder / f"{name}-{what}.mkv" for what in ("clip", "truth", "result"))
    render(clip, truth, scale=scale)
    vsr.upscale(clip, result, model=name, encoder="ffv1")
    picture = FOLDER / f"{name}.png"
    compare(clip, result, picture, at=AT, truth=truth)
    return picture


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for entry in MODELS.values():
        if entry.path is not None and entry.scale is not None:
            with tempfile.TemporaryDirectory() as folder:
                print(draw(entry.name, entry.scale, Path(folder)))


if __name__ == "__main__":
    main()
