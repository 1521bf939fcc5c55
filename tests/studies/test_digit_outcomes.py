"""The outcomes on digits: generators whose rank is known get that rank, and the committed rows say so."""

import numpy as np
import pytest

from experiments.rows import read_rows
from experiments.studies import digit_outcomes
from gan_jax.data import load_source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found():
    source = load_source("mnist5k", image_size=32)
    train = np.asarray(source.images[:])
    repeated = train[np.resize(np.arange(0, 4000, 80), 1000)]
    samples = {"held out": np.asarray(source.held_out.images[:]), "copies": train[::4], "repeated": repeated}
    return {name: digit_outcomes.outcomes(images) for name, images in samples.items()}


def test_a_copier_loses_by_its_copies_although_its_distance_is_smaller(found):
    assert found["copies"]["fd"] < found["held out"]["fd"]
    assert found["copies"]["near_copies"] == 1.0
    assert found["held out"]["near_copies"] < 0.5


def test_a_generator_of_fifty_images_loses_by_recall_and_coverage(found):
    assert found["repeated"]["recall"] < 0.2 < 0.8 < found["held out"]["recall"]
    assert found["repeated"]["coverage"] < 0.5 * found["held out"]["coverage"]


def test_the_classifier_knows_digits_it_was_not_trained_on(found):
    source = load_source("mnist5k", image_size=32)
    extractor, *_ = digit_outcomes._reference()
    guesses = extractor.extract(np.asarray(source.images[:])).probabilities.argmax(axis=1)
    assert (guesses == source.labels).mean() > 0.97


def test_committed_controls_are_those_of_the_program(found):
    rows = {row["name"]: row for row in read_rows(digit_outcomes.Path(__file__).parents[2] / "docs" / "data" / "digit_outcomes.jsonl")}
    assert list(rows) == [name for name, _ in digit_outcomes.controls()]
    assert rows["held-out digits"]["fd"] == pytest.approx(found["held out"]["fd"], rel=1e-3)
    assert rows["held-out digits"]["command"] == "python -m experiments.studies.digit_outcomes"
