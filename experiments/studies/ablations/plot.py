"""The forest plot of docs/evidence.md: every comparison as a dot with its interval, and one panel per source of data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.studies.ablations.results import Comparison
from gan_jax.trainer.image_grid import save_png

ROW, TOP, LABELS, PANEL, MARGIN = 17, 44, 520, 250, 44
COLOURS = {"helps": (0, 110, 60), "hurts": (190, 40, 30), "trades": (150, 110, 0), "unclear": (130, 130, 130), "no effect": (130, 130, 130)}
LIMIT = 1.0  # largest share of the gap; a larger one is drawn as an arrow at the edge


def shares(one: Comparison) -> tuple[float, float, float]:
    """Mean and bounds of the first outcome of a comparison, as shares of the gap between its control and real examples.

    Positive is better.
    """
    interval = one.changes[0].interval
    if interval is None:
        return one.closed, one.closed, one.closed
    scale = one.closed / interval.mean if interval.mean else 0.0
    return one.closed, *sorted((interval.low * scale, interval.high * scale))


def forest(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draws all comparisons into a PNG file.

    Args:
        comparisons: The comparisons in the order of the plot.
        path: Path of the PNG file.
    """
    sources = list(dict.fromkeys(one.data for one in comparisons))
    names = list(dict.fromkeys((one.trick.id, one.trick.name) for one in comparisons))
    rank = {name: index for index, name in enumerate(sorted(names, key=lambda name: _position(name, names)))}
    width, height = LABELS + len(sources) * (PANEL + MARGIN), TOP + ROW * len(names) + 8
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    for (id, name), index in rank.items():
        y = TOP + ROW * index
        if index % 2:
            draw.rectangle((0, y, width, y + ROW - 1), fill=(245, 245, 245))
        draw.text((6, y + 1), f"{id}  {name}", fill="black", font=font)
    for number, data in enumerate(sources):
        _panel(draw, font, [one for one in comparisons if one.data == data], LABELS + number * (PANEL + MARGIN), height, rank)
    save_png(path, np.asarray(picture))


def _position(name: tuple[str, str], names: list[tuple[str, str]]) -> tuple[int, int]:
    """Sorts the families by their first comparison, and the rows of a family by their number."""
    families = list(dict.fromkeys(id.rsplit("-", 1)[0] for id, _ in names))
    family, number = name[0].rsplit("-", 1)
    return families.index(family), int(number)


def _panel(draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont, comparisons, left: int, height: int, rank: dict) -> None:
    """Draws one source: a line at 0, the axis above it, and the intervals."""

    def across(share: float) -> float:
        return left + PANEL / 2 * (1 + min(max(share, -LIMIT), LIMIT) / LIMIT)

    draw.text((left + PANEL / 2, 4), comparisons[0].data, fill="black", font=font, anchor="ma")
    for tick in (-1, -0.5, 0, 0.5, 1):
        draw.line((across(tick), TOP - 6, across(tick), height - 8), fill=(90, 90, 90) if tick == 0 else (225, 225, 225))
        draw.text((across(tick), 22), f"{100 * tick:.0f}%", fill="black", font=font, anchor="ma")
    for one in comparisons:
        mean, low, high = shares(one)
        y, colour = TOP + ROW * rank[one.trick.id, one.trick.name] + ROW // 2 - 1, COLOURS[one.verdict]
        draw.line((across(low), y, across(high), y), fill=colour, width=2)
        x = across(mean)
        if abs(mean) > LIMIT:
            tip = 7 if mean > 0 else -7
            draw.polygon(((x, y), (x - tip, y - 5), (x - tip, y + 5)), fill=colour)
        else:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
