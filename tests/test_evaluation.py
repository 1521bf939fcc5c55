"""What is counted, with which features, and what is refused."""

import dataclasses

import numpy as np
import pytest

from gan_jax.config import Config, ConfigError, EvaluationConfig
from gan_jax.data import load_source
from gan_jax.evaluation import count_modes, extractor_of, metric_values, mode_records, table


def evaluating(**fields):
    return Config(evaluation=EvaluationConfig(**fields))


def test_modes_of_a_mixture_are_counted():
    source = load_source("ring")
    on_three = np.repeat(np.asarray(source.centers)[:3], 100, axis=0)
    found = count_modes(np.concatenate([on_three, np.zeros((100, 2))]), source, None)
    assert found["modes"][0] == 3
    assert found["high_quality"][0] == 0.75
    records = mode_records(on_three, source, evaluating(), 0, True)
    assert [record["metric"] for record in records] == ["modes", "high_quality", "reverse_kl"]
    assert records[0]["real"] == 8
    assert "modes" in str(table(records).columns[0]._cells)


def test_real_digits_cover_all_classes():
    source = load_source("mnist5k")
    found = count_modes(source.held_out.images, source, None)
    assert found["classes_covered"][0] == 10
    assert found["rarest_class_share"][0] > 0.08
    assert found["confident_share"][0] > 0.9
    one_class = count_modes(source.images[source.labels == 3][:100], source, None)
    assert one_class["rarest_class_share"][0] == 0


def test_features_are_chosen_by_name():
    digits, small = load_source("mnist5k"), load_source("mnist5k", image_size=8)
    assert extractor_of(evaluating(), digits) == "digit_classifier"
    assert extractor_of(evaluating(), small) is None
    assert extractor_of(evaluating(extractor="pixels"), digits) is None
    assert count_modes(small.images[:10], small, None) == {}
    with pytest.raises(ConfigError, match=r"--evaluation\.extractor best: must be one of auto"):
        extractor_of(evaluating(extractor="best"), digits)
    for name, script in (("vgg16", "convert_vgg.py"), ("inception_v3", "convert_inception.py")):
        with pytest.raises(ConfigError, match=script):
            extractor_of(evaluating(extractor=name), digits)


def test_stacked_digits_are_counted_by_their_three_classes():
    digits = load_source("mnist5k")
    source = dataclasses.replace(digits, name="stacked_mnist")
    zero, one = (digits.images[digits.labels == label][0] for label in (0, 1))
    stack = np.stack([np.concatenate(channels, axis=-1) for channels in [(zero, zero, one), (one, zero, zero), (zero, zero, one)]])
    assert count_modes(stack, source, None)["modes"] == (2.0, {"of": 1000})


def test_distances_are_named_for_their_features():
    assert metric_values([{"metric": "classifier_fd", "value": 3.0}]) == {"classifier_fd": 3.0, "frechet_distance": 3.0}
    assert metric_values([{"metric": "precision", "value": 0.5}]) == {"precision": 0.5}
