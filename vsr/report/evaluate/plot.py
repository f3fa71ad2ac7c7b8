"""A plot of quality against speed on this machine, as SVG and as PNG."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.media.png import png_bytes
from vsr.report.evaluate import Evaluation
from vsr.report.letters import text_mask

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 50
_RADIUS = 5
_LINE_HEIGHT, _LETTER = 15, 8  # pixels between two labels, and the width of a wide letter
_STYLE = """text { font: 13px system-ui, sans-serif; fill: #222 } line { stroke: #bbb }
circle { fill: #1465c0 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } line { stroke: #555 } circle { fill: #69aef7 } }"""
_INK, _GREY, _BLUE = (34, 34, 34), (187, 187, 187), (20, 101, 192)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    x: float
    y: float
    """Middle of the line."""
    text: str
    end: bool = False
    """Whether it ends at x instead of beginning there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    points: Sequence[tuple[float, float]]
    texts: Sequence[_Text]


def svg(rows: Sequence[Evaluation]) -> bytes:
    """Return a point for each model, for the first test set and input: Y-PSNR over the speed, logarithmic."""
    plot = _laid_out(rows)
    parts = [f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}"/>' for a, b, c, d in _axes()]
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"/>' for x, y in plot.points]
    for one in plot.texts:
        anchor = ' text-anchor="end"' if one.end else ""
        parts.append(f'<text x="{one.x:.1f}" y="{one.y + 4:.1f}"{anchor}>{html.escape(one.text)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    ).encode()


def png(rows: Sequence[Evaluation]) -> bytes:
    """Return the same as an image, twice as large, on white."""
    plot, canvas = _laid_out(rows), torch.full((3, 2 * _HEIGHT, 2 * _WIDTH), 255, dtype=torch.uint8)
    for a, b, c, d in _axes():
        canvas[:, 2 * b : 2 * d + 2, 2 * a : 2 * c + 2] = torch.tensor(_GREY, dtype=torch.uint8)[
            :, None, None
        ]
    down, right = torch.meshgrid(torch.arange(2 * _HEIGHT), torch.arange(2 * _WIDTH), indexing="ij")
    for x, y in plot.points:
        distance = ((right - 2 * x) ** 2 + (down - 2 * y) ** 2).sqrt()
        _paint(canvas, (2 * _RADIUS + 0.5 - distance).clamp(0, 1), _BLUE)
    for one in plot.texts:
        _write(canvas, one)
    return png_bytes(canvas)


def _write(canvas: Tensor, one: _Text) -> None:
    left = 2 * round(one.x)
    mask = text_mask(one.text, width=left if one.end else canvas.shape[-1] - left)
    left -= mask.shape[1] if one.end else 0
    top = max(0, 2 * round(one.y) - mask.shape[0] // 2)
    inside = canvas[:, top : top + mask.shape[0], left : left + mask.shape[1]]
    _paint(inside, mask[: inside.shape[1]], _INK)


def _paint(canvas: Tensor, opacity: Tensor, color: tuple[int, int, int]) -> None:
    paint = torch.tensor(color, dtype=torch.float32)[:, None, None]
    canvas.copy_((canvas * (1 - opacity) + paint * opacity).round().to(torch.uint8))


def _laid_out(rows: Sequence[Evaluation]) -> _Plot:
    shown = [row for row in rows if (row.data, row.coding) == (rows[0].data, rows[0].coding)]
    speeds = [math.log10(row.megapixels_per_second) for row in shown]
    low, high = _range([row.psnr for row in shown], margin=0.1)
    slow, fast = _range(speeds, margin=0.1)
    points = [
        (
            _LEFT + (speed - slow) / (fast - slow) * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - (row.psnr - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM),
        )
        for row, speed in zip(shown, speeds, strict=True)
    ]
    names = [row.model for row in shown]
    return _Plot(
        points=points,
        texts=[*_scales(shown[0], (low, high), (slow, fast)), *_labels(points, names)],
    )


def _labels(points: Sequence[tuple[float, float]], names: Sequence[str]) -> Iterator[_Text]:
    """Yield a name beside each point, moved up or down where it would lie over another one."""
    taken: list[_Text] = []
    steps = sorted(range(-len(names), len(names) + 1), key=abs)
    for (x, y), name in sorted(zip(points, names, strict=True), key=lambda pair: pair[0][1]):
        places = (_Text(x=x + 2 * _RADIUS, y=y + step * _LINE_HEIGHT, text=name) for step in steps)
        free = next(place for place in places if not any(_overlap(place, other) for other in taken))
        taken.append(free)
        yield free


def _overlap(one: _Text, other: _Text) -> bool:
    """Return whether two labels, which begin at x, would lie over each other."""
    ends = [text.x + len(text.text) * _LETTER for text in (one, other)]
    return abs(one.y - other.y) < _LINE_HEIGHT and max(one.x, other.x) < min(ends)


def _range(values: Sequence[float], *, margin: float) -> tuple[float, float]:
    """Return the smallest and the largest value with a margin; never an empty range."""
    low, high = min(values), max(values)
    wide = max((high - low) * margin, 0.05)
    return low - wide, high + wide


def _axes() -> list[tuple[int, int, int, int]]:
    """Return the two lines, from left and top to right and bottom."""
    bottom = _HEIGHT - _BOTTOM
    return [(_LEFT, bottom, _WIDTH - _RIGHT, bottom), (_LEFT, _TOP, _LEFT, bottom)]


def _scales(row: Evaluation, psnr: tuple[float, float], speed: tuple[float, float]) -> list[_Text]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    title = f"{row.data} x{row.scale}, {row.images} images, input {row.coding}"
    return [
        _Text(x=_LEFT, y=20, text=f"Y-PSNR in dB over megapixels a second; {title}"),
        _Text(x=_LEFT - 8, y=_TOP + 1, text=f"{psnr[1]:.2f}", end=True),
        _Text(x=_LEFT - 8, y=bottom - 4, text=f"{psnr[0]:.2f}", end=True),
        _Text(x=_LEFT, y=bottom + 18, text=f"{10 ** speed[0]:.2g}"),
        _Text(x=right, y=bottom + 18, text=f"{10 ** speed[1]:.2g} Mpixel/s", end=True),
    ]
