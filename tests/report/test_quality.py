"""How near samples are to real images: judged by hand-made metrics."""

import pytest

from gan_jax.trainer.evaluate import BETTER
from gan_jax.trainer.report.quality import MEANINGS, assess, explanations, ratio


def record(name, value, real=None):
    return {"metric": name, "value": value, "real": real}


def test_noise_is_far_and_says_how_far():
    found = assess([record("classifier_fd", 95.8, 7.6), record("recall", 0.0, 0.85), record("coverage", 0.01, 0.6)])
    assert found.near is False
    assert found.sentence == (
        "Samples are 13 times as far from the training images as held-out real images (classifier_fd), recall 0 (real 0.85), "
        "coverage 0.01 (real 0.6)."
    )


@pytest.mark.parametrize(
    ("records", "near"),
    [
        ([record("fid", 6.0, 3.0)], True),
        ([record("fid", 6.1, 3.0)], False),
        ([record("fid", 3.0, 3.0), record("recall", 0.5, 0.8)], False),
        ([record("fid", 3.0, 3.0), record("recall", 0.61, 0.8)], True),
        ([record("modes", 7, 8), record("high_quality", 0.99, 0.99)], False),
        ([record("modes", 8, 8), record("high_quality", 0.99, 0.99)], True),
        ([record("inception_score", 9.0, 9.0)], None),
        ([record("kernel_distance", 60.0, -2.7)], None),
        ([record("fid", None, 3.0)], None),
        ([], None),
    ],
)
def test_thresholds(records, near):
    assert assess(records).near is near


def test_a_ratio_needs_two_positive_numbers():
    assert ratio(record("fid", 6.0, 3.0)) == 2.0
    for value, real in [(60.0, -2.7), (-1.0, 2.0), (1.0, 0.0), (None, 1.0), (float("nan"), 1.0), (1.0, None), (True, 1.0)]:
        assert ratio(record("fid", value, real)) is None


def test_every_metric_of_an_evaluation_is_explained_in_its_direction():
    words = {"min": "lower", "max": "higher"}
    assert {name: words[better] for name, better in BETTER.items() if name != "auto"} == {
        name: meaning.better for name, meaning in MEANINGS.items()
    }
    assert explanations([record("fid", 1.0), record("of my own", 1.0)]) == [
        ("fid", "Fréchet distance to the training images, in Inception features. Lower is better.")
    ]
