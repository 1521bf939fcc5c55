"""The adaptive weight, and the losses of embeddings and of a class of the fakes, against their authors' code."""

import json
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses
from gan_jax.losses import MULTICLASS, adaptive_weight, conditional_contrastive_loss, data_to_data_cross_entropy_loss, multi_hinge_loss

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "losses_authors_torch.json").read_text())
EMBEDDED = {"data_to_data": data_to_data_cross_entropy_loss, "contrastive": conditional_contrastive_loss}
LABELS = jnp.array([0, 1, 1, 2, 0, 2])


def batch(seed, dtype=jnp.float32):
    """Embeddings, proxies and labels of six examples."""
    embeddings, table = (jax.random.normal(key, (6, 4), dtype) for key in jax.random.split(jax.random.key(seed)))
    return embeddings, table[:3][LABELS], LABELS


# -- external values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN["adaptive_weight"], ids=range(len(GOLDEN["adaptive_weight"])))
def test_the_weight_of_the_authors(row):
    with jax.enable_x64(True):
        value = row["weight"] * adaptive_weight(np.array(row["task"]), {"kernel": np.array(row["adversarial"])})
        np.testing.assert_allclose(value, row["value"], rtol=1e-12)


CASES = [(name, number) for name in EMBEDDED for number in range(len(GOLDEN[name]))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_values_and_gradients_of_studiogan(name, number):
    row, names = GOLDEN[name][number], {"m_p": "margin"}
    settings = {names.get(key, key): value for key, value in row["settings"].items()}
    with jax.enable_x64(True):
        labels = jnp.array(row["labels"])

        def mean(embeddings, table):
            return EMBEDDED[name](embeddings, table[labels], labels, **settings).mean()

        value, gradients = jax.value_and_grad(mean, argnums=(0, 1))(jnp.array(row["embeddings"]), jnp.array(row["table"]))
        np.testing.assert_allclose(value, row["value"], rtol=1e-10, atol=1e-14)
        for gradient, kind in zip(gradients, ("embeddings_gradient", "table_gradient"), strict=True):
            np.testing.assert_allclose(gradient, row[kind], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("row", GOLDEN["multi_hinge"], ids=["classes", "fakes"])
def test_multi_hinge_of_studiogan(row):
    with jax.enable_x64(True):
        logits, labels = jnp.array(row["logits"]), jnp.array(row["labels"])
        value, gradient = jax.value_and_grad(lambda logits: multi_hinge_loss(logits, labels).mean())(logits)
        np.testing.assert_allclose(value, row["value"], rtol=1e-12)
        np.testing.assert_allclose(gradient, row["gradient"], rtol=1e-12)


def test_values_worked_by_hand():
    # Two unit vectors of two classes at a right angle, each at its own proxy, t = 1/2 and margin 1. The own proxy pulls with 0, and
    # s = (0 + 1 - 1) / t = 0 = m, so the loss is log(1 + exp(0)).
    eye, labels = jnp.eye(2), jnp.array([0, 1])
    np.testing.assert_allclose(data_to_data_cross_entropy_loss(eye, eye, labels, margin=1.0), np.log(2), rtol=1e-6)
    # Contrastive, t = 1: -log(e / (e + 1)).
    np.testing.assert_allclose(conditional_contrastive_loss(eye, eye, labels), np.log(1 + np.exp(-1)), rtol=1e-6)
    # 1 + 3 - 2 for the class, 1 + 3 - 0 for the fakes, and 0 where the label leads by more than 1.
    logits = jnp.array([[2.0, 3.0, 0.0]])
    assert multi_hinge_loss(logits, jnp.array([0]))[0] == 2
    assert MULTICLASS["multi_hinge"].discriminator(logits, logits, jnp.array([0]))[0] == 2 + 4
    assert MULTICLASS["multi_hinge"].generator(3 * logits, jnp.array([1]))[0] == 0


# -- invariances -------------------------------------------------------------------------------------------------------


def test_the_weight_makes_the_gradients_equally_long():
    task, adversarial = {"kernel": jnp.array([3.0, 4.0])}, [jnp.array([0.0, 0.2]), jnp.array([0.0])]
    assert float(adaptive_weight(task, adversarial, eps=0.0)) == pytest.approx(25.0)
    assert float(adaptive_weight(task, adversarial, eps=0.0, largest=7.0)) == 7.0
    slopes = jax.grad(lambda task, adversarial: adaptive_weight(task, adversarial), argnums=(0, 1))(jnp.ones(3), jnp.ones(2))
    assert all(not np.any(slope) for slope in slopes)


@pytest.mark.parametrize("loss", EMBEDDED.values(), ids=EMBEDDED)
def test_only_directions_and_the_partition_into_classes_matter(loss):
    embeddings, proxies, labels = batch(0)
    expected = loss(embeddings, proxies, labels)
    scales = jnp.arange(1.0, 7.0)[:, None]
    np.testing.assert_allclose(loss(scales * embeddings, proxies / scales, labels), expected, rtol=1e-4)
    np.testing.assert_allclose(loss(embeddings, proxies, 10 - labels), expected, rtol=1e-6)
    order = jnp.array([3, 1, 5, 0, 2, 4])
    np.testing.assert_allclose(loss(embeddings[order], proxies[order], labels[order]), expected[order], rtol=1e-5)


@pytest.mark.parametrize("loss", EMBEDDED.values(), ids=EMBEDDED)
def test_examples_on_two_devices_are_compared_with_all(loss):
    embeddings, proxies, labels = batch(1)

    def parts(embeddings, proxies):
        rows = (array.reshape(2, 3, *array.shape[1:]) for array in (embeddings, proxies, labels))
        return jax.vmap(partial(loss, axis_name="device"), axis_name="device")(*rows).reshape(6)

    np.testing.assert_allclose(parts(embeddings, proxies), loss(embeddings, proxies, labels), rtol=1e-5)
    ours, whole = (
        jax.grad(lambda e, p, f=f: f(e, p).sum(), argnums=(0, 1))(embeddings, proxies) for f in (parts, lambda e, p: loss(e, p, labels))
    )
    for one, other in zip(ours, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", EMBEDDED.values(), ids=EMBEDDED)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_vector_of_zeros_and_half_precision_stay_finite(loss, dtype):
    embeddings, proxies, labels = batch(2, dtype)
    embeddings = embeddings.at[0].set(0)
    value, gradient = jax.value_and_grad(lambda embeddings: loss(embeddings, proxies, labels).mean())(embeddings)
    assert value.dtype == jnp.float32
    assert gradient.dtype == dtype
    assert bool(jnp.isfinite(value))
    assert bool(jnp.isfinite(gradient).all())


def test_nan_stays_nan_and_an_unknown_class_is_not_trained_on():
    embeddings, proxies, labels = batch(3)
    for loss in EMBEDDED.values():
        assert np.isnan(loss(embeddings * jnp.nan, proxies, labels)).all()
    assert np.isnan(multi_hinge_loss(jnp.full((2, 3), jnp.nan), jnp.array([0, 1]))).all()
    assert np.isnan(multi_hinge_loss(jnp.zeros((3, 2)), jnp.array([1, 2, -1]))).tolist() == [False, True, True]
    assert np.isnan(adaptive_weight(jnp.array([jnp.nan]), jnp.ones(1)))


VECTORS = jnp.ones((2, 3))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"embeddings and proxies must have one shape", lambda loss: loss(VECTORS, VECTORS[:, :2], jnp.arange(2))),
        (ValueError, r"embeddings must have 2 dimensions", lambda loss: loss(VECTORS[0], VECTORS[0], jnp.arange(3))),
        (ValueError, r"one batch size; got shapes \(2, 3\) and \(3,\)", lambda loss: loss(VECTORS, VECTORS, jnp.arange(3))),
        (ValueError, r"at least two examples", lambda loss: loss(VECTORS[:1], VECTORS[:1], jnp.arange(1))),
        (ValueError, r"temperature must be above 0; got 0", lambda loss: loss(VECTORS, VECTORS, jnp.arange(2), temperature=0)),
        (TypeError, r"labels must be integers; got float32", lambda loss: loss(VECTORS, VECTORS, jnp.ones(2))),
        (TypeError, r"embeddings must be floating point", lambda loss: loss(jnp.ones((2, 3), int), VECTORS, jnp.arange(2))),
    ],
)
def test_errors_of_embeddings(error, message, call):
    for loss in EMBEDDED.values():
        with pytest.raises(error, match=message):
            call(loss)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (r"margin must be in \[0, 1\]; got 1.5", lambda: data_to_data_cross_entropy_loss(VECTORS, VECTORS, jnp.arange(2), margin=1.5)),
        (r"at least two classes; got shape \(2, 1\)", lambda: multi_hinge_loss(VECTORS[:, :1], jnp.arange(2))),
        (r"task_gradient must hold at least one array", lambda: adaptive_weight({}, VECTORS)),
        (r"eps must not be negative .* got -1 and 10000", lambda: adaptive_weight(VECTORS, VECTORS, eps=-1)),
    ],
)
def test_errors_of_settings(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_table_of_multi_class_losses_is_apart_from_the_others():
    assert not set(MULTICLASS) & set(losses.ADVERSARIAL)
    assert all(row.takes_classes for row in MULTICLASS.values())
    assert not any(row.takes_classes for row in losses.ADVERSARIAL.values())
