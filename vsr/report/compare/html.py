"""One HTML file with everything in it: images, figures, styles and scripts; it opens without a network.

The page itself is in the folder `page`: `page.html` with marks, which are replaced here, `page.css`, and the
scripts in the order of `SCRIPTS`. Names of files are data, which the scripts insert as text.
"""

from __future__ import annotations

import base64
import html
import json
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import av
import torch

import vsr
from vsr.media.files.opening import shown
from vsr.report.compare.coding import decibel
from vsr.report.compare.inputs import Input
from vsr.report.compare.pictures import Pictures
from vsr.report.compare.scores import Score, total

SCRIPTS = ("images.js", "stage.js", "loupe.js", "figures.js", "main.js")


def page(facts: dict[str, Any], pictures: Pictures, *, title: str) -> bytes:
    """Return the page.

    Args:
        facts: What `facts_of` returns.
        pictures: The images.
        title: Shown on the tab and as the headline; any text.
    """
    parts = {
        "title": html.escape(title),
        "style": _asset("page.css"),
        "facts": in_script(json.dumps(facts, allow_nan=False)),
        "images": "".join(_images(pictures)),
        "script": "\n".join(_asset(name) for name in SCRIPTS),
    }
    # In one pass, so that a mark in a name is text.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _asset("page.html")).encode()


def in_script(text: str) -> str:
    r"""Return JSON that no HTML parser takes for markup: `<` is written as \u003c."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (resources.files("vsr.report.compare") / "page" / name).read_text(encoding="utf-8")


def _images(pictures: Pictures) -> Iterator[str]:
    """Yield each file once, in base64, in an element whose id is in `facts["chunks"]`."""
    for name, data in files_of(pictures).items():
        yield f'<script type="text/plain" id="{name}">{base64.b64encode(data).decode()}</script>\n'


def files_of(pictures: Pictures) -> dict[str, bytes]:
    """Return the image files by the ids of their elements."""
    found: dict[str, bytes] = {}
    for number, chunk in enumerate(pictures.chunks):
        for panel, coded in enumerate(chunk.panels):
            if chunk.panels.index(coded) == panel:
                found |= {f"image-{number}-{panel}-{i}": data for i, data in enumerate(coded.files)}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the views that lie beside each other."""

    name: str
    reference: bool = False
    """Whether it is the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A file that a page was made of."""

    name: str
    what: str
    """Codec and size of a video, family of a network."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What all panels of a page have in common."""

    height: int
    width: int
    pixel: float = 1.0
    """Width of a pixel divided by its height."""
    region: tuple[int, int, int, int] | None = None
    """Left, top, width and height of the part to look at, where the panels differ most."""
    marked: bool = False
    """Whether a frame is drawn around the region from the start."""


def facts_of(
    panels: Sequence[Panel],
    files: Sequence[FileFacts],
    view: View,
    *,
    times: Sequence[float],
    scores: Sequence[Score],
    figures: dict[str, list[list[float | None]]],
    pictures: Pictures,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return everything but the images, as plain values for the page and for `Comparison`.

    Args:
        panels: From left to right.
        files: That the page was made of.
        view: What the panels have in common.
        times: Seconds of each moment.
        scores: The figures, in the order of the plots.
        figures: For each score and panel, the figure at each moment.
        pictures: The images.
        notes: Sentences about the comparison.
    """
    return {
        "panels": [asdict(panel) for panel in panels],
        "files": [
            {"name": one.name, "what": one.what, "bytes": one.size_bytes, "sha256": one.sha256}
            for one in files
        ],
        **asdict(view),
        "times": list(times),
        "chunks": [_chunk(pictures, number) for number in range(len(pictures.chunks))],
        "scores": [
            {
                "name": score.name,
                "unit": score.unit,
                "better": score.better,
                "meaning": score.meaning,
                "values": [[_rounded(v) for v in series] for series in figures[score.name]],
                "totals": [_rounded(total(series)) for series in figures[score.name]],
            }
            for score in scores
        ],
        "notes": [*notes, *_on_images(pictures)],
        "made": _made(),
    }


def facts_of_input(one: Input) -> FileFacts:
    """Return what a page says about a video or an image."""
    height, width = one.size
    what = f"{one.info.codec}, {width}x{height}, {one.info.pixel_format}"
    return FileFacts(name=shown(one.path), what=what, size_bytes=one.size_bytes, sha256=one.sha256)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _chunk(pictures: Pictures, number: int) -> dict[str, Any]:
    chunk = pictures.chunks[number]
    firsts = [chunk.panels.index(coded) for coded in chunk.panels]
    return {
        "moments": list(chunk.moments),
        "kind": chunk.panels[0].kind,
        "files": [
            [f"image-{number}-{first}-{i}" for i in range(len(chunk.panels[first].files))] for first in firsts
        ],
    }


def _on_images(pictures: Pictures) -> Iterator[str]:
    error = pictures.square_error
    if error == 0:
        yield "The images in this page are lossless."
    else:
        yield (
            "The images in this page are compressed: their PSNR (R'G'B') to the frames is at least "
            f"{decibel(error):.1f} dB. All figures are those of the frames themselves."
        )
    if pictures.alike:
        yield (
            f"In {pictures.alike} of {pictures.shown} frames two panels differ by less than that: their "
            "difference shows the compression as well. A shorter duration gives better images."
        )
    if pictures.shown < pictures.moments:
        all_of_them = pictures.bytes * 4 / 3e6 * pictures.moments / pictures.shown  # in base64
        yield (
            f"{pictures.shown} of {pictures.moments} frames have images, the first one of each shot where "
            "possible; the figures are those of all frames. For images of all, choose a shorter duration or "
            f"a limit of about {all_of_them:.0f} MB."
        )


def _made() -> dict[str, str]:
    return {
        "command": shlex.join(["vsr", *sys.argv[1:]]) if sys.argv[0].endswith(("vsr", "__main__.py")) else "",
        "vsr": vsr.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "PyAV": av.__version__,
        "FFmpeg": str(getattr(av, "ffmpeg_version_info", "")),
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
