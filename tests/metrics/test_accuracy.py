import numpy as np
import pytest

from gan_jax import metrics


def stripes(count, seed, classes=3):
    """Images whose class is the direction of their stripes."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    y, x = np.mgrid[:16, :16]
    patterns = np.stack([np.sin(x), np.sin(y), np.sin((x + y) * 0.7)])[labels]
    images = 127.5 + 60 * patterns[..., None] + 25 * generator.standard_normal((count, 16, 16, 1))
    return np.clip(images, 0, 255).astype(np.uint8), labels


@pytest.mark.slow
def test_fakes_that_hold_the_classes_teach_them():
    fake, fake_labels = stripes(300, 0)
    real, real_labels = stripes(200, 1)
    for fit in (lambda x, y: metrics.fit_convolutional(x, y, steps=60), metrics.fit_linear):
        result = metrics.classification_accuracy_score(fake, fake_labels, real, real_labels, fit=fit)
        assert result.value > 0.95
        assert result.per_class.keys() == {0, 1, 2}
    swapped = np.array([1, 0, 2])[fake_labels]
    result = metrics.classification_accuracy_score(fake, swapped, real, real_labels, fit=metrics.fit_linear)
    assert result.per_class[0] < 0.1
    assert result.per_class[2] > 0.9


def test_one_class_gives_the_share_of_that_class():
    real, real_labels = stripes(100, 1)
    result = metrics.classification_accuracy_score(real[:10], np.full(10, 2), real, real_labels, fit=metrics.fit_linear)
    assert result.value == pytest.approx((real_labels == 2).mean())
    assert result.per_class == {0: 0, 1: 0, 2: 1}


def test_a_given_classifier_is_used():
    def fit(inputs, labels):
        return lambda x: np.full(len(x), labels[0] + len(inputs))

    result = metrics.classification_accuracy_score(np.zeros((2, 3)), np.array([1, 1]), np.zeros((4, 3)), np.array([3, 0, 3, 3]), fit=fit)
    assert result.value == 0.75


# By hand: at the optimum the gradient of mean cross-entropy plus decay / 2 |W|^2 is 0.
def test_the_linear_fit_is_converged():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((60, 2))
    labels = (x[:, 0] + 0.5 * generator.standard_normal(60) > 0).astype(int)
    predict = metrics.fit_linear(x, labels, decay=0.1, steps=100)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    # A reference by plain gradient descent in float64.
    kernel, bias = np.zeros((2, 2)), np.zeros(2)
    for _ in range(3000):
        logits = standard @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) - np.eye(2)[labels]
        kernel, bias = kernel - 0.5 * (standard.T @ p / 60 + 0.1 * kernel), bias - 0.5 * p.mean(axis=0)
    np.testing.assert_array_equal(predict(x), (standard @ kernel + bias).argmax(axis=1))


def test_labels_that_do_not_fit_are_refused():
    images, labels = stripes(4, 0)
    with pytest.raises(ValueError, match=r"fake_labels must have shape \(4,\)"):
        metrics.classification_accuracy_score(images, labels[:3], images, labels)
    with pytest.raises(ValueError, match=f"real_labels must be integers of at least 0; got {labels.min() - 5}$"):
        metrics.classification_accuracy_score(images, labels, images, labels - 5)
    with pytest.raises(ValueError, match="fake_labels must be integers of at least 0; got float64"):
        metrics.classification_accuracy_score(images, labels.astype(float), images, labels)
    with pytest.raises(ValueError, match="rows of the same shape"):
        metrics.classification_accuracy_score(images, labels, images[:, :8], labels)
