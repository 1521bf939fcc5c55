"""Energy distance: against SciPy in one dimension, and by its properties."""

import numpy as np
import pytest
from scipy import stats

from gan_jax.metrics import energy_distance


def test_one_dimension_is_scipys():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, 300), rng.normal(0.3, 1.4, 200)
    # SciPy returns the root of the biased estimate, in which a sample has distance 0 to itself.
    biased = stats.energy_distance(real, fake) ** 2
    within = [np.abs(x[:, None] - x).mean() for x in (real, fake)]
    expected = biased - sum(mean / (len(x) - 1) for mean, x in zip(within, (real, fake)))
    assert energy_distance(real[:, None], fake[:, None]) == pytest.approx(expected, abs=1e-9)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(70, 2)), rng.normal(size=(50, 2))
    whole = energy_distance(real, fake)
    monkeypatch.setattr("gan_jax.metrics.energy._ROWS", 16)
    assert energy_distance(real, fake) == pytest.approx(whole, rel=1e-12)


def test_it_notices_a_lost_mode_and_a_fog():
    rng = np.random.default_rng(2)
    centers = 2.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])

    def draw(count, modes, std):
        return centers[rng.integers(modes, size=count)] + std * rng.normal(size=(count, 2))

    real = draw(2000, 4, 0.05)
    same, lost, fog = (energy_distance(real, fake) for fake in (draw(2000, 4, 0.05), draw(2000, 3, 0.05), draw(2000, 4, 0.5)))
    assert abs(same) < 0.003
    assert lost > 0.02
    assert fog > 0.02


def test_invalid():
    with pytest.raises(ValueError, match="at least 2 rows"):
        energy_distance(np.zeros((1, 2)), np.zeros((3, 2)))
