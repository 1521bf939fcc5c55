"""Evaluation: which images are measured with which features, mode counts, and errors."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gan_jax import metrics
from gan_jax.conditioning import Condition
from gan_jax.data import Source, load_source
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, ConfigError, EvaluationConfig, check
from gan_jax.trainer.evaluate import evaluate, metric_values, table
from gan_jax.trainer.features import choose_extractor
from gan_jax.trainer.mode_counts import count_modes, mode_records
from gan_jax.trainer.sample_images import sample_images
from gan_jax.typing import GAN


def evaluating(**fields):
    return Config(evaluation=EvaluationConfig(**fields))


def test_modes_of_a_mixture_are_counted():
    source = load_source("ring")
    on_three = np.repeat(np.asarray(source.centers)[:3], 100, axis=0)
    counts = count_modes(np.concatenate([on_three, np.zeros((100, 2))]), source, None)
    assert counts["modes"][0] == 3
    assert counts["high_quality"][0] == 0.75
    records = mode_records(on_three, source, evaluating(), 0, True)
    assert [record["metric"] for record in records] == ["modes", "high_quality", "reverse_kl"]
    assert records[0]["real"] == 8
    assert "modes" in str(table(records).columns[0]._cells)


def test_real_digits_cover_all_classes():
    source = load_source("mnist5k")
    counts = count_modes(source.held_out.images, source, None)
    assert counts["classes_covered"][0] == 10
    assert counts["rarest_class_share"][0] > 0.08
    assert counts["confident_share"][0] > 0.9
    one_class = count_modes(source.images[source.labels == 3][:100], source, None)
    assert one_class["rarest_class_share"][0] == 0


def test_features_are_chosen_by_name():
    digits, small = load_source("mnist5k"), load_source("mnist5k", image_size=8)
    assert choose_extractor(evaluating(), digits) == "digit_classifier"
    assert choose_extractor(evaluating(), small) is None
    assert choose_extractor(evaluating(extractor="pixels"), digits) is None
    assert count_modes(small.images[:10], small, None) == {}
    with pytest.raises(ConfigError, match=r"--evaluation\.extractor best: must be one of auto"):
        choose_extractor(evaluating(extractor="best"), digits)
    for name, script in (("vgg16", "convert_vgg.py"), ("inception_v3", "convert_inception.py")):
        with pytest.raises(ConfigError, match=script):
            choose_extractor(evaluating(extractor=name), digits)


def test_stacked_digits_are_counted_by_their_three_classes():
    digits = load_source("mnist5k")
    source = dataclasses.replace(digits, name="stacked_mnist")
    zero, one = (digits.images[digits.labels == label][0] for label in (0, 1))
    stack = np.stack([np.concatenate(channels, axis=-1) for channels in [(zero, zero, one), (one, zero, zero), (zero, zero, one)]])
    assert count_modes(stack, source, None)["modes"] == (2.0, {"of": 1000})


def test_distances_are_named_for_their_features():
    assert metric_values([{"metric": "classifier_fd", "value": 3.0}]) == {"classifier_fd": 3.0, "frechet_distance": 3.0, "auto": 3.0}
    assert metric_values([{"metric": "modes", "value": 7}, {"metric": "reverse_kl", "value": 0.5}])["auto"] == 0.5
    assert metric_values([{"metric": "precision", "value": 0.5}]) == {"precision": 0.5}


CLASSES = 3


class Stub:
    """A GAN whose sample n of a batch is image n of `images`, float in [-1, 1]. It records its calls in `asked`."""

    def __init__(self, images, num_classes=CLASSES, context=False, sample_labels=None):
        self.images, self.num_classes, self.image_shape = images, num_classes, images.shape[1:]
        self.sample_labels = sample_labels
        self.asked = []
        self.context = Condition((lambda rng, real: real * 0.5) if context else (lambda rng, real: None))
        self.two_domains = False

    def sample(self, params, opt_state, rng, count, labels=None, context=None, **options):
        self.asked.append((count, None if labels is None else labels.shape, options))
        return params[:count] if context is None else context

    def built(self):
        return BuiltGAN(self, None, GAN(None, None, self.sample))


def evaluated(stub, source, count, names, **options):
    """The records of `evaluate` with digit features, as metric -> record."""
    config = evaluating(extractor="digit_classifier", samples=count)
    records = evaluate(config, stub.built(), source, stub.images, None, names=names, **options)
    return {record["metric"]: record for record in records}


def as_float(images):
    return images.astype(np.float32) / 127.5 - 1


@pytest.fixture(scope="module")
def digits():
    """240 training images and 60 held-out images of the digits 0 to 2. In the order of `evaluate` the labels alternate."""
    digits = load_source("mnist5k")
    by_class = [digits.images[digits.labels == label] for label in range(CLASSES)]

    def part(name, first, count, held_out):
        order = np.random.default_rng(0).permutation(count)
        images, labels = np.empty((count, 32, 32, 1), np.uint8), np.empty(count, np.int32)
        labels[order] = np.arange(count) % CLASSES
        images[order] = np.stack([by_class[n % CLASSES][first + n // CLASSES] for n in range(count)])
        return Source("three_digits", images, labels, CLASSES, name, "for a test", held_out)

    return part("train", 0, 240, part("test", 100, 60, None))


def in_turn(source):
    """The images of a source and their labels, in the order of `evaluate`."""
    order = np.random.default_rng(0).permutation(len(source))
    return source.images[order], source.labels[order]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keeps the cache of statistics out of the home directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gan_jax" / "statistics"


def test_samples_come_in_batches_with_the_classes_in_turn():
    images = np.linspace(-1, 1, 300 * 4, dtype=np.float32).reshape(300, 2, 2, 1)
    stub = Stub(images)
    samples, labels = sample_images(stub.built(), images, None, 300, seed=0, ema=False, truncation=0.5)
    np.testing.assert_array_equal(labels, np.arange(300) % CLASSES)
    np.testing.assert_array_equal(samples[:256], np.rint((images[:256] + 1) * 127.5).astype(np.uint8))
    np.testing.assert_array_equal(samples[256:], samples[:44])  # The second batch is cut.
    assert stub.asked == [(256, (256,), {"ema": False, "truncation": 0.5, "batch_size": 64})]  # Traced once.
    _, chosen = sample_images(stub.built(), images, None, 4, seed=0, labels=np.array([2, 2, 0, 1]))
    np.testing.assert_array_equal(chosen, [2, 2, 0, 1])
    assert sample_images(Stub(images, num_classes=0).built(), images, None, 4, seed=0)[1] is None


def test_a_conditioned_generator_receives_the_images_of_the_source(digits):
    stub = Stub(as_float(digits.images), context=True)
    samples, _ = sample_images(stub.built(), stub.images, None, 5, seed=0, source=digits)
    np.testing.assert_array_equal(samples, np.rint((as_float(digits.images[:5]) * 0.5 + 1) * 127.5).astype(np.uint8))


def test_samples_equal_to_held_out_images_have_their_values(digits, cache):
    names = ["frechet_distance", "kernel_distance", "precision_recall", "sliced_wasserstein"]
    records = evaluated(Stub(as_float(in_turn(digits.held_out)[0])), digits, 60, names, seed=3)
    assert list(records) == ["classifier_fd", "kernel_distance", "precision", "recall", "sliced_wasserstein"]
    for record in records.values():
        assert record["value"] == pytest.approx(record["real"], rel=1e-9)
        assert (record["samples"], record["reference"], record["reference_samples"]) == (60, "three_digits/train", 240)
        assert (record["seed"], record["ema"]) == (3, True)
    assert len(list(cache.iterdir())) == 2  # Features and moments of the reals.


def test_fakes_and_reals_are_not_swapped(digits):
    one = np.broadcast_to(as_float(digits.images[:1]), (60, 32, 32, 1))
    records = evaluated(Stub(one), digits, 60, ["precision_recall"])
    assert records["precision"]["value"] == 1  # The image is one of the reals.
    assert records["recall"]["value"] == 1 / 240  # Only this one of the reals is among its copies.
    assert 0.5 < records["recall"]["real"] <= 1
    # With more held-out images than samples, equally many of both are used.
    assert evaluated(Stub(one), digits, 30, ["precision_recall"])["recall"]["samples"] == 30


def test_the_classification_accuracy_score_is_tested_on_held_out_images(digits, monkeypatch):
    monkeypatch.setattr(metrics.protocol.accuracy.classification_accuracy_score, "__kwdefaults__", {"fit": metrics.fit_linear})
    name = "classification_accuracy_score"
    held, train = in_turn(digits.held_out), in_turn(digits)

    def score(images, labels):
        return metrics.classification_accuracy_score(images, labels, *held, fit=metrics.fit_linear).value

    few = train[0][np.arange(60) % CLASSES]  # One image of each class.
    records = evaluated(Stub(as_float(few)), digits, 60, [name, "spectrum_distance", "intra_class_frechet_distance"])
    assert list(records) == ["spectrum_distance", "intra_class_frechet_distance", name]
    record = records[name]
    assert record["value"] == score(few, np.arange(60) % CLASSES) < record["real"]  # If they were swapped, it would be 1.
    assert record["real"] == score(train[0][:60], train[1][:60])
    assert (record["samples"], record["reference"], record["reference_samples"]) == (60, "three_digits/test", 60)
    assert records["spectrum_distance"]["reference"] == "three_digits/train"
    of_train = evaluated(Stub(as_float(train[0][:60])), digits, 60, [name])[name]
    assert of_train["value"] == of_train["real"]


def test_the_classification_accuracy_score_needs_held_out_images(digits):
    alone = dataclasses.replace(digits, held_out=None)
    stub = Stub(as_float(digits.images))
    with pytest.raises(
        ConfigError, match=r"--metrics classification_accuracy_score: needs held-out images.*three_digits/train leaves none"
    ):
        evaluated(stub, alone, 60, ["classification_accuracy_score"])
    assert not stub.asked  # It fails before sampling.
    assert evaluated(stub, alone, 60, ["frechet_distance"])["classifier_fd"]["real"] is None


def test_held_out_images_that_do_not_suit_a_metric_fail_in_one_line(digits):
    held_out = dataclasses.replace(digits.held_out, labels=np.append(np.zeros(59, np.int32), 1))
    source = dataclasses.replace(digits, held_out=held_out)
    with pytest.raises(
        ConfigError, match=r"^--metrics intra_class\S+ ms_ssim: of the real images beside.*class 1 needs at least 2 images; got 1$"
    ):
        evaluated(Stub(as_float(digits.images)), source, 60, ["intra_class_frechet_distance", "ms_ssim"])


def test_labels_drawn_by_the_generator_are_no_classes(digits):
    """Labels that G draws itself are no classes of the data. Diversity is measured over all samples."""
    stub = Stub(as_float(digits.images), sample_labels=lambda rng, shape: None)
    with pytest.raises(ConfigError, match="needs fake_labels and real_labels"):
        evaluated(stub, digits, 60, ["intra_class_frechet_distance"])
    codes, plain = (evaluated(each, digits, 60, ["ms_ssim"])["ms_ssim"] for each in (stub, Stub(stub.images, num_classes=0)))
    assert codes == plain


def test_metrics_do_not_need_a_home_directory(digits, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert np.isfinite(evaluated(Stub(as_float(digits.images)), digits, 60, ["frechet_distance"])["classifier_fd"]["value"])


def test_features_that_do_not_suit_the_images_fail(tmp_path):
    colour, small = load_source("mnist5k", channels=3), load_source("mnist5k", image_size=8)
    takes = "--evaluation.extractor digit_classifier: takes 28x28x1 or 32x32x1 images; the data are "
    for source, shape in ((colour, "32x32x3"), (small, "8x8x1")):
        with pytest.raises(ConfigError, match=f"^{takes}{shape}$"):
            choose_extractor(evaluating(extractor="digit_classifier"), source)
    with pytest.raises(ConfigError, match="vgg16: takes images of at least 16 pixels a side; the data are 8x8x1"):
        choose_extractor(evaluating(extractor="vgg16", weights=tmp_path), small)
    assert choose_extractor(evaluating(extractor="inception_v3", weights=tmp_path), small) == "inception_v3"


def test_too_few_samples_fail():
    for config, line in (
        (Config(sample_grid=1), "--sample-grid 1: must be at least 2"),
        (evaluating(samples=1), "--evaluation.samples 1: must be at least 2, or 0 for no evaluation"),
        (evaluating(samples=0, every=5), "--evaluation.samples 0: must be at least 2 with --evaluation.every 5"),
    ):
        with pytest.raises(ConfigError) as error:
            check(config)
        assert str(error.value) == line
    for config in (Config(sample_grid=2), evaluating(samples=0), evaluating(samples=2, every=5)):
        assert check(config) is config


def test_images_that_are_not_finite_are_not_measured_as_black():
    images = np.linspace(-1, 1, 8 * 4, dtype=np.float32).reshape(8, 2, 2, 1)
    images[3, 0, 1, 0] = np.nan
    with pytest.raises(ConfigError, match="1 of 8 samples are not finite"):
        sample_images(Stub(images).built(), images, None, 8, seed=0)
