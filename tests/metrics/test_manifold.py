import numpy as np
import pytest

from gan_jax import metrics
from gan_jax.metrics import distances
from support.metrics_golden import FEATURE_SETS, reference, values


# prdc 0.2; tests/golden/metrics_reference.py. Not on the digits: their integer pixels put points exactly onto borders, which prdc
# leaves out.
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("name", ["gaussian", "activations", "few"])
def test_equals_prdc(name, k):
    golden = values["features"][name]
    real, fake = reference.feature_pairs()[name]
    result = metrics.manifold_metrics(real, fake, k=k)
    assert result == pytest.approx(tuple(golden[f"{part}_{k}"] for part in ("precision", "recall", "density", "coverage")), abs=1e-9)
    assert metrics.precision_recall(real, fake, k=k) == (result.precision, result.recall)
    assert metrics.density_coverage(real, fake, k=k) == (result.density, result.coverage)


# torch-fidelity 0.4.0, which counts the border as the paper does; the same script.
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_equals_torch_fidelity(name):
    golden = values["features"][name]
    result = metrics.precision_recall(*reference.feature_pairs()[name])
    assert result == pytest.approx((golden["torch_fidelity_precision"], golden["torch_fidelity_recall"]), abs=1e-6)


# By hand on a line, k = 1: the reals 0, 1, 5 have radii 1, 1, 4; the fakes 2, 10, 11 have 8, 1, 1.
def test_points_on_a_line_worked_by_hand():
    real, fake = np.array([[0.0], [1], [5]]), np.array([[2.0], [10], [11]])
    result = metrics.manifold_metrics(real, fake, k=1)
    assert result.precision == pytest.approx(1 / 3)  # 2 is in the balls of 1 (on the border) and of 5
    assert result.recall == pytest.approx(1)  # all in the ball of 2
    assert result.density == pytest.approx(2 / 3)
    assert result.coverage == pytest.approx(2 / 3)


def brute_force(real, fake, k):
    def squared(a, b):
        return np.square(a[:, None].astype(np.float64) - b[None].astype(np.float64)).sum(axis=2)

    radii = np.sort(squared(real, real), axis=1)[:, k]
    fake_radii = np.sort(squared(fake, fake), axis=1)[:, k]
    cross = squared(real, fake)
    inside = cross <= radii[:, None]
    return inside.any(axis=0).mean(), (cross <= fake_radii).any(axis=1).mean(), inside.sum() / (k * len(fake)), inside.any(axis=1).mean()


# 1,100 rows need two blocks, the second overlapping the first; far from the origin float32 products alone would fail.
@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_shifts_change_no_decision(shift, dtype):
    generator = np.random.default_rng(0)
    real = (generator.standard_normal((1100, 6)) + shift).astype(dtype)
    fake = (generator.standard_normal((1030, 6)) * 1.5 + shift).astype(dtype)
    assert metrics.manifold_metrics(real, fake, k=4) == pytest.approx(brute_force(real, fake, 4), abs=1e-12)


def test_duplicates_have_radius_zero_and_still_hold_their_copies():
    real = np.repeat([[0.0, 0], [1, 1]], 5, axis=0)
    fake = np.repeat([[0.0, 0], [3, 3]], 5, axis=0)
    result = metrics.manifold_metrics(real, fake, k=3)
    assert result[:2] == (0.5, 0.5)
    assert result == pytest.approx(brute_force(real, fake, 3))
    collapsed = metrics.manifold_metrics(np.zeros((40, 3)), np.zeros((30, 3)), k=3)
    assert collapsed == pytest.approx((1, 1, 40 / 3, 1))


def test_a_set_against_itself_is_perfect_and_far_sets_share_nothing():
    real = np.random.default_rng(1).standard_normal((50, 8))
    assert metrics.manifold_metrics(real, real)[:2] == (1, 1)
    assert metrics.manifold_metrics(real, real).coverage == 1
    assert metrics.manifold_metrics(real, real + 100) == (0, 0, 0, 0)


def test_a_dropped_class_is_caught_by_recall_and_coverage():
    generator = np.random.default_rng(2)
    centers = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    real = np.repeat(centers, 50, axis=0) + generator.standard_normal((200, 2))
    fake = np.repeat(centers[:3], 67, axis=0)[:200] + generator.standard_normal((200, 2))
    result = metrics.manifold_metrics(real, fake)
    assert result.precision > 0.9
    assert result.recall < 0.78
    assert result.coverage < 0.76


def test_features_of_extreme_scale_are_measured():
    real, fake = reference.feature_pairs()["gaussian"]
    plain = metrics.manifold_metrics(real, fake)
    for scale in (1e-30, 1e30):
        assert metrics.manifold_metrics(real * scale, fake * scale) == plain


@pytest.mark.parametrize("dim", [16, 2048])
def test_the_float32_error_stays_within_its_tolerance(dim):
    generator = np.random.default_rng(3)
    a = np.maximum(generator.standard_normal((300, dim)), 0).astype(np.float32)
    _, (points,) = distances.prepare(a)
    squared = np.asarray(distances._squared(points.scaled, points.norms, points.scaled, points.norms), np.float64)
    x = np.asarray(points.exact, np.float64)
    scale, _ = distances.prepare(a)
    rows, columns = np.divmod(np.arange(300 * 300), 300)
    exact = distances.exact_squared(x, x, rows, columns).reshape(300, 300) * scale**2
    norms = np.asarray(points.norms, np.float64)
    assert (np.abs(squared - exact) / (norms[:, None] + norms)).max() < distances._TOLERANCE / 2


# scikit-learn 1.9.1, NearestNeighbors; the same script.
@pytest.mark.parametrize("name", ["gaussian", "activations", "few", "digits"])
def test_neighbors_equal_scikit_learn(name):
    real, fake = reference.feature_pairs()[name]
    golden = values["features"][name]
    result = metrics.nearest_neighbors(fake[:5], real, k=2)
    np.testing.assert_array_equal(result.indices, golden["neighbor_indices"])
    np.testing.assert_allclose(result.distances, golden["neighbor_distances"], rtol=1e-6)


def test_memorised_images_are_their_own_neighbors_in_pixel_space():
    train, fresh = reference.image_pairs(30, 16)
    copied = metrics.nearest_neighbors(train[[7, 3]], train)
    np.testing.assert_array_equal(copied.indices[:, 0], [7, 3])
    np.testing.assert_array_equal(copied.distances, 0)
    assert metrics.nearest_neighbors(fresh, train).distances.min() > 0


def test_what_has_no_neighbors_is_refused():
    features = np.zeros((4, 2))
    with pytest.raises(ValueError, match="at least 4 rows; got 3"):
        metrics.precision_recall(features[:3], features, k=3)
    with pytest.raises(ValueError, match="k must be at least 1"):
        metrics.density_coverage(features, features, k=0)
    with pytest.raises(ValueError, match="finite"):
        metrics.precision_recall(features, features + np.inf)
    with pytest.raises(ValueError, match="rows of the same shape"):
        metrics.nearest_neighbors(features, np.zeros((4, 3)))
    with pytest.raises(ValueError, match="number of references"):
        metrics.nearest_neighbors(features, features, k=5)
