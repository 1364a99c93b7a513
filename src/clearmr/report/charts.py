"""Drawings of the report as inline SVG: histogram against N(0, 1), colour bars. Colours come from base.css."""

import math
from collections.abc import Sequence

from clearmr.report.ramps import ramp
from clearmr.report.words import number

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 300, 44, 40, 12
_LIMIT = 5.0  # sigma


def histogram_svg(edges: Sequence[float | int], counts: Sequence[float | int]) -> str:
    """Density of `counts` between `edges` (one more than counts) as bars, N(0, 1) as a line."""
    total = sum(counts) or 1.0
    bins = list(zip(edges[:-1], edges[1:], counts, strict=True))
    density = [(low, high, count / total / (high - low)) for low, high, count in bins if high > low]
    inside = [bar for bar in density if bar[0] < _LIMIT and bar[1] > -_LIMIT]
    tallest = 1.06 * max([bar[2] for bar in inside] + [0.42])
    bars = "".join(_bar(low, high, value, tallest) for low, high, value in inside if value > 0)
    curve = " ".join(f"{_x(i / 20):.1f},{_y(_normal(i / 20), tallest):.1f}" for i in range(-100, 101))
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="histogram-title">'
        '<title id="histogram-title">Histogram of the removed noise divided by the noise SD, '
        "with the standard normal density for comparison</title>"
        f'<g class="bars">{bars}</g><polyline class="normal" points="{curve}"/>{_axis(tallest)}</svg>'
    )


def colour_bar_svg(stops: tuple[str, ...], labels: Sequence[str | float], name: str, *, sigma: bool = False) -> str:
    """A horizontal colour bar with `labels` spread evenly under it; numbers of noise SDs where `sigma`."""
    colours = ramp(stops, 33)
    offsets = "".join(
        f'<stop offset="{i / 32:.4f}" stop-color="#{bytes(colour).hex()}"/>' for i, colour in enumerate(colours)
    )
    anchors = ["start"] + ["middle"] * (len(labels) - 2) + ["end"]
    texts = "".join(
        f'<text x="{200 * i / (len(labels) - 1):.1f}" y="26" text-anchor="{anchor}"'
        + (f' data-sigma="{label:g}">{label:+g}σ</text>' if sigma else f">{label}</text>")
        for i, (label, anchor) in enumerate(zip(labels, anchors, strict=True))
    )
    return (
        f'<svg class="bar" viewBox="0 0 200 30" aria-hidden="true"><linearGradient id="ramp-{name}">{offsets}'
        f'</linearGradient><rect width="200" height="9" rx="1.5" fill="url(#ramp-{name})"/>{texts}</svg>'
    )


def _normal(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _x(sigma: float | int) -> float:
    return _LEFT + (sigma + _LIMIT) / (2 * _LIMIT) * (_WIDTH - _LEFT - 8)


def _y(density: float | int, tallest: float) -> float:
    return _HEIGHT - _BOTTOM - density / tallest * (_HEIGHT - _BOTTOM - _TOP)


def _bar(low: float | int, high: float | int, value: float, tallest: float) -> str:
    left, right, top = _x(max(low, -_LIMIT)), _x(min(high, _LIMIT)), _y(value, tallest)
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{_y(0.0, tallest) - top:.1f}"/>'


def _axis(tallest: float) -> str:
    base = _y(0.0, tallest)
    ticks = "".join(
        f'<text x="{_x(s):.1f}" y="{base + 17:.1f}" text-anchor="middle">{s:+d}</text>'
        if s
        else f'<text x="{_x(0.0):.1f}" y="{base + 17:.1f}" text-anchor="middle">0</text>'
        for s in range(-4, 5, 2)
    )
    heights = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{_y(d, tallest):.1f}" y2="{_y(d, tallest):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{_y(d, tallest) + 4:.1f}" text-anchor="end">{number(d)}</text>'
        for d in _marks(tallest)
    )
    return (
        f'{heights}<line class="base" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{base:.1f}" y2="{base:.1f}"/>{ticks}'
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">removed noise / noise SD</text>'
    )


def _marks(tallest: float) -> list[float | int]:
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 1e9) if tallest / s <= 5)
    return [step * i for i in range(1, int(tallest / step) + 1)]
