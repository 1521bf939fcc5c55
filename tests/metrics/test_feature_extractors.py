import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import metrics
from gan_jax.metrics import classifier, inception

DIGITS = np.random.default_rng(0).integers(0, 256, (13, 28, 28, 1)).astype(np.uint8)


def digit_extractor():
    return metrics.feature_extractor("digit_classifier", classifier.init(jax.random.key(0)))


def brightness(batch_size=4, **kwargs):
    def apply(params, images):
        means = images.astype(jnp.float32).mean(axis=(1, 2)) * params
        return means, means

    return metrics.FeatureExtractor("brightness", np.float32(2), apply, batch_size=batch_size, **kwargs)


def test_digit_features_are_the_classifier_s():
    result = digit_extractor().extract(DIGITS)
    features, logits = classifier.apply(classifier.init(jax.random.key(0)), DIGITS.astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(result.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.probabilities, jax.nn.softmax(logits), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 13, 50])
def test_batches_change_nothing(batch_size):
    expected = 2 * DIGITS.mean(axis=(1, 2))
    extractor = brightness(batch_size)
    np.testing.assert_allclose(extractor(DIGITS), expected, rtol=1e-5)
    np.testing.assert_allclose(extractor(iter([DIGITS[:2], DIGITS[2:11], DIGITS[11:]])), expected, rtol=1e-5)


def test_streamed_features_make_the_same_moments_and_progress_is_told():
    done = []
    state = metrics.init_moments(1)
    for part in brightness().stream(DIGITS, progress=done.append):
        state = metrics.update_moments(state, part.features)
    assert done == [4, 8, 12, 13]
    np.testing.assert_allclose(state.mean, 2 * DIGITS.mean(), rtol=1e-5)


def test_one_program_serves_all_batches():
    traces = []

    def apply(params, images):
        traces.append(images.shape)
        return images[:, :2, :2].astype(jnp.float32), None

    extractor = metrics.FeatureExtractor("corner", {}, apply, batch_size=5)
    result = extractor.extract(DIGITS)
    assert traces == [(5, 28, 28, 1)]
    assert result.probabilities is None
    np.testing.assert_array_equal(result.features, DIGITS[:, :2, :2].reshape(13, 4))


def test_an_extractor_passes_where_a_name_does():
    extractor = brightness()
    assert metrics.feature_extractor(extractor) is extractor


def test_the_fingerprint_tells_weights_apart():
    assert digit_extractor().fingerprint() == digit_extractor().fingerprint()
    other = metrics.feature_extractor("digit_classifier", classifier.init(jax.random.key(1)))
    assert digit_extractor().fingerprint() != other.fingerprint()
    assert brightness().fingerprint() != brightness(resize="to 8").fingerprint()


# The network itself is compared in test_inception.py; here it is the images that it is given.
def test_inception_takes_grey_as_three_equal_channels(monkeypatch):
    def channels(params, images):
        return inception.InceptionOutput(images.mean(axis=(1, 2)), None, images[:, 0, 0])

    monkeypatch.setattr(inception, "apply", channels)
    extractor = metrics.feature_extractor("inception_v3", {})
    np.testing.assert_allclose(extractor(DIGITS), np.repeat(DIGITS.mean(axis=(1, 2)), 3, axis=1), rtol=1e-5)
    colour = np.concatenate([DIGITS, DIGITS // 2, DIGITS // 3], axis=-1)
    np.testing.assert_allclose(extractor(colour), colour.mean(axis=(1, 2)), rtol=1e-5)
    assert "grey as three channels" in extractor.resize


def test_what_are_no_images_is_refused():
    extractor = brightness()
    with pytest.raises(TypeError, match="uint8"):
        extractor(DIGITS.astype(np.float32))
    with pytest.raises(ValueError, match=r"\[batch, height, width, channels\]"):
        extractor(DIGITS[0])
    with pytest.raises(ValueError, match="not be empty"):
        extractor(DIGITS[:0])
    with pytest.raises(ValueError, match="one shape"):
        extractor([DIGITS[:2], DIGITS[:2, :14]])
    with pytest.raises(KeyError, match="unknown feature extractor 'inception'; must be one of digit_classifier, inception_v3"):
        metrics.feature_extractor("inception")
