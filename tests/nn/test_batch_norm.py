"""`BatchNorm` against Flax's with the same parameters: value, statistics, first and second derivative."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from gan_jax.nn import BatchNorm


def images(dtype=jnp.float32):
    return (3 * jax.random.normal(jax.random.key(0), (4, 3, 2, 5)) + 1).astype(dtype)


def parameters():
    return {"scale": jnp.linspace(0.5, 2, 5), "bias": jnp.linspace(-1, 1, 5)}


STATISTICS = {"mean": jnp.full(5, 0.3), "var": jnp.full(5, 2.0)}


def results(layer, params, x, direction):
    """Value and statistics; gradients; and gradients of the squared input gradient (double backward)."""

    def apply(params, x):
        y, state = layer.apply({"params": params, "batch_stats": STATISTICS}, x, mutable="batch_stats")
        return y, state["batch_stats"]

    def loss(params, x):
        y, statistics = apply(params, x)
        # The statistics, too: the running ones are differentiable functions of the batch.
        return jnp.sum(jnp.sin(y) * direction) + sum(jnp.sum(jnp.cos(s)) for s in statistics.values())

    def squares(params, x):
        return sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(params, x)))

    return apply(params, x), jax.grad(loss, argnums=(0, 1))(params, x), jax.grad(squares, argnums=(0, 1))(params, x)


def assert_close(got, expected, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))


@pytest.mark.parametrize("options", [{}, {"use_bias": False, "epsilon": 0.1}, {"use_scale": False, "momentum": 0.8}], ids=str)
def test_equals_flax_in_value_statistics_and_two_derivatives(options):
    x, direction = images(), jax.random.normal(jax.random.key(1), (4, 3, 2, 5))
    params = {name: value for name, value in parameters().items() if options.get(f"use_{name}", True)}
    got, expected = (jax.jit(partial(results, layer(False, **options)))(params, x, direction) for layer in (BatchNorm, nn.BatchNorm))
    assert_close(got, expected)


def test_normalises_to_the_scale_and_bias_asked_for():
    y, _ = BatchNorm(False).apply({"params": parameters(), "batch_stats": STATISTICS}, images(), mutable="batch_stats")
    np.testing.assert_allclose(y.mean((0, 1, 2)), parameters()["bias"], atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), parameters()["scale"], rtol=1e-4)


def test_starts_and_evaluates_as_flax():
    x = images()
    variables = nn.BatchNorm(False).init(jax.random.key(0), x)
    assert_close(BatchNorm(False).init(jax.random.key(0), x), variables, 0)
    for arguments in ({"use_running_average": True}, {"use_running_average": True, "dtype": jnp.bfloat16}):
        got, expected = (layer(**arguments).apply(variables, x) for layer in (BatchNorm, nn.BatchNorm))
        assert got.dtype == expected.dtype
        assert_close(got.astype(jnp.float32), expected.astype(jnp.float32), 0)


def test_bfloat16_keeps_statistics_in_float32():
    variables = {"params": parameters(), "batch_stats": STATISTICS}
    x = images(jnp.bfloat16)
    y, state = BatchNorm(False, dtype=jnp.bfloat16).apply(variables, x, mutable="batch_stats")
    expected, expected_state = nn.BatchNorm(False, dtype=jnp.float32).apply(variables, x.astype(jnp.float32), mutable="batch_stats")
    assert y.dtype == jnp.bfloat16
    assert_close(y.astype(jnp.float32), expected, 0.01)
    assert_close(state, expected_state)
    assert state["batch_stats"]["mean"].dtype == jnp.float32


def test_works_along_a_shared_axis_under_vmap_and_shard_map():
    variables = {"params": parameters(), "batch_stats": STATISTICS}
    x = images()
    whole, _ = BatchNorm(False).apply(variables, x, mutable="batch_stats")

    def apply(layer, x):
        return layer.apply(variables, x, mutable="batch_stats")[0]

    halves = jax.vmap(partial(apply, BatchNorm(False, axis_name="data")), axis_name="data")(x.reshape(2, 2, 3, 2, 5))
    assert_close(halves.reshape(x.shape), whole)
    separate = jax.vmap(partial(apply, BatchNorm(False)))(x.reshape(2, 2, 3, 2, 5))
    assert_close(separate[1], apply(BatchNorm(False), x[2:]))
    if jax.device_count() < 2:
        pytest.skip("needs two devices")
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])

    def slope(params, x):
        def loss(params):
            y, _ = BatchNorm(False).apply({"params": params, "batch_stats": STATISTICS}, x, mutable="batch_stats")
            return jnp.sum(jnp.sin(y))

        return jax.grad(loss)(params)

    sharded = jax.shard_map(slope, mesh=mesh, in_specs=(PartitionSpec(), PartitionSpec("data")), out_specs=PartitionSpec())
    expected = jax.tree.map(jnp.add, slope(parameters(), x[:2]), slope(parameters(), x[2:]))
    assert_close(jax.jit(sharded)(parameters(), x), expected)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of auto, lax; got 'fast'"):
        BatchNorm(False, form="fast").init(jax.random.key(0), images())
