"""Pictures of the page of a sweep, as SVG. They need no script."""

import math
from collections.abc import Sequence
from html import escape

from gan_jax.trainer.report.values import number

WIDTH, HEIGHT, LEFT, BOTTOM = 460, 300, 70, 40


def scatter(points: Sequence[tuple[float, float, bool, str]], x_title: str, y_title: str) -> str:
    """A picture of points, as SVG. An axis is logarithmic if its values are positive and span more than a decade.

    Args:
        points: Each is x, y, whether it is a cross instead of a dot, and its tooltip.
        x_title: Title of the horizontal axis.
        y_title: Title of the vertical axis.
    """
    x, y = _Scale([point[0] for point in points], LEFT, WIDTH - 15), _Scale([point[1] for point in points], HEIGHT - BOTTOM, 15)
    marks = ""
    for a, b, crossed, title in points:
        u, v = x(a), y(b)
        shape = f"M{u - 4:.1f} {v - 4:.1f}l8 8m0 -8l-8 8" if crossed else f"M{u - 3:.1f} {v:.1f}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0"
        style = 'fill="none" stroke="var(--c1)" stroke-width="2"' if crossed else 'fill="var(--c0)" fill-opacity="0.6"'
        marks += f'<path d="{shape}" {style}><title>{escape(title)}: {number(a)}, {number(b)}</title></path>'
    return _frame(x, y, x_title, y_title, marks, f"{y_title} against {x_title}, {len(points)} runs")


def curves(series: Sequence[tuple[str, Sequence[float]]], x_title: str, y_title: str) -> str:
    """A picture of curves over 1, 2, 3 ..., as SVG. Each is a name and its values. The first is drawn thicker."""
    x = _Scale([1, max(len(values) for _, values in series)], LEFT, WIDTH - 15)
    y = _Scale([value for _, values in series for value in values], HEIGHT - BOTTOM, 15)
    marks = ""
    for index, (name, values) in enumerate(series):
        path = "M" + "L".join(f"{x(k):.1f} {y(value):.1f}" for k, value in enumerate(values, 1))
        style = f'fill="none" stroke="var(--c{index})" stroke-width="{1.5 if index else 3}"'
        marks += f'<path d="{path}" {style}><title>{escape(name)}</title></path>'
        place = 30 + 14 * index
        marks += (
            f'<line x1="{WIDTH - 230}" x2="{WIDTH - 212}" y1="{place - 4}" y2="{place - 4}" stroke="var(--c{index})" stroke-width="2"/>'
        )
        marks += f'<text x="{WIDTH - 206}" y="{place}">{escape(name)}</text>'
    return _frame(x, y, x_title, y_title, marks, f"{y_title} against {x_title}")


def _frame(x: "_Scale", y: "_Scale", x_title: str, y_title: str, marks: str, label: str) -> str:
    """The axes round the marks."""
    lines = ""
    for value in x.marks():
        lines += (
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="15" y2="{HEIGHT - BOTTOM}" stroke="currentColor" stroke-opacity="0.15"/>'
        )
        lines += f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{number(value)}</text>'
    for value in y.marks():
        lines += (
            f'<line x1="{LEFT}" x2="{WIDTH - 15}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="currentColor" stroke-opacity="0.15"/>'
        )
        lines += f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{number(value)}</text>'
    lines += f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
    lines += f'<text x="12" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 12 {HEIGHT / 2})">{escape(y_title)}</text>'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="11" fill="currentColor"'
    return f'<svg role="img" aria-label="{escape(label)}" {size}>{lines}{marks}</svg>'


class _Scale:
    """Maps values to pixels."""

    def __init__(self, values: Sequence[float], first: float, last: float):
        low, high = min(values), max(values)
        self.log = low > 0 and high > 10 * low
        self.low, self.high = (math.log10(low), math.log10(high)) if self.log else (low, high)
        margin = 0.05 * (self.high - self.low) or abs(self.high) or 1.0
        self.low, self.high, self.first, self.last = self.low - margin, self.high + margin, first, last

    def __call__(self, value: float) -> float:
        position = math.log10(value) if self.log else value
        return self.first + (self.last - self.first) * (position - self.low) / (self.high - self.low)

    def marks(self) -> list[float]:
        """Round values to write at the axis."""
        if self.log:
            powers = range(math.ceil(self.low), math.floor(self.high) + 1)
            return [10.0**power for power in powers] or [10 ** ((self.low + self.high) / 2)]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(factor for factor in (1, 2, 5) if (self.high - self.low) / (factor * step) <= 8)
        return [step * count for count in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
