"""What every row of PENALTIES keeps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from gan_jax.penalties import COUPLES_EXAMPLES, PENALTIES

RNG = jax.random.key(3)
SHAPE = (4, 8, 8, 2)
rows = pytest.mark.parametrize("name", sorted(PENALTIES))


def images(dtype=jnp.float32):
    real, fake, kernel = (jax.random.normal(key, shape) for key, shape in zip(jax.random.split(RNG, 3), (SHAPE, SHAPE, (128, 5))))
    return real.astype(dtype), fake.astype(dtype), 0.3 * kernel.astype(dtype)


@partial(jax.jit, static_argnums=0)
def value(name, kernel, real, fake):
    return eager(name, kernel, real, fake)


def eager(name, kernel, real, fake, rng=RNG):
    return PENALTIES[name](lambda x: jnp.tanh(x.reshape(x.shape[0], -1) @ kernel).sum(1), real, fake, rng)


@rows
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_one_finite_value_per_example_in_at_least_float32(name, dtype):
    real, fake, kernel = images(dtype)
    result = value(name, kernel, real, fake)
    assert result.shape == (4,)
    assert result.dtype == jnp.float32
    assert np.all(np.isfinite(result))
    assert np.all(result >= 0)
    assert result.max() > 0
    exact = value(name, *(x.astype(jnp.float32) for x in (kernel, real, fake)))
    if name in {"r1", "r2"}:  # the others draw points, which differ between dtypes
        np.testing.assert_allclose(result, exact, rtol=0.05)


@rows
def test_jit_vmap_and_gradient(name):
    real, fake, kernel = images()
    plain = eager(name, kernel, real, fake)
    np.testing.assert_allclose(value(name, kernel, real, fake), plain, rtol=2e-4, atol=1e-6)
    stacked = jax.vmap(lambda k: value(name, k, real, fake))(jnp.stack([kernel, 2 * kernel]))
    np.testing.assert_allclose(stacked[0], plain, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(stacked[1], value(name, 2 * kernel, real, fake), rtol=2e-4, atol=1e-6)

    def slope(kernel):
        return jax.grad(lambda k: value(name, k, real, fake).sum())(kernel)

    gradient = jax.jit(slope)(kernel)
    assert np.all(np.isfinite(gradient))
    assert np.abs(gradient).max() > 0
    # A second derivative: reverse over reverse.
    curvature = jax.jit(jax.grad(lambda k: jnp.vdot(slope(k), gradient)))(kernel)
    assert np.all(np.isfinite(curvature))
    assert np.abs(curvature).max() > 0


@rows
def test_gradient_is_finite_where_the_critic_is_flat(name):
    real, fake, kernel = images()

    def slope(kernel):
        return jax.grad(lambda k: value(name, k, real, fake).sum())(kernel)

    flat = jnp.zeros_like(kernel)
    assert np.all(np.isfinite(jax.jit(slope)(flat)))
    assert np.all(np.isfinite(jax.jit(jax.grad(lambda k: slope(k).sum()))(flat)))


@rows
def test_examples_do_not_influence_each_other_unless_declared(name):
    real, fake, kernel = images()
    # Of another scale, so that a coupling through statistics cannot hide in rounding.
    changed = value(name, kernel, real.at[1].multiply(5.0), fake.at[1].multiply(-3.0))
    others = np.asarray([0, 2, 3])
    same = np.allclose(changed[others], value(name, kernel, real, fake)[others], rtol=1e-5)
    assert same == (name not in COUPLES_EXAMPLES)


@rows
def test_adding_a_constant_to_all_logits_changes_nothing(name):
    real, fake, kernel = images()

    @jax.jit
    def raised(kernel, real, fake):
        return PENALTIES[name](lambda x: jnp.tanh(x.reshape(x.shape[0], -1) @ kernel).sum(1) + 1.0, real, fake, RNG)

    shifted = raised(kernel, real, fake)
    np.testing.assert_allclose(shifted, value(name, kernel, real, fake), rtol=1e-4, atol=1e-5)


@rows
def test_works_inside_shard_map(name):
    real, fake, kernel = images()
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    data, replicated = PartitionSpec("data"), PartitionSpec()

    def local(kernel, real, fake):
        return jax.grad(lambda k: value(name, k, real, fake).sum())(kernel)

    sharded = jax.shard_map(local, mesh=mesh, in_specs=(replicated, data, data), out_specs=replicated)
    np.testing.assert_allclose(jax.jit(sharded)(kernel, real, fake), jax.jit(local)(kernel, real, fake), rtol=1e-3, atol=1e-4)


@rows
def test_wrong_inputs_are_refused(name):
    real, fake, kernel = images()
    with pytest.raises(TypeError):
        value(name, kernel, real.astype(jnp.int32), fake.astype(jnp.int32))
    with pytest.raises(ValueError, match="empty"):
        value(name, kernel, real[:0], fake[:0])
    with pytest.raises(ValueError, match="one row of logits per example"):
        PENALTIES[name](lambda x: x.mean(), real, fake, RNG)
