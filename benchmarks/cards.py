"""Draws the images of the model cards: a detail of a generated clip
at CRF 23, as bicubic, model and original.

The images show the weights in `vsr/weights`, so they must be drawn again after a training:

    python benchmarks/cards.py
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import vsr
from vsr.models.catalog import MODELS
from vsr.report.clip import render

FOLDER = Path(__file__).parent.parent / "docs" / "cards"
AT = Fraction(1)
"""Time of the frame in seconds: one that depends on frames before it."""


def draw(name: str, scale: int, folder: Path) -> Path:
    """Draw the image of one model's card; the clips are written to `folder`."""
    clip, truth, result = (folder / f"{name}-{what}.mkv" for what in ("clip", "truth", "result"))
    render(clip, truth, scale=scale)
    vsr.upscale(clip, result, model=name, encoder="ffv1")
    picture = FOLDER / f"{name}.png"
    vsr.compare(clip, result, output=picture, at=AT, reference=truth, overwrite=True)
    return picture


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for entry in MODELS.values():
        if entry.path is not None and entry.scale is not None:
            with tempfile.TemporaryDirectory() as folder:
                print(draw(entry.name, entry.scale, Path(folder)))


if __name__ == "__main__":
    main()
