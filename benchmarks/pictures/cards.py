"""Draws the picture of each model card, measures the model, and writes both and the credits into the card.

    VSR_MATERIAL=FOLDER python -m benchmarks.pictures.cards              # all shipped models
    VSR_MATERIAL=FOLDER python -m benchmarks.pictures.cards compact-x4   # one, after a training

A card (`vsr/weights/NAME.md`) has these parts between comments; everything else in it is written by hand. The
figures are those of `vsr evaluate` for the test sets in `FOLDER/data/testsets`.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

import vsr
from benchmarks.pictures.footage import LOSSLESS, SHOWN, Shot, material, originals, upscaled, write_lr_clip
from benchmarks.tables import ROOT
from benchmarks.training.credits import photographs_table, used
from vsr.media.png import png_bytes
from vsr.models.catalog import MODELS
from vsr.report.compare.inputs import eight_bit
from vsr.report.compare.still import enlarged, in_rows
from vsr.report.evaluate import Evaluation
from vsr.report.letters import labelled

PICTURES, CARDS = ROOT / "docs" / "cards", ROOT / "vsr" / "weights"
SHOTS = {
    "text": Shot("testsets/kodak/kodim08.png", (500, 255), "photograph: Alfons Rudolph"),
    "face": Shot("testsets/kodak/kodim04.png", (150, 280), "photograph: Bob Clemens"),
    "foliage": Shot("testsets/kodak/kodim13.png", (330, 170), "photograph: Norm Kerr"),
}
INPUTS = {"clean": LOSSLESS, "CRF 23": 23}
"""What LR is, and the CRF of x264 that makes it."""
DETAIL = (120, 90)
"""Width and height of a detail, in pixels of the result."""
SETS = ("Set5", "Set14")
CODINGS = ("clean", "x264-18", "x264-23", "x264-28", "x264-33", "hevc-28", "mpeg2-4", "av1-35")
COLUMNS = ("bicubic", "lanczos")
WIDTH = 118
"""Of a line in a card."""


def draw(name: str, scale: int) -> Path:
    """Draw the picture of a card: a row for each shot, with bicubic and the model for each input, and the
    original.
    """
    panels = []
    for shot in SHOTS.values():
        frames = originals(shot.files)
        left, top = shot.corner
        images = {}
        with tempfile.TemporaryDirectory() as folder:
            for what, crf in INPUTS.items():
                clip = Path(folder) / f"{crf}.mkv"
                write_lr_clip(clip, frames, scale, crf)
                images |= {f"{what}: {m}": upscaled(clip, m, scale) for m in ("bicubic", name)}
        images["original"] = frames[SHOWN]
        for label, image in images.items():
            detail = image[:, top : top + DETAIL[1], left : left + DETAIL[0]]
            panels.append(labelled(enlarged(eight_bit(detail)), label))
    path = PICTURES / f"{name}.png"
    path.write_bytes(png_bytes(in_rows(panels, columns=2 * len(INPUTS) + 1)))
    return path


def picture_part(name: str) -> str:
    """Return the picture with what it shows."""
    credits = "; ".join(f"{what} ({shot.credit})" for what, shot in SHOTS.items())
    text = (
        f"Rows: {credits}, of the Kodak Photo CD Photo Sampler, which no model was trained on; in slow pans. "
        "LR is a clip in 4:2:0, coded by x264 without loss (clean) or at CRF 23. The panels show "
        f"{DETAIL[0]}x{DETAIL[1]} pixels of a frame of `vsr upscale`."
    )
    picture = f"![Text, a face, foliage: bicubic, {name}, the original](../../docs/cards/{name}.png)"
    return f"{picture}\n\n{wrapped(text)}"


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def measured(name: str) -> tuple[Evaluation, ...]:
    """Measure a model on Set5, Set14 and the Kodak photographs, and on these for each coding."""
    sets = material() / "testsets"
    clean = vsr.evaluate(name, data=[sets / one for one in SETS])
    return (*clean, *vsr.evaluate(name, data=sets / "kodak", codings=CODINGS))


def scores_part(name: str, rows: Sequence[Evaluation]) -> str:
    """Return the table: for each test set and coding, PSNR and SSIM of the filters and of the model."""
    by = {(row.data, row.coding, row.model): row for row in rows}
    lines = [
        f"| data, input | {' | '.join((*COLUMNS, name))} | gain over bicubic |",
        "| --- | --- | --- | --- | --- |",
    ]
    gains = {}
    for data, coding in dict.fromkeys((row.data, row.coding) for row in rows):
        cells = [by[data, coding, model] for model in (*COLUMNS, name)]
        gains[data, coding] = cells[-1].psnr - cells[0].psnr
        figures = " | ".join(f"{cell.psnr:.2f}, {cell.ssim:.4f}" for cell in cells)
        lines.append(f"| {data}, {coding} | {figures} | {gains[data, coding]:+.2f} |")
    least = min(gains, key=lambda key: gains[key])
    text = (
        "Y-PSNR in dB and SSIM by `vsr evaluate`, which follows the protocol of papers (Y of BT.601, borders "
        "of the scale cut off, LR made like MATLAB's), on Set5, Set14 and eight Kodak photographs; a coded "
        "input is a video of one frame."
    )
    weakest = f"The gain is least for {least[0]}, {least[1]}: {gains[least]:+.2f} dB."
    return "\n".join([wrapped(text), "", *lines, "", weakest])


def credits_part() -> str:
    """Return the table of the photographs of the first training set, from its `SOURCES.tsv`."""
    return photographs_table(used(material() / "train"))


def replaced(card: str, part: str, text: str) -> str:
    """Return a card with the text of one part between its comments.

    Raises:
        SystemExit: the card does not have the part once.
    """
    begin, end = f"<!-- {part}, written by benchmarks/pictures/cards.py -->", f"<!-- end of {part} -->"
    found, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", card, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{begin} and {end} must be in the card once, not {count} times")
    return found


def write(name: str, scale: int) -> None:
    """Draw, measure and write one card."""
    print(draw(name, scale))
    parts = {
        "picture": picture_part(name),
        "scores": scores_part(name, measured(name)),
        "credits": credits_part(),
    }
    path = CARDS / f"{name}.md"
    card = path.read_text(encoding="utf-8")
    for part, text in parts.items():
        card = replaced(card, part, text)
    path.write_text(card, encoding="utf-8")
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", help="names in the catalog; default: all")
    asked = parser.parse_args().models
    shipped = {entry.name: entry.scale for entry in MODELS.values() if entry.path is not None and entry.scale}
    for name in asked or shipped:
        write(name, shipped[name])


if __name__ == "__main__":
    main()
