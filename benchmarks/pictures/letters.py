"""Draws the letters of labels in pictures: `vsr/report/letters.png`, in DejaVu Sans.

    python -m benchmarks.pictures.letters FONT.ttf

The font's licence (Bitstream Vera) permits pictures of its letters.
"""

from __future__ import annotations

import json
import sys

from PIL import Image, ImageDraw, ImageFont

from benchmarks.tables import ROOT

FOLDER = ROOT / "vsr" / "report"
SIZE = 18
"""Of the font in pixels."""
LETTERS = [chr(code) for code in (*range(0x20, 0x7F), *range(0xA0, 0x180))] + list("·–—…×→□")


def main() -> None:
    font = ImageFont.truetype(sys.argv[1], SIZE)
    widths = [round(font.getlength(letter)) for letter in LETTERS]
    strip = Image.new("L", (sum(widths), sum(font.getmetrics())), 0)
    pen, left = ImageDraw.Draw(strip), 0
    for letter, width in zip(LETTERS, widths, strict=True):
        pen.text((left, 0), letter, fill=255, font=font)
        left += width
    strip.save(FOLDER / "letters.png", optimize=True)
    text = json.dumps({"letters": "".join(LETTERS), "widths": widths}, ensure_ascii=True)
    (FOLDER / "letters.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
