"""Draws the pictures at the top of README.md: bicubic, `vsr` and the original, for clips of H.264.

    VSR_MATERIAL=FOLDER python -m benchmarks.pictures.readme_picture

The details are places with a visible difference; the model cards have the averages. `before-after.png` has
three clips side by side, `slider.webp` wipes over one of them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from benchmarks.pictures.footage import SHOWN, Shot, originals, upscaled, write_lr_clip
from benchmarks.tables import ROOT
from vsr.media.png import png_bytes
from vsr.report.compare.inputs import eight_bit
from vsr.report.compare.still import enlarged, in_rows
from vsr.report.compare.wipe import animated
from vsr.report.letters import labelled

DOCS = ROOT / "docs"
CRF = 18
"""CRF of x264 with its preset `medium`, a common choice for good quality."""
DETAIL = (200, 118)
"""Width and height of a detail, in pixels of the result."""
WIDE = (400, 230)
"""The same of the animation."""


@dataclass(frozen=True)
class Row:
    """One row of the picture."""

    shot: Shot
    scale: int
    model: str


ROWS = (
    Row(Shot("testsets/kodak/kodim23.png", (80, 160), "photograph: Steve Kelly"), 4, "fast-x4-crisp"),
    Row(Shot("testsets/kodak/kodim19.png", (0, 440), "photograph: Alan Fink"), 4, "compact-x4-crisp"),
    Row(Shot("film/sintel_alley/*.png", (400, 80), "Sintel, © Blender Foundation"), 2, "compact-x2-crisp"),
)
SLIDER = Row(
    Shot("testsets/kodak/kodim08.png", (330, 200), "photograph: Alfons Rudolph"), 2, "compact-x2-crisp"
)


def panels(row: Row, size: tuple[int, int]) -> list[Tensor]:
    """Return the details of a row, uint8 with labels: bicubic, the model's result, the original."""
    frames = originals(row.shot.files)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mkv"
        write_lr_clip(clip, frames, row.scale, CRF)
        made = [upscaled(clip, model, row.scale) for model in ("bicubic", row.model)]
    labels = (
        f"x{row.scale} of H.264 at CRF {CRF}: bicubic",
        f"vsr, {row.model}",
        f"original ({row.shot.credit})",
    )
    left, top = row.shot.corner
    details = [image[:, top : top + size[1], left : left + size[0]] for image in (*made, frames[SHOWN])]
    return [labelled(enlarged(eight_bit(d)), label) for d, label in zip(details, labels, strict=True)]


def main() -> None:
    rows = [panels(row, DETAIL) for row in ROWS]
    write("before-after.png", png_bytes(in_rows([panel for row in rows for panel in row], columns=3)))
    bicubic, ours, _ = panels(SLIDER, WIDE)
    write("slider.webp", animated([bicubic, ours]))


def write(name: str, data: bytes) -> None:
    (DOCS / name).write_bytes(data)
    print(f"{name}: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
