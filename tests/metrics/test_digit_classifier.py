import jax
import numpy as np
import pytest

from gan_jax.metrics import classifier


def test_a_file_brings_back_the_same_parameters(tmp_path):
    params = classifier.init(jax.random.key(1))
    classifier.save(params, tmp_path / "digits.safetensors")
    loaded = classifier.load(tmp_path / "digits.safetensors")
    assert loaded.keys() == params.keys()
    for name, value in params.items():
        np.testing.assert_array_equal(loaded[name], value)


def test_another_architecture_is_refused(tmp_path):
    params = classifier.init(jax.random.key(1))
    params["dense/kernel"] = params["dense/kernel"][:, :64]
    with pytest.raises(ValueError, match=r"expected dense/kernel of shape \(1024, 128\), got \(1024, 64\)"):
        classifier.save(params, tmp_path / "digits.safetensors")
    with pytest.raises(FileNotFoundError, match="train_classifier"):
        classifier.load(tmp_path / "none.safetensors")


# By hand: one kernel entry a layer passes one pixel on; SAME padding of a stride of 2 centres a 5x5 window at pixel 2 i + 1.
def test_a_path_through_the_layers_worked_by_hand():
    params = {name: np.zeros_like(value) for name, value in classifier.init(jax.random.key(0)).items()}
    params["conv_0/kernel"][2, 2, 0, 3] = 2
    params["conv_0/bias"][3] = 0.5
    params["conv_1/kernel"][2, 2, 3, 1] = 1
    params["conv_2/kernel"][0, 0, 1, 0] = -1
    params["conv_2/bias"][0] = 4
    params["dense/kernel"][0, 7] = 3
    params["logits/kernel"][7, 9] = 2
    params["logits/bias"][9] = 1
    images = np.zeros((2, 32, 32, 1), np.float32)
    images[0, 3, 3, 0] = 1
    # First map of 4x4 reads (0, 0) of 8x8, which reads (1, 1) of 16x16, which reads pixel (3, 3).
    features, logits = classifier.apply(params, images)
    assert features[0, 7] == pytest.approx(3 * (4 - 2.5))
    assert features[1, 7] == pytest.approx(3 * (4 - 0.5))
    assert logits[0, 9] == pytest.approx(2 * 4.5 + 1)
    assert np.count_nonzero(features) == 2


def test_28_pixels_are_padded_with_ground():
    params = classifier.init(jax.random.key(2))
    small = np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    large = np.full((3, 32, 32, 1), -1, np.float32)
    large[:, 2:30, 2:30] = small
    for a, b in zip(classifier.apply(params, small), classifier.apply(params, large)):
        np.testing.assert_array_equal(a, b)


def test_what_are_no_digits_is_refused():
    params = classifier.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"\[batch, 32, 32, 1\]"):
        classifier.apply(params, np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(TypeError, match="uint8"):
        classifier.apply(params, np.zeros((1, 32, 32, 1), np.uint8))


def test_the_shipped_weights_are_of_this_architecture():
    params = classifier.load()
    features, logits = classifier.apply(params, np.full((1, 32, 32, 1), -1, np.float32))
    assert features.shape == (1, classifier.FEATURES)
    assert logits.shape == (1, classifier.CLASSES)
    assert all(np.isfinite(value).all() for value in params.values())
