"""Figures of `evaluate` as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields

import torch

import vsr
from vsr.report.evaluate import Evaluation


def markdown(rows: Sequence[Evaluation]) -> str:
    """Return a table, a line for each model and coding; `gain` is that over bicubic for the same input."""
    lines = [
        "| input | model | scale | images | PSNR, dB | gain, dB | SSIM | Mpixel/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    bicubic = {row.coding: row.psnr for row in rows if row.model == "bicubic"}
    for row in rows:
        model = row.model.replace("|", "\\|")
        lines.append(
            f"| {row.coding} | {model} | x{row.scale} | {row.images} | {row.psnr:.2f} | "
            f"{row.psnr - bicubic[row.coding]:+.2f} | {row.ssim:.4f} | {row.megapixels_per_second:.2f} |"
        )
    return "\n".join(lines) + "\n"


def as_csv(rows: Sequence[Evaluation]) -> str:
    """Return the rows with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Evaluation)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()


def as_json(rows: Sequence[Evaluation]) -> str:
    """Return the rows and what they were measured with."""
    made = {
        "vsr": vsr.__version__,
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
    }
    return json.dumps({"made": made, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"


WRITERS: dict[str, Callable[[Sequence[Evaluation]], str]] = {
    ".md": markdown,
    ".csv": as_csv,
    ".json": as_json,
}
"""The writer for each suffix."""
