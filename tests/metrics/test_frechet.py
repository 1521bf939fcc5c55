import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import FEATURE_SETS, reference, values


# SciPy 1.17.1 (sqrtm, svdvals) and torch-fidelity 0.4.0; tests/golden/metrics_reference.py. The pair "few" has fewer samples than
# dims, "digits" dims that never vary; there sqrtm itself is off by 3e-8.
@pytest.mark.parametrize("source", ["scipy_sqrtm", "scipy_svd", "torch_fidelity"])
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_equals_independent_implementations(name, source):
    real, fake = reference.feature_pairs()[name]
    assert metrics.frechet_distance(real, fake) == pytest.approx(values["features"][name][f"frechet_{source}"], rel=1e-6)


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_a_set_is_at_distance_zero_from_itself_and_order_does_not_matter(name):
    real, fake = reference.feature_pairs()[name]
    scale = np.trace(np.cov(real, rowvar=False))
    assert metrics.frechet_distance(real, real[::-1]) == pytest.approx(0, abs=1e-9 * scale)
    assert metrics.frechet_distance(real, fake) == pytest.approx(metrics.frechet_distance(fake, real), rel=1e-9)


def gaussian(mean, covariance):
    return metrics.Moments(np.asarray(5), np.asarray(mean, float), np.asarray(covariance, float) * 4)


# By hand: diagonal covariances give |m1 - m2|^2 + sum (s1 - s2)^2 = 25 + (2 - 1)^2 + (3 - 5)^2.
def test_gaussians_of_known_moments_give_the_closed_form():
    first, second = gaussian([0, 0], np.diag([4, 9])), gaussian([3, 4], np.diag([1, 25]))
    assert metrics.frechet_distance_from_moments(first, second) == pytest.approx(30, rel=1e-12)


# By hand: covariances that do not commute, of rank one: |root|^2 terms 1 + 1 - 2 |cos 60 degrees|.
def test_singular_covariances_give_the_closed_form():
    u, v = np.array([1, 0]), np.array([0.5, np.sqrt(0.75)])
    distance = metrics.frechet_distance_from_moments(gaussian([0, 0], np.outer(u, u)), gaussian([0, 0], np.outer(v, v)))
    assert distance == pytest.approx(1, rel=1e-7)


def test_constant_features_keep_the_distance_of_the_means():
    assert metrics.frechet_distance(np.zeros((5, 3)), np.full((4, 3), 2.0)) == pytest.approx(12)


def test_a_far_mean_loses_no_digits():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((200, 5))
    far = metrics.frechet_distance(features + 1e6, 2 * features + 1e6)
    assert far == pytest.approx(metrics.frechet_distance(features, 2 * features), rel=1e-6)


def test_moments_stream_and_merge_to_those_of_all_rows():
    features = np.random.default_rng(1).standard_normal((101, 7)) * 3 + 5
    state = metrics.init_moments(7)
    for part in np.array_split(features, 6):
        state = metrics.update_moments(state, part)
    merged = metrics.merge_moments(metrics.feature_moments(features[:40]), metrics.feature_moments(features[40:]))
    for moments in (state, merged, metrics.feature_moments([features[:99], features[99:]])):
        assert moments.count == 101
        np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-12, atol=1e-13)


def test_merging_with_nothing_changes_nothing():
    moments = metrics.feature_moments(np.random.default_rng(2).standard_normal((9, 3)))
    for merged in (metrics.merge_moments(moments, metrics.init_moments(3)), metrics.merge_moments(metrics.init_moments(3), moments)):
        assert merged.count == 9
        np.testing.assert_allclose(merged.scatter, moments.scatter)
        np.testing.assert_allclose(merged.mean, moments.mean)


def test_half_precision_and_integers_are_taken():
    features = np.arange(12).reshape(6, 2) % 5
    expected = metrics.frechet_distance(features.astype(float), features[:4].astype(float))
    assert metrics.frechet_distance(features, features[:4].astype(np.float16)) == pytest.approx(expected, rel=1e-12)


def test_features_that_cannot_be_measured_are_refused():
    good = np.random.default_rng(3).standard_normal((6, 3))
    bad = good.copy()
    bad[2, 1], bad[4, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="fake_features must be finite; 2 of 6 rows"):
        metrics.frechet_distance(good, bad)
    with pytest.raises(ValueError, match="one width"):
        metrics.frechet_distance(good, good[:, :2])
    with pytest.raises(ValueError, match="at least 2 rows; got 1"):
        metrics.frechet_distance(good[:1], good)
    with pytest.raises(ValueError, match=r"\[samples, dim\]"):
        metrics.frechet_distance(good[None], good)
    with pytest.raises(TypeError, match="real numbers"):
        metrics.frechet_distance(good + 1j, good)
    with pytest.raises(ValueError, match="one width"):
        metrics.merge_moments(metrics.init_moments(2), metrics.init_moments(3))
    with pytest.raises(ValueError, match="not be empty"):
        metrics.feature_moments([])


def test_a_dropped_class_is_caught_within_the_class():
    generator = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], 200)
    centers = np.array([[0, 0], [4, 0], [0, 4.0]])
    real, same = (centers[labels] + generator.standard_normal((600, 2)) for _ in range(2))
    shifted = same.copy()
    shifted[labels == 1] = centers[0] + generator.standard_normal((200, 2))  # class 1 looks like class 0
    good = metrics.intra_class_frechet_distance(real, labels, same, labels)
    bad = metrics.intra_class_frechet_distance(real, labels, shifted, labels)
    assert good.value < 0.1
    assert bad.per_class[1] == pytest.approx(16, rel=0.2)
    assert bad.value == pytest.approx(np.mean([bad.per_class[i] for i in range(3)]))
    assert bad.per_class[2] == good.per_class[2]
    missing = metrics.intra_class_frechet_distance(real, labels, same[labels != 2], labels[labels != 2])
    assert np.isnan(missing.value)
    assert np.isnan(missing.per_class[2])
    assert missing.per_class[0] == good.per_class[0]


def test_one_class_only_is_the_plain_distance():
    real, fake = reference.feature_pairs()["gaussian"]
    result = metrics.intra_class_frechet_distance(real, np.full(len(real), 7), fake, np.full(len(fake), 7))
    assert result.per_class == {7: metrics.frechet_distance(real, fake)}
    assert result.value == metrics.frechet_distance(real, fake)


def test_labels_of_another_length_are_refused():
    features = np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"fake_labels must have shape \(4,\)"):
        metrics.intra_class_frechet_distance(features, np.zeros(4), features, np.zeros(3))
    with pytest.raises(ValueError, match="class 1 needs at least 2 real samples; got 1"):
        metrics.intra_class_frechet_distance(features, np.array([0, 0, 0, 1]), features, np.zeros(4))
