"""Figures of papers for known test sets, to stand beside measured ones: `published.json` with the sources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The figures of one model for one test set, LR made with MATLAB's bicubic filter, not coded."""

    model: str
    data: str
    """A name in `data.KNOWN`."""
    scale: int
    psnr: float
    """Mean Y-PSNR in dB."""
    ssim: float
    """Mean SSIM of Y."""
    source: str
    """Where the figures stand: authors, title, table."""


def published(data: str, scale: int) -> tuple[Published, ...]:
    """Return what papers state for a test set, worst model first; nothing for sets without figures."""
    return tuple(row for row in _all() if (row.data, row.scale) == (data, scale))


@cache
def _all() -> tuple[Published, ...]:
    text = (resources.files("vsr.report.evaluate") / "published.json").read_text(encoding="utf-8")
    table = json.loads(text)
    return tuple(
        Published(model=model, data=data, scale=scale, psnr=psnr, ssim=ssim, source=table["sources"][source])
        for model, source, scale, sets in table["rows"]
        for data, (psnr, ssim) in sets.items()
    )
