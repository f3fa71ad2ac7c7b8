"""Figures of `evaluate` as Markdown, CSV and JSON, with those of papers beside them."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields

import torch

import vsr
from vsr.report.evaluate import Evaluation
from vsr.report.evaluate.published import Published, published

_MEASURES = {
    "lpips": ("LPIPS ↓", ".4f"),
    "dists": ("DISTS ↓", ".4f"),
    "temporal_difference": ("temporal difference ↓", ".3f"),
    "vmaf": ("VMAF ↑", ".2f"),
    "cvvdp": ("ColorVideoVDP ↑", ".3f"),
}
"""Title and format of the columns that only some evaluations have."""


def markdown(rows: Sequence[Evaluation]) -> str:
    """Return a table, a line for each test set, input and model, and papers' figures with their sources.

    `gain` is that over bicubic for the same input. Columns that would be empty are left out.
    """
    extra = [name for name in _MEASURES if any(getattr(row, name) is not None for row in rows)]
    titles = ["data", "input", "model", "scale", "images", "PSNR, dB", "gain, dB", "SSIM"]
    titles += [*(_MEASURES[name][0] for name in extra), "Mpixel/s"]
    bicubic = {(row.data, row.coding): row.psnr for row in rows if row.model == "bicubic"}
    lines = [_line(titles), _line(["---"] * len(titles))]
    sources: list[str] = []
    for row in rows:
        more = [_shown(getattr(row, name), _MEASURES[name][1]) for name in extra]
        gain = f"{row.psnr - bicubic[row.data, row.coding]:+.2f}"
        figures = [f"{row.psnr:.2f}", gain, f"{row.ssim:.4f}", *more, f"{row.megapixels_per_second:.2f}"]
        lines.append(_line([row.data, row.coding, row.model, f"x{row.scale}", str(row.images), *figures]))
        if _is_last_of(row, rows):
            lines += [_published_line(one, sources, len(extra)) for one in published(row.data, row.scale)]
    return "\n".join([*lines, *_footnotes(sources)]) + "\n"


def _is_last_of(row: Evaluation, rows: Sequence[Evaluation]) -> bool:
    """Return whether a row is the last one of a test set's uncoded input, which papers use."""
    same = [one for one in rows if (one.data, one.coding) == (row.data, "clean")]
    return bool(same) and row is same[-1]


def _published_line(one: Published, sources: list[str], empty: int) -> str:
    if one.source not in sources:
        sources.append(one.source)
    model = f"{one.model}, published [{sources.index(one.source) + 1}]"
    figures = [f"{one.psnr:.2f}", "", f"{one.ssim:.4f}", *[""] * empty, ""]
    return _line([one.data, "clean", model, f"x{one.scale}", "", *figures])


def _footnotes(sources: Sequence[str]) -> list[str]:
    return ["", *(f"[{number}] {source}  " for number, source in enumerate(sources, 1))] if sources else []


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def as_csv(rows: Sequence[Evaluation]) -> str:
    """Return the rows with a header line, then papers' figures, whose column `source` is not empty."""
    text = io.StringIO()
    columns = [*(field.name for field in fields(Evaluation)), "source"]
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    writer.writerows({**asdict(one), "coding": "clean"} for one in _all_published(rows))
    return text.getvalue()


def as_json(rows: Sequence[Evaluation]) -> str:
    """Return the rows, what they were measured with, and papers' figures."""
    made = {
        "vsr": vsr.__version__,
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
    }
    table = {
        "made": made,
        "rows": [asdict(row) for row in rows],
        "published": [asdict(one) for one in _all_published(rows)],
    }
    return json.dumps(table, indent=1) + "\n"


def _all_published(rows: Sequence[Evaluation]) -> Iterator[Published]:
    for data, scale in dict.fromkeys((row.data, row.scale) for row in rows if row.coding == "clean"):
        yield from published(data, scale)


WRITERS: dict[str, Callable[[Sequence[Evaluation]], str]] = {
    ".md": markdown,
    ".csv": as_csv,
    ".json": as_json,
}
"""The writer for each suffix."""
