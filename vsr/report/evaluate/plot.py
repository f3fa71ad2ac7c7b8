"""A plot of quality against speed on this machine, as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from vsr.report.evaluate import Evaluation

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 50
_STYLE = """text { font: 13px system-ui, sans-serif; fill: #222 } line { stroke: #bbb }
circle { fill: #1465c0 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } line { stroke: #555 } circle { fill: #69aef7 } }"""


def svg(rows: Sequence[Evaluation]) -> str:
    """Return a point for each model, for the first kind of input: Y-PSNR over the logarithm of the speed."""
    shown = [row for row in rows if row.coding == rows[0].coding]
    speeds = [math.log10(row.megapixels_per_second) for row in shown]
    low, high = _range([row.psnr for row in shown], margin=0.1)
    slow, fast = _range(speeds, margin=0.1)
    parts = [_axes(shown[0], (low, high), (slow, fast))]
    for row, speed in zip(shown, speeds, strict=True):
        x = _LEFT + (speed - slow) / (fast - slow) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (row.psnr - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        name = html.escape(row.model)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<text x="{x + 9:.1f}" y="{y + 4:.1f}">{name}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _range(values: Sequence[float], *, margin: float) -> tuple[float, float]:
    """Return the smallest and the largest value with a margin; never an empty range."""
    low, high = min(values), max(values)
    wide = max((high - low) * margin, 0.05)
    return low - wide, high + wide


def _axes(row: Evaluation, psnr: tuple[float, float], speed: tuple[float, float]) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    title = f"x{row.scale}, {row.images} images, input {row.coding}"
    return "\n".join(
        [
            f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>',
            f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{bottom}"/>',
            f'<text x="{_LEFT}" y="24">Y-PSNR in dB over megapixels a second; {html.escape(title)}</text>',
            f'<text x="{_LEFT - 8}" y="{_TOP + 5}" text-anchor="end">{psnr[1]:.2f}</text>',
            f'<text x="{_LEFT - 8}" y="{bottom}" text-anchor="end">{psnr[0]:.2f}</text>',
            f'<text x="{_LEFT}" y="{bottom + 22}">{10 ** speed[0]:.2g}</text>',
            f'<text x="{right}" y="{bottom + 22}" text-anchor="end">{10 ** speed[1]:.2g} Mpixel/s</text>',
        ]
    )
