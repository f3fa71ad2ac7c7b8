"""Charts as SVG inside a page: curves, and areas on top of each other."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

COLORS = 8
"""The style has this number of colours; a chart with more series repeats them."""
_WIDTH = 1000
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 10, 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The values of one curve or area."""

    name: str
    values: Sequence[float | None]
    """One for each position; None leaves a gap in a curve, and is 0 in an area."""
    color: int = 0
    """Number of the colour, from 0."""


def legend(series: Sequence[Series]) -> str:
    """Return the names of series with their colours."""
    spans = (f'<span class="c{one.color % COLORS}">{html.escape(one.name)}</span>' for one in series)
    return f'<div class="legend">{"".join(spans)}</div>'


def curves(
    series: Sequence[Series],
    at: Sequence[float],
    *,
    label: str,
    x_text: Callable[[float], str],
    height: int = 260,
    with_zero: bool = False,
) -> str:
    """Draw curves over positions `at`, which rise; a single position is drawn as a point.

    Args:
        series: The curves; each has as many values as there are positions.
        at: Positions.
        label: What the chart shows, for a screen reader.
        x_text: Returns the text for a position.
        height: In units of which the width has 1000.
        with_zero: Whether 0 is in the chart wherever the values lie.
    """
    known = [value for one in series for value in one.values if value is not None and math.isfinite(value)]
    low, high = _range([*known, 0.0] if with_zero else known)
    axes = _Axes(x=(at[0], at[-1]) if at else (0, 1), y=(low, high), height=height)
    parts = [*axes.lines(_ticks(low, high)), *axes.x_texts(x_text)]
    for one in series:
        parts += [
            f'<g class="c{one.color % COLORS}">',
            *_curve(one, at, axes),
            f"<title>{html.escape(one.name)}</title></g>",
        ]
    return _svg(parts, label, height)


def areas(
    series: Sequence[Series],
    *,
    label: str,
    width_of_one: float,
    x_text: Callable[[float], str],
    height: int = 130,
) -> str:
    """Draw shares on top of each other, each value as a step; 1 is the full height, and more is cut off.

    Args:
        series: The shares, from the bottom to the top, all of the same number.
        label: What the chart shows, for a screen reader.
        width_of_one: Length of a step in the unit of `x_text`.
        x_text: Returns the text for a position.
        height: In units of which the width has 1000.
    """
    steps = max((len(one.values) for one in series), default=0)
    axes = _Axes(x=(0, max(steps, 1) * width_of_one), y=(0, 1), height=height)
    parts = [*axes.lines([(0, "0 %"), (0.5, "50 %"), (1, "100 %")]), *axes.x_texts(x_text)]
    floor = [0.0] * steps
    for one in series:
        top = [min(1.0, below + (value or 0)) for below, value in zip(floor, one.values, strict=True)]
        outline = [*_steps(top, width_of_one, axes), *reversed(list(_steps(floor, width_of_one, axes)))]
        mean = sum(value or 0 for value in one.values) / max(steps, 1)
        title = html.escape(f"{one.name}: {mean:.0%} on average")
        path = " L ".join(f"{x:.1f} {y:.1f}" for x, y in outline)
        parts.append(f'<path class="area c{one.color % COLORS}" d="M {path} Z"><title>{title}</title></path>')
        floor = top
    return _svg(parts, label, height)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axes:
    x: tuple[float, float]
    y: tuple[float, float]
    height: int

    def place(self, x: float, y: float) -> tuple[float, float]:
        wide, high = self.x[1] - self.x[0], self.y[1] - self.y[0]
        right = (x - self.x[0]) / wide if wide else 0.5
        up = (y - self.y[0]) / high if high else 0.5
        bottom = self.height - _BOTTOM
        return _LEFT + right * (_WIDTH - _LEFT - _RIGHT), bottom - up * (bottom - _TOP)

    def lines(self, ticks: Sequence[tuple[float, str]]) -> Iterator[str]:
        for value, text in ticks:
            _, y = self.place(self.x[0], value)
            kind = "zero" if value == 0 else "grid"
            yield f'<line class="{kind}" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{html.escape(text)}</text>'

    def x_texts(self, text: Callable[[float], str]) -> Iterator[str]:
        parts = 4 if self.x[1] > self.x[0] else 0
        for number in range(parts + 1):
            value = self.x[0] + (self.x[1] - self.x[0]) * number / max(parts, 1)
            x, _ = self.place(value, self.y[0])
            anchor = "start" if number == 0 and parts else "end" if number == parts and parts else "middle"
            words = html.escape(text(value))
            yield f'<text x="{x:.1f}" y="{self.height - 8}" text-anchor="{anchor}">{words}</text>'


def _curve(one: Series, at: Sequence[float], axes: _Axes) -> Iterator[str]:
    """Yield a path for each unbroken part, or a point for a single value."""
    for part in _parts(one, at):
        points = [axes.place(x, y) for x, y in part]
        if len(points) == 1:
            yield f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
        else:
            yield f'<path class="curve" d="M {" L ".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _parts(one: Series, at: Sequence[float]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for x, y in zip(at, one.values, strict=True):
        if y is not None and math.isfinite(y):
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _steps(values: Sequence[float], width: float, axes: _Axes) -> Iterator[tuple[float, float]]:
    for number, value in enumerate(values):
        yield axes.place(number * width, value)
        yield axes.place((number + 1) * width, value)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, with a little room for a flat curve."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return three to seven round values between two, with their texts."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / step)
    values = [step * number for number in range(first, math.floor(high / step) + 1)]
    return [(value, f"{value:.{digits}f}") for value in values]


def _svg(parts: Sequence[str], label: str, height: int) -> str:
    body = "\n".join(parts)
    return (
        f'<svg class="chart" role="img" aria-label="{html.escape(label)}" viewBox="0 0 {_WIDTH} {height}">'
        f"\n{body}\n</svg>"
    )
