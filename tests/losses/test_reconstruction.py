"""Losses of features, images and latents against PyTorch, with their invariances and errors."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "losses_torch.json").read_text())["reconstruction"]
REAL, FAKE = np.array(GOLDEN["real"], np.float32), np.array(GOLDEN["fake"], np.float32)


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("l1", lambda: losses.l1_loss(REAL, FAKE)),
        ("l2", lambda: losses.l2_loss(REAL, FAKE)),
        ("l2", lambda: losses.perceptual_loss(REAL, FAKE)),
        ("total_variation", lambda: losses.total_variation_loss(REAL)),
        ("gram", lambda: losses.gram_matrix(REAL)),
        ("style", lambda: losses.style_loss(REAL, FAKE)),
        ("feature_matching", lambda: losses.feature_matching_loss(REAL, FAKE)),
        ("kl", lambda: losses.kl_divergence(np.float32(GOLDEN["mean"]), np.float32(GOLDEN["log_variance"]))),
        ("classifier", lambda: losses.auxiliary_classifier_loss(np.float32(GOLDEN["logits"]), jnp.array(GOLDEN["labels"]))),
        (
            "classifier_smooth",
            lambda: losses.auxiliary_classifier_loss(np.float32(GOLDEN["logits"]), jnp.array(GOLDEN["labels"]), label_smoothing=0.1),
        ),
    ],
)
def test_values_of_pytorch(key, function):
    np.testing.assert_allclose(function(), np.array(GOLDEN[key]), rtol=2e-5, atol=1e-7)


def test_values_worked_by_hand():
    image = jnp.array([[0.0, 1.0], [3.0, -1.0]])[None, :, :, None]
    assert losses.total_variation_loss(image)[0] == 3 + 2 + 1 + 4
    # N(1, e^2) against N(0, 1): (1 + e^2 - 1 - 2) / 2
    assert losses.kl_divergence(jnp.ones((1, 1)), jnp.full((1, 1), 2.0))[0] == pytest.approx((np.exp(2) - 2) / 2)
    # means (1, 2) and (0, 4) of batches of 2 and 1
    assert losses.feature_matching_loss(jnp.array([[0.0, 1.0], [2.0, 3.0]]), jnp.array([[0.0, 4.0]])) == 5.0


def test_a_weight_of_0_leaves_out_an_example_without_a_label():
    logits, labels = jnp.array([[1.0, 3.0], [0.0, 0.0], [2.0, 1.0]]), jnp.array([-1, 0, 2])

    def values(logits, weights):
        return losses.auxiliary_classifier_loss(logits, labels, weights=weights)

    # log 2 for equal logits; an unknown label that counts stays NaN, so that it is seen.
    np.testing.assert_allclose(values(logits, jnp.array([0.0, 2.0, 0.0])), [0.0, 2 * np.log(2), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(values(logits, jnp.array([0.0, 1.0, 0.5]))), [False, False, True])
    np.testing.assert_array_equal(np.isnan(values(logits, None)), [True, False, True])
    np.testing.assert_array_equal(values(logits, 0.0), np.zeros(3))
    gradient = jax.grad(lambda logits: values(logits, jnp.array([0.0, 1.0, 0.0])).sum())(logits)
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [-0.5, 0.5], [0.0, 0.0]])


def test_invariances():
    order = np.random.default_rng(0).permutation(20)
    shuffled = REAL.reshape(2, 20, 3)[:, order].reshape(2, 5, 4, 3)
    np.testing.assert_allclose(losses.gram_matrix(shuffled), losses.gram_matrix(REAL), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(losses.total_variation_loss(REAL + 7), losses.total_variation_loss(REAL), rtol=1e-5)
    np.testing.assert_allclose(losses.feature_matching_loss(REAL, FAKE[::-1]), losses.feature_matching_loss(REAL, FAKE), rtol=1e-6)
    assert losses.style_loss(REAL, shuffled) == pytest.approx(np.zeros(2), abs=1e-10)
    assert float(losses.kl_divergence(jnp.zeros((1, 3)), jnp.zeros((1, 3)))[0]) == 0.0


def test_features_may_be_trees():
    tree, other = {"early": REAL, "late": 2 * REAL}, {"early": FAKE, "late": 2 * FAKE}
    once, weights = losses.perceptual_loss(REAL, FAKE), {"early": 1.0, "late": 0.5}
    np.testing.assert_allclose(losses.perceptual_loss(tree, other), 5 * once, rtol=1e-5)
    np.testing.assert_allclose(losses.perceptual_loss(tree, other, layer_weights=weights), 3 * once, rtol=1e-5)
    np.testing.assert_allclose(losses.style_loss(tree, other), 17 * losses.style_loss(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(losses.feature_matching_loss(tree, other), 5 * losses.feature_matching_loss(REAL, FAKE), rtol=1e-5)


def test_feature_matching_over_devices_is_that_of_the_whole_batch():
    real, fake = (jnp.asarray(x) for x in (REAL, FAKE))
    mapped = jax.vmap(lambda a, b: losses.feature_matching_loss(a, b, axis_name="d"), axis_name="d")(real[:, None], fake[:, None])
    np.testing.assert_allclose(mapped, np.full(2, losses.feature_matching_loss(real, fake)), rtol=1e-6)


def test_derivatives_against_finite_differences():
    with jax.enable_x64(True):
        real, fake = jnp.array(REAL, jnp.float64), jnp.array(FAKE, jnp.float64)
        direction, step = jnp.cos(jnp.arange(real.size, dtype=jnp.float64)).reshape(real.shape), 1e-6
        functions = (
            lambda x: losses.perceptual_loss(real, x).sum(),
            lambda x: losses.style_loss(real, x).sum(),
            lambda x: losses.feature_matching_loss(real, x),
            lambda x: losses.total_variation_loss(x).sum(),
            lambda x: losses.l1_loss(real, x).sum(),
            lambda x: losses.kl_divergence(x, real).sum() + losses.kl_divergence(real, x).sum(),
        )
        for function in functions:
            expected = (function(fake + step * direction) - function(fake - step * direction)) / (2 * step)
            np.testing.assert_allclose((jax.jit(jax.grad(function))(fake) * direction).sum(), expected, rtol=1e-6, atol=1e-9)


def test_labels_that_do_not_exist_are_not_trained_on():
    values = losses.auxiliary_classifier_loss(jnp.zeros((3, 2)), jnp.array([1, 2, -1]))
    assert np.isnan(values).tolist() == [False, True, True]


def test_half_precision_is_summed_in_float32():
    images = jnp.full((1, 64, 64, 1), 100.0, jnp.float16).at[0, ::2].set(-100)
    assert losses.total_variation_loss(images)[0] == 63 * 64 * 200
    assert losses.gram_matrix(images)[0, 0, 0] == 1e4


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"real_images and fake_images must have one shape", lambda: losses.l1_loss(REAL, FAKE[:, :4])),
        (TypeError, r"real_images must be floating point; got int32", lambda: losses.l1_loss(jnp.arange(3), jnp.arange(3))),
        (ValueError, r"images must have 4 dimensions; got shape \(2, 5, 4\)", lambda: losses.total_variation_loss(REAL[..., 0])),
        (ValueError, r"images must not be empty", lambda: losses.total_variation_loss(REAL[:0])),
        (ValueError, r"one structure", lambda: losses.perceptual_loss({"a": REAL}, {"b": FAKE})),
        (ValueError, r"real_features and fake_features.*one shape", lambda: losses.feature_matching_loss(REAL, FAKE[..., :2])),
        (ValueError, r"at least one array; got none", lambda: losses.feature_matching_loss({}, {})),
        (ValueError, r"layer_weights must have the features' structure", lambda: losses.style_loss(REAL, FAKE, layer_weights=[1.0])),
        (TypeError, r"labels must be integers; got float32", lambda: losses.auxiliary_classifier_loss(jnp.zeros((2, 3)), jnp.zeros(2))),
        (ValueError, r"one batch size; got shapes \(2, 3\) and \(4,\)", lambda: _classify(jnp.zeros((2, 3)), 4)),
        (ValueError, r"label_smoothing must be in \[0, 1\]; got -0.1", lambda: _classify(jnp.zeros((2, 3)), 2, label_smoothing=-0.1)),
        (ValueError, r"mean and log_variance must have one shape", lambda: losses.kl_divergence(jnp.zeros((2, 3)), jnp.zeros((2, 4)))),
    ],
)
def test_errors_say_what_came(error, message, call):
    with pytest.raises(error, match=message):
        call()


def _classify(logits, count, **settings):
    return losses.auxiliary_classifier_loss(logits, jnp.zeros(count, jnp.int32), **settings)
