"""The page of a preview: that of a comparison, with one frame of each model instead of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from vsr.media.files.opening import shown
from vsr.media.remote.reader import open_bytes
from vsr.pipeline.job.digests import sha256_of
from vsr.pipeline.one_frame import OneFrame
from vsr.report.compare import html
from vsr.report.compare.pictures import Pictures
from vsr.report.compare.screen import pixel_of

MAX_BYTES = 22_000_000
"""Limit of the images in a page; in base64 they take a third more."""


def page(
    images: Sequence[Tensor],
    labels: Sequence[str],
    source: Path,
    made: Sequence[OneFrame],
    *,
    region: tuple[int, int, int, int],
    title: str,
    notes: Sequence[str],
) -> tuple[bytes, list[str]]:
    """Return a page with the whole frames, on which the region is marked, and all notes.

    Args:
        images: One for each panel, `(3, H, W)` uint8 of one size.
        labels: One for each panel.
        source: The input.
        made: What the panels were computed with.
        region: Left, top, width and height in pixels of the panels.
        title: Headline of the page.
        notes: Sentences about the panels.
    """
    pictures = Pictures(limit=MAX_BYTES, expected=1)
    pictures.add(images)
    pictures.flush()
    height, width = images[0].shape[-2:]
    pixel = float(pixel_of(made[0].info))
    facts = html.facts_of(
        [html.Panel(name=label) for label in labels],
        [_input(source, made[0]), *_weights(made)],
        html.View(height=height, width=width, pixel=pixel, region=region, marked=True),
        times=[0.0],
        scores=[],
        figures={},
        pictures=pictures,
        notes=notes,
    )
    return html.page(facts, pictures, title=title), list(facts["notes"])


def _input(source: Path, first: OneFrame) -> html.FileFacts:
    with open_bytes(source) as file:
        size = file.seek(0, os.SEEK_END)
    info = first.report.info
    what = f"{info.codec}, {info.width}x{info.height}, {info.pixel_format}"
    return html.FileFacts(name=shown(source), what=what, size_bytes=size, sha256=sha256_of(source) or "")


def _weights(made: Sequence[OneFrame]) -> list[html.FileFacts]:
    """Return the weight files of all panels, each once."""
    found: dict[str, html.FileFacts] = {}
    for model in (one.report.model for one in made):
        for kind in ("", "partner_"):
            path, digest = model[f"{kind}path"], model[f"{kind}sha256"]
            if path is not None:
                size = Path(path).stat().st_size
                name = Path(path).name
                found[digest] = html.FileFacts(
                    name=shown(name), what=f"weights, {model['family']}", size_bytes=size, sha256=digest
                )
    return list(found.values())
