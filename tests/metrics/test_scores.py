import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import reference, values


def softmax(logits):
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


# torch-fidelity 0.4.0 on the logits, 10 splits of 503 samples, unshuffled; tests/golden/metrics_reference.py.
def test_equals_torch_fidelity():
    result = metrics.inception_score(softmax(reference.logits().astype(np.float64)))
    assert result == pytest.approx(tuple(values["inception_score"]), rel=1e-5)


def test_certain_and_even_classes_score_their_number():
    one_hot = np.tile(np.eye(5), (20, 1))
    assert metrics.inception_score(one_hot, splits=4) == pytest.approx((5, 0))
    assert metrics.inception_score(np.full((100, 5), 0.2)) == pytest.approx((1, 0))
    assert metrics.inception_score(one_hot[::5], splits=2) == pytest.approx((1, 0))  # one class only


# By hand: rows (1, 0) and (1/2, 1/2), p(y) = (3/4, 1/4): KL = ln 4/3 and ln(2/3) / 2 + ln(2) / 2.
def test_two_rows_worked_by_hand():
    expected = np.exp((np.log(4 / 3) + np.log(2 / 3) / 2 + np.log(2) / 2) / 2)
    assert metrics.inception_score([[1, 0], [0.5, 0.5]], splits=1).value == pytest.approx(expected, rel=1e-12)


def test_rows_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="rows that sum to 1"):
        metrics.inception_score(reference.logits())
    with pytest.raises(ValueError, match="at least 10 rows; got 4"):
        metrics.inception_score(np.full((4, 2), 0.5))
    with pytest.raises(ValueError, match="splits"):
        metrics.inception_score(np.full((4, 2), 0.5), splits=0)
