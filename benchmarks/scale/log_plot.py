"""Draws lines over logarithmic axes as an SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLORS = ("#0b5fa5", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#be185d")
DASHES = ("", "8 4", "2 3")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 600, 70, 20, 20, 190


@dataclass(frozen=True, slots=True)
class Line:
    """Points with a name."""

    name: str
    points: Sequence[tuple[float, float]]


def draw(lines: Sequence[Line], horizontal: str, vertical: str) -> str:
    """Return a picture of lines, and of the line on which both values are equal."""
    most = max(max(point) for line in lines for point in line.points)
    decades = math.ceil(math.log10(most))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="14">',
        f"<title>{escape(vertical)} by {escape(horizontal)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_grid(decades),
        _path(Line("", [(1, 1), (10**decades, 10**decades)]), decades, "#999999", "1 4", 1),
    ]
    parts.append(f'<text x="{WIDTH - RIGHT - 150}" y="{TOP + 16}" fill="#777777">grey: ideal</text>')
    for number, line in enumerate(lines):
        color, dash = COLORS[number // len(DASHES) % len(COLORS)], DASHES[number % len(DASHES)]
        parts.append(_path(line, decades, color, dash, 2.5))
        y = HEIGHT - BOTTOM + 68 + 20 * number
        parts.append(
            f'<path d="M{LEFT} {y - 5}h46" stroke="{color}" stroke-width="2.5" stroke-dasharray="{dash}"/>'
            f'<text x="{LEFT + 56}" y="{y}">{escape(line.name)}</text>'
        )
    across, up, below = (LEFT + WIDTH) / 2, (TOP + HEIGHT - BOTTOM) / 2, HEIGHT - BOTTOM + 42
    parts += [
        f'<text x="{across}" y="{below}" text-anchor="middle">{escape(horizontal)}</text>',
        f'<text transform="translate(18 {up}) rotate(-90)" text-anchor="middle">{escape(vertical)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(decades: int) -> list[str]:
    parts = []
    for power in range(decades + 1):
        x, y = _at(10**power, 10**power, decades)
        parts += [
            f'<path d="M{x} {TOP}V{HEIGHT - BOTTOM}M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#dddddd"/>',
            f'<text x="{x}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{10**power:,}</text>',
            f'<text x="{LEFT - 8}" y="{y + 5}" text-anchor="end">{10**power:,}</text>',
        ]
    return parts


def _path(line: Line, decades: int, color: str, dash: str, width: float) -> str:
    corners = " ".join(f"{x},{y}" for x, y in (_at(*point, decades) for point in line.points))
    return (
        f'<polyline points="{corners}" fill="none" stroke="{color}" stroke-width="{width}" '
        f'stroke-dasharray="{dash}"/>'
    )


def _at(x: float, y: float, decades: int) -> tuple[float, float]:
    across, up = math.log10(max(1.0, x)) / decades, math.log10(max(1.0, y)) / decades
    return (
        round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
        round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
    )
