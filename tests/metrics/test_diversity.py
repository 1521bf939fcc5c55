import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import FEATURE_SETS, reference, values


# vendi-score 0.0.3; tests/golden/metrics_reference.py.
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_vendi_score_equals_its_authors(name):
    real, _ = reference.feature_pairs()[name]
    assert metrics.vendi_score(real) == pytest.approx(values["features"][name]["vendi"], rel=1e-5)


def test_vendi_score_counts_directions():
    assert metrics.vendi_score(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)
    assert metrics.vendi_score(np.ones((5, 8))) == pytest.approx(1)
    with pytest.raises(ValueError, match="no row of zeros"):
        metrics.vendi_score(np.zeros((2, 2)))


def test_a_memorising_generator_is_caught_and_a_fresh_one_is_not():
    generator = np.random.default_rng(1)
    train, fresh = generator.standard_normal((400, 6)), generator.standard_normal((400, 6))
    copies = train[generator.integers(0, 400, 300)] + 1e-3
    assert metrics.memorized_share(copies, train) == 1
    assert metrics.memorized_share(fresh, train) == pytest.approx(0.5, abs=0.1)
    assert metrics.memorized_share(fresh + 9, train) == 0


# A duplicate in the training set is no neighbour at distance 0: copies of it are copies, near ones too.
def test_copies_of_a_training_set_that_holds_duplicates_are_caught():
    generator = np.random.default_rng(2)
    once, fresh = generator.standard_normal((200, 6)).astype(np.float32), generator.standard_normal((200, 6)).astype(np.float32)
    twice = generator.permutation(np.concatenate([once, once]))
    assert metrics.memorized_share(once, twice) == 1
    assert metrics.memorized_share(once + np.float32(1e-3), twice) == 1
    assert metrics.memorized_share(fresh, twice) == metrics.memorized_share(fresh, once)
    zeros = np.array([[0.0, 1], [-0.0, 1], [3, 1]])  # 0 and -0 are one value
    assert metrics.memorized_share(zeros, zeros) == 1


# By hand: 0.4 is nearest to 0, whose own neighbour is at 1; 3 is nearest to 1, whose own is at 1 too.
def test_memorisation_worked_by_hand():
    assert metrics.memorized_share(np.array([[0.4], [3]]), np.array([[0.0], [1]])) == 0.5
    for rows in (1, 3):
        with pytest.raises(ValueError, match="train must have at least 2 different rows; got 1"):
            metrics.memorized_share(np.zeros((2, 1)), np.zeros((rows, 1)))
