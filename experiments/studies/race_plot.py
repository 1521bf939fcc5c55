"""The picture of a race: one line per entry, one dot per seed, and the mean with its interval, on a logarithmic axis."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.studies.ablations.statistics import t_interval
from experiments.studies.race import Race
from gan_jax.trainer.image_grid import save_png

LABELS, WIDTH, ROW, TOP, MARGIN = 430, 460, 26, 40, 30
DOT, MEAN, GRID = (150, 170, 200), (20, 60, 130), (225, 225, 225)


def ticks(low: float, high: float) -> list[float]:
    """Round values of a logarithmic axis: 1, 2 and 5 times powers of ten within a range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]


def draw(race: Race, rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws the finished runs of a race into a PNG file.

    The interval is Student's 95% interval of the mean logarithm, from three seeds on. Runs without an outcome are counted in the label.

    Args:
        race: The race. Its first column is drawn.
        rows: Rows of its file.
        path: Path of the PNG file.
    """
    decides = next(iter(race.columns))
    runs = [[row for row in rows if row["kind"] == "run" and (row["name"], row["flags"]) == tuple(entry)] for entry in race.entries]
    found = [[math.log(row[decides]) for row in own if decides in row] for own in runs]
    every = [value for values in found for value in values]
    low, high = min(every) - 0.1, max(every) + 0.1
    height = TOP + ROW * len(race.entries) + 10
    picture = Image.new("RGB", (LABELS + WIDTH + MARGIN, height), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)

    def across(value: float) -> float:
        return LABELS + WIDTH * (value - low) / (high - low)

    for tick in ticks(math.exp(low), math.exp(high)):
        pen.line((across(math.log(tick)), TOP - 8, across(math.log(tick)), height - 8), fill=GRID)
        pen.text((across(math.log(tick)), TOP - 24), f"{tick:g}", fill="black", font=font, anchor="ma")
    pen.text((6, TOP - 24), f"{decides.replace('_', ' ')}, lower is better", fill="black", font=font)
    for number, (entry, own, values) in enumerate(zip(race.entries, runs, found, strict=True)):
        y = TOP + ROW * number + ROW // 2
        failed = len(own) - len(values)
        label = entry.name.split(":")[0] if len(entry.name) > 55 else entry.name
        pen.text((6, y - 8), f"{number}  {label}{f' ({failed} failed)' if failed else ''}", fill="black", font=font)
        for value in values:
            pen.ellipse((across(value) - 3, y - 3, across(value) + 3, y + 3), outline=DOT)
        if len(values) > 2:
            mean, left, right = t_interval(values)
            pen.line((across(max(left, low)), y, across(min(right, high)), y), fill=MEAN, width=2)
            pen.ellipse((across(mean) - 4, y - 4, across(mean) + 4, y + 4), fill=MEAN)
    save_png(path, np.asarray(picture))
