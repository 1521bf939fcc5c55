"""The picture of a race: the axis has round values, and the dots stand where they should."""

import numpy as np
import pytest

from experiments.studies import race, race_plot
from gan_jax.trainer.image_grid import load_png


def test_ticks_by_hand():
    assert race_plot.ticks(3.0, 120.0) == pytest.approx([5.0, 10.0, 20.0, 50.0, 100.0])


def test_a_lower_distance_stands_further_left(tmp_path):
    entries = [race.Entry("first", ""), race.Entry("second", "--x")]
    of = race.RACES["ladder"]._replace(entries=entries)
    rows = [
        {"kind": "run", "name": entry.name, "flags": entry.flags, "seed": seed, "fd": value + seed}
        for entry, value in zip(entries, (100.0, 20.0), strict=True)
        for seed in range(3)
    ]
    race_plot.draw(of, [*rows, {"kind": "run", "name": "first", "flags": "", "seed": 9, "error": "not finite"}], tmp_path / "ladder.png")
    pixels = load_png(tmp_path / "ladder.png")
    means = (pixels == race_plot.MEAN).all(axis=-1)
    middles = [
        np.nonzero(means[race_plot.TOP + race_plot.ROW * number : race_plot.TOP + race_plot.ROW * (number + 1)])[1].mean()
        for number in range(2)
    ]
    assert race_plot.LABELS < middles[1] < middles[0] - race_plot.WIDTH / 2
