"""One HTML page about a training run, beside its weight file: curves, samples, the recipe and the machine.

It is written after each validation and at the end, and reloads itself in a browser while the run lasts. It
contains everything that it shows, and loads nothing. The figures come from the log (`.jsonl`), so a resumed
run has all of them.
"""

from __future__ import annotations

import io
import json
import math
import os
import platform
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from vsr.errors import CancelledError, OutputError
from vsr.reading import read_file
from vsr.training.recipe import Recipe, facts
from vsr.training.run.evaluate import CONDITIONS, OWN
from vsr.training.run.steps import computes_in
from vsr.web_page import document
from vsr.web_page.charts import Series, curves, legend
from vsr.writing import write_derived

SUFFIX = ".training.html"
REFRESH_SECONDS = 30
MOST_SAMPLES = 12
"""Sample images in the page; of more, the first, the last, and some spread between are taken."""
_MOST_BYTES = 2**28  # of the log
_QUALITY = 90  # of WebP: nothing is visible at twice the size
_GAINS = (*CONDITIONS, OWN, "gain")
_OTHERS = {
    "over_lanczos": "gain over Lanczos, dB",
    "gain_rgb": "gain of RGB-PSNR over bicubic, dB",
    "gain_chroma": "gain of Cb and Cr over bicubic, dB",
    "gain_chroma_clean": "gain of Cb and Cr over bicubic, uncoded LR, dB",
    "grid_excess": "grid of the pixel shuffle over that of HR, dB",
    "flicker": "flicker over that of HR, 8-bit levels",
    "features": "perceptual loss relative to bicubic",
}
"""Titles of the other figures of a validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What the page says about a run besides its figures."""

    recipe: Recipe
    device: torch.device
    minutes: float | None
    """Time limit."""
    head: Mapping[str, str]
    """Metadata of the weight file: data, licences, initial weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a run is."""

    text: str
    is_running: bool
    """Whether the page reloads itself."""


def running(step: int, position: float, seconds: float) -> Status:
    """Return the status of a run that goes on.

    Args:
        step: Steps so far.
        position: Fraction of the run, 0 to 1.
        seconds: Seconds of training so far.
    """
    left = f", about {_clock(seconds * (1 - position) / position)} left" if 0 < position < 1 else ""
    now = datetime.now().astimezone().strftime("%H:%M")
    return Status(text=f"Step {step}, {position:.0%} done, {_clock(seconds)}{left} ({now}).", is_running=True)


def ended(text: str) -> Status:
    """Return the status of a run that does not go on; `text` says why."""
    return Status(text=text, is_running=False)


@contextmanager
def last_page(output: Path, about: PageFacts, step: Callable[[], int]) -> Generator[None, None, None]:
    """Write in the end how a run ended, if it has a page by then.

    Args:
        output: The weight file.
        about: Facts of the run.
        step: Returns the number of steps that are done.
    """
    text = "Finished after step {}."
    try:
        yield
    except BaseException as error:
        why = "Stopped" if isinstance(error, CancelledError) else f"Ended by {type(error).__name__}"
        text = f"{why} at step {{}}; the same command resumes."
        raise
    finally:
        if page_path(output).exists():
            with suppress(OutputError):  # what ended the run matters more
                write_page(output, about, ended(text.format(step())))


def page_path(output: Path) -> Path:
    """Return the path of the page of a weight file."""
    return output.with_suffix(SUFFIX)


def write_page(
    output: Path, about: PageFacts, status: Status, *, before: Mapping[str, float] | None = None
) -> None:
    """Write the page of a run from its log and its sample images.

    Args:
        output: The weight file.
        about: Facts of the run.
        status: How far it is.
        before: The figures of the initial weights, for fine-tuning.

    Raises:
        OutputError: the page cannot be written.
    """
    rows = _rows(output.with_suffix(".jsonl"))
    names = list(dict.fromkeys(name for row in rows for name in row))
    losses = [n for n in names if not _is_figure(n)]
    kinds = [n for n in names if n.startswith("gain_") and n not in _OTHERS]
    parts = [
        document.paragraph(status.text, kind="lead"),
        "<h2>Validation against bicubic</h2>",
        document.paragraph("Gain of Y-PSNR over bicubic in dB, on held-out data, by the coding of LR."),
        _chart(rows, [n for n in _GAINS if n in names], "Gain over bicubic, dB"),
        _chart(rows, kinds, "Gain over bicubic by kind of content, dB"),
        _table(rows, [n for n in (*_GAINS, *kinds, *_OTHERS) if n in names], before),
        *_samples(output.with_suffix(".samples"), [int(row["step"]) for row in rows]),
        "<h2>Losses</h2>",
        '<div class="grid">',
        _chart(rows, ["loss"] if "loss" in losses else [], "Loss"),
        _chart(rows, [n for n in losses if n != "loss"], "Terms of the loss, and the norm of the gradient"),
        "</div><h2>Other figures of the validation</h2>",
        '<div class="grid">',
        *(_chart(rows, [n], title) for n, title in _OTHERS.items() if n in names),
        "</div>",
        "<h2>The run</h2>",
        document.facts(_facts(output, about)),
        f"<details><summary>Recipe</summary>\n<pre>{_escaped_recipe(about.recipe)}</pre></details>",
    ]
    data = document.document(
        "\n".join(part for part in parts if part),
        title=f"{output.name}: training by {about.recipe.name}",
        refresh_seconds=REFRESH_SECONDS if status.is_running else None,
        script=document.asset("samples.js"),
    )
    write_derived(page_path(output), data)


def _is_figure(name: str) -> bool:
    """Return whether a key of the log is no term of the loss."""
    return name in {"step", "seconds", *_GAINS, *_OTHERS} or name.startswith("gain_")


def _rows(log: Path) -> list[dict[str, Any]]:
    """Return the lines of the newest run in a log; where a run went back, the later line counts."""
    rows: list[dict[str, Any]] = []
    if not log.exists():  # a run that ended before its first validation
        return rows
    for line in read_file(log, most_bytes=_MOST_BYTES).decode("utf-8", "replace").splitlines():
        with suppress(ValueError):  # a crash may have cut a line
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                while rows and rows[-1]["step"] >= row["step"]:
                    rows.pop()
                rows.append(row)
    return rows


def _chart(rows: Sequence[Mapping[str, Any]], names: Sequence[str], title: str) -> str:
    if not names:
        return ""
    series = [
        Series(name=name, values=[_number(row.get(name)) for row in rows], color=number)
        for number, name in enumerate(names)
    ]
    steps = [float(row["step"]) for row in rows]
    over_bicubic = "over bicubic" in title  # which is 0 then
    chart = curves(
        series,
        steps,
        label=title,
        x_text=lambda step: f"step {step:.0f}",
        height=220,
        with_zero=over_bicubic,
    )
    caption = document.paragraph(title, kind="note")
    names_of_curves = legend(series) if len(series) > 1 else ""
    return f"<figure>{caption}{names_of_curves}{chart}</figure>"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _table(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], before: Mapping[str, float] | None
) -> str:
    """Return the newest figures, those of the best validation, and those of the initial weights."""
    if not rows:
        return ""
    best = max(rows, key=lambda row: _number(row.get("gain")) or -math.inf)
    columns: list[tuple[str, Mapping[str, Any]]] = [
        (f"now, step {rows[-1]['step']}", rows[-1]),
        (f"best, step {best['step']}", best),
        *([("before", before)] if before else []),
    ]
    lines = [[_OTHERS.get(n, n), *(_shown(column.get(n)) for _, column in columns)] for n in names]
    titles = ["", *(title for title, _ in columns)]
    return document.table(titles, lines, numbers=range(1, len(titles)))


def _shown(value: object) -> str:
    number = _number(value)
    return "–" if number is None else f"{number:+.3f}"


def _samples(folder: Path, steps: Sequence[int]) -> list[str]:
    """Return the sample images of some steps, with a slider between them."""
    found = [(step, path) for step in steps if (path := folder / f"step-{step:09d}.png").is_file()]
    if not found:
        return []
    chosen = [found[i] for i in spread(len(found), MOST_SAMPLES)]
    sources = [
        document.image_address(_webp(path, path.stat().st_mtime_ns), "image/webp") for _, path in chosen
    ]
    images = "".join(
        f'<img class="sample" data-step="{step}" alt="Samples after step {step}" src="{source}"'
        f"{'' if step == chosen[-1][0] else ' hidden'}>"
        for (step, _), source in zip(chosen, sources, strict=True)
    )
    last = len(chosen) - 1
    return [
        "<h2>Samples</h2>",
        document.paragraph(
            "From left to right: LR as whole pixels, bicubic, the network, the original.", kind="note"
        ),
        f'<label>Step <output id="sample-step">{chosen[-1][0]}</output>'
        f'<input type="range" id="sample" min="0" max="{last}" value="{last}"></label>',
        f"<figure>{images}</figure>",
    ]


def spread(number: int, most: int) -> list[int]:
    """Return at most `most` indices below `number`, evenly spread, with the first and the last."""
    if number <= most:
        return list(range(number))
    return [round(i * (number - 1) / (most - 1)) for i in range(most)]


@lru_cache(maxsize=2 * MOST_SAMPLES)
def _webp(path: Path, changed: int) -> bytes:
    """Convert a sample; its time of change makes a changed file another entry of the cache."""
    from PIL import Image

    written = io.BytesIO()
    with Image.open(path, formats=["PNG"]) as image:
        image.save(written, "WEBP", quality=_QUALITY, method=2)
    return written.getvalue()


def _facts(output: Path, about: PageFacts) -> list[tuple[str, str]]:
    recipe, device = about.recipe, about.device
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    limit = "" if about.minutes is None else f", or {about.minutes:g} minutes"
    return [
        ("weights", str(output)),
        ("purpose", recipe.note),
        ("length", f"{recipe.steps} steps{limit}"),
        ("device", f"{device}, {name}, {computes_in(recipe, device)}"),
        ("machine", f"{platform.node()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        ("software", f"Python {platform.python_version()}, torch {torch.__version__}"),
        *(
            (key.replace("_", " "), value)
            for key, value in about.head.items()
            if key not in ("settings", "recipe")
        ),
    ]


def _escaped_recipe(recipe: Recipe) -> str:
    return document.escaped(json.dumps(facts(recipe), indent=1, default=str))


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
