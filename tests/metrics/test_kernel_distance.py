import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import FEATURE_SETS, reference, values


# torch-fidelity 0.4.0, 7 subsets of half the smaller set; tests/golden/metrics_reference.py.
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_equals_torch_fidelity(name):
    golden = values["features"][name]
    result = metrics.kernel_distance(*reference.feature_pairs()[name], subsets=7, subset_size=int(golden["kernel_subset_size"]))
    assert result.value == pytest.approx(golden["kernel"], rel=1e-5)
    assert result.deviation == pytest.approx(golden["kernel_deviation"], rel=1e-5)


# By hand, dim 1: k(1, 2) = 27 within the reals, k(0, -1) = 1 within the fakes; across k(1, 0) = k(2, 0) = 1, k(1, -1) = 0, k(2, -1) = -1.
def test_two_points_each_worked_by_hand():
    result = metrics.kernel_distance(np.array([[1.0], [2.0]]), np.array([[0.0], [-1.0]]), subset_size=None)
    assert result.value == pytest.approx(27 + 1 - 2 * (1 + 1 + 0 - 1) / 4)
    assert np.isnan(result.standard_error)


@pytest.fixture(scope="module")
def distance_of_the_distributions():
    """Of a normal distribution and one of 1.3 times its deviation, from many samples."""
    generator = np.random.default_rng(3)
    real, fake = generator.standard_normal((4000, 2)), generator.standard_normal((4000, 2)) * 1.3
    return metrics.kernel_distance(real, fake, subset_size=None).value


# The last with just two subsets a set: the fewest that an error is claimed for.
@pytest.mark.parametrize(("reals", "fakes", "size"), [(120, 100, 25), (80, 80, 40)])
def test_is_unbiased_and_its_standard_error_is_calibrated(reals, fakes, size, distance_of_the_distributions):
    generator = np.random.default_rng(0)
    results = []
    for _ in range(150):
        real, fake = generator.standard_normal((reals, 2)), generator.standard_normal((fakes, 2)) * 1.3
        results.append(metrics.kernel_distance(real, fake, subsets=20, subset_size=size))
    large = distance_of_the_distributions
    observed = np.array([result.value for result in results])
    assert observed.mean() == pytest.approx(large, abs=4 * observed.std() / np.sqrt(150) + 0.1 * large)
    claimed = np.mean([result.standard_error for result in results])
    assert 0.6 < claimed / observed.std() < 1.8


# 100 rows in subsets of 100 are always the same rows; where only one set is short (the reals beside 300 collapsed fakes), what the
# spread over subsets claims is far below the deviation.
@pytest.mark.parametrize(("reals", "fakes", "scale"), [(100, 100, 1.3), (125, 125, 1.3), (199, 199, 1.3), (100, 300, 0.3), (300, 100, 1.3)])
def test_no_standard_error_where_subsets_are_nearly_the_same_rows(reals, fakes, scale):
    generator = np.random.default_rng(1)
    real, fake = generator.standard_normal((reals, 2)), generator.standard_normal((fakes, 2)) * scale
    for size in (100, 1000):
        result = metrics.kernel_distance(real, fake, subsets=5, subset_size=size)
        assert np.isnan(result.standard_error)
        assert np.isfinite(result.value)


def test_subsets_larger_than_the_sets_are_cut():
    real, fake = reference.feature_pairs()["few"]
    whole = metrics.kernel_distance(real, fake, subset_size=None)
    assert metrics.kernel_distance(real, fake, subsets=2).value == pytest.approx(whole.value, rel=1e-12)


def test_numbers_out_of_range_are_refused():
    features = np.ones((5, 2))
    with pytest.raises(ValueError, match="subset_size at least 2; got 100 and 1"):
        metrics.kernel_distance(features, features, subset_size=1)
    with pytest.raises(ValueError, match="finite"):
        metrics.kernel_distance(features, features * np.nan)
