import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import nn

X = np.random.default_rng(0).normal(0.5, 2.0, (6, 4, 4, 5)).astype(np.float32)


def test_moments_keep_their_digits_where_the_mean_is_large():
    # 0, 1, 2, 3 around 10,000: the variance is 1.25; E[x^2] - E[x]^2 in float32 gives 0 or 8.
    mean, variance = nn.moments(10_000 + jnp.arange(4.0), (0,))
    assert mean.item() == 10_001.5
    assert variance.item() == 1.25


def test_batch_norm_keeps_the_digits_that_flax_loses():
    x = 1000 + np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    exact = np.float64(x)
    exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    layers = (nn.BatchNorm, flax_nn.BatchNorm)
    off = {layer: np.abs(layer(False).init_with_output(jax.random.key(0), x)[0] - exact).max() for layer in layers}
    assert off[nn.BatchNorm] < 1e-3 < 1e-2 < off[flax_nn.BatchNorm]


def test_batch_norm_is_flax_s_in_results_gradients_and_running_statistics():
    modules = [layer(False, momentum=0.8, epsilon=1e-3) for layer in (nn.BatchNorm, flax_nn.BatchNorm)]
    variables = [module.init(jax.random.key(0), X) for module in modules]
    assert jax.tree.structure(variables[0]) == jax.tree.structure(variables[1])
    params = jax.tree.map(lambda leaf: leaf + jnp.arange(5.0), variables[0]["params"])

    def weighted(module, params, x):
        y, state = module.apply({**variables[0], "params": params}, x, mutable=["batch_stats"])
        return jnp.sum(y * jnp.cos(jnp.arange(y.size).reshape(y.shape))), state

    found = [jax.value_and_grad(weighted, argnums=(1, 2), has_aux=True)(module, params, X) for module in modules]
    jax.tree.map(lambda mine, flax: np.testing.assert_allclose(mine, flax, rtol=1e-4, atol=1e-4), *found)
    evaluated = [module.clone(use_running_average=True).apply({"params": params, **found[0][0][1]}, X) for module in modules]
    np.testing.assert_allclose(*evaluated, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2), (0, 2)])
def test_moments_and_their_second_derivatives_are_those_of_float64(axes):
    x = X + 100 * np.arange(5, dtype=np.float32)
    x[0, 0] += 300  # the first rows are far from the rest: the shift is a bad guess
    mean, variance = nn.moments(x, axes)
    np.testing.assert_allclose(mean, np.float64(x).mean(axes, keepdims=True), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(variance, np.float64(x).var(axes, keepdims=True), rtol=2e-5)
    count = np.prod([x.shape[axis] for axis in axes])
    # d(v)/dx = 2 (x - m) / n; the gradient of its sum of squares, 8 (x - m) / n^2, is a second derivative.
    slope = jax.grad(lambda x: nn.moments(x, axes)[1].sum())
    second = jax.grad(lambda x: jnp.square(slope(x)).sum())
    centred = np.float64(x) - np.float64(x).mean(axes, keepdims=True)
    np.testing.assert_allclose(slope(x), 2 * centred / count, atol=1e-3 / count)
    np.testing.assert_allclose(second(x), 8 * centred / count**2, atol=4e-3 / count**2)


def test_moments_of_a_constant_have_no_variance():
    assert not np.any(nn.moments(jnp.full((7, 3), 1234.5678), (0,))[1])


def test_moments_over_devices_keep_their_digits():
    x = (1e4 * np.arange(4)[:, None, None] + np.random.default_rng(1).normal(size=(4, 6, 3))).astype(np.float32)
    mean, variance = jax.vmap(lambda part: nn.moments(part, (0,), axis_name="d"), axis_name="d")(x)
    whole = np.float64(x).reshape(24, 3)
    np.testing.assert_allclose(mean, np.broadcast_to(whole.mean(0), (4, 1, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance, np.broadcast_to(whole.var(0), (4, 1, 3)), rtol=1e-6)


def one_hot(index):
    return jnp.full(3, -100.0).at[index].set(0.0)


PARTS = (nn.InstanceNorm(), nn.LayerNorm(), nn.BatchNorm(use_running_average=False, use_scale=False, use_bias=False))


@pytest.mark.parametrize("index", [0, 1, 2], ids=["instance", "layer", "batch"])
def test_switchable_norm_with_one_hot_weights_is_each_of_its_parts(index):
    module = nn.SwitchableNorm()
    variables = jax.jit(module.init)(jax.random.key(0), X)
    params = {**variables["params"], "mean_weight": one_hot(index), "var_weight": one_hot(index)}
    y, _ = module.apply({**variables, "params": params}, X, mutable=["batch_stats"])
    expected, _ = PARTS[index].init_with_output(jax.random.key(0), X)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_switchable_norm_follows_and_uses_the_running_statistics():
    module = nn.SwitchableNorm(momentum=0.75)
    variables = module.init(jax.random.key(0), X)
    _, state = module.apply(variables, X, mutable=["batch_stats"])
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.25 * X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["var"], 0.75 + 0.25 * X.var((0, 1, 2)), rtol=1e-5)
    params = {**variables["params"], "mean_weight": one_hot(2), "var_weight": one_hot(2)}
    y = module.apply({"params": params, **state}, X, use_running_average=True)
    stats = state["batch_stats"]
    np.testing.assert_allclose(y, (X - stats["mean"]) / np.sqrt(stats["var"] + 1e-5), atol=1e-5)


def test_virtual_batch_norm_of_the_reference_batch_is_batch_norm_of_it():
    y, _ = nn.VirtualBatchNorm(6).init_with_output(jax.random.key(0), X)
    expected, _ = nn.BatchNorm(use_running_average=False).init_with_output(jax.random.key(0), X)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_virtual_batch_norm_never_mixes_examples_but_follows_the_reference():
    module = nn.VirtualBatchNorm(2)
    run = jax.jit(lambda x: module.init_with_output(jax.random.key(0), x)[0])
    before = run(X)
    changed = np.any(np.asarray(run(X + 3 * (np.arange(6) == 4)[:, None, None, None] * X)) != before, axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, np.arange(6) == 4)
    changed = np.any(np.asarray(run(X + 3 * (np.arange(6) == 1)[:, None, None, None] * X)) != before, axis=(1, 2, 3))
    assert changed.all()


def test_virtual_batch_norm_of_vectors_is_that_of_images_of_one_pixel():
    x = X[:, 0, 0]
    y, variables = nn.VirtualBatchNorm(3, epsilon=0.0).init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, nn.VirtualBatchNorm(3, epsilon=0.0).apply(variables, x[:, None, None])[:, 0, 0], atol=1e-6)
    # The paper's formula by hand: moments of the 3 reference rows with weight 3/4, of the example itself with 1/4.
    mean = 0.75 * np.float64(x[:3]).mean(0) + 0.25 * np.float64(x[3:])
    square = 0.75 * np.square(np.float64(x[:3])).mean(0) + 0.25 * np.square(np.float64(x[3:]))
    np.testing.assert_allclose(y[3:], (x[3:] - mean) / np.sqrt(square - mean**2), rtol=1e-4, atol=1e-5)


class Generator(flax_nn.Module):
    """A generator as short as one with virtual batch norm can be."""

    @flax_nn.compact
    def __call__(self, latents):
        x = nn.ReferenceBatch(3)(latents)
        return nn.normalize(x[:, None, None], "virtual_batch", train=True, reference_size=3)[3:]


def test_the_reference_batch_is_fixed_state_and_can_be_set():
    latents = jax.random.normal(jax.random.key(0), (4, 5))
    variables = Generator().init(jax.random.key(1), latents)
    (reference,) = jax.tree.leaves(variables["reference"])
    assert reference.shape == (3, 5)
    whole = Generator().apply(variables, latents)
    np.testing.assert_allclose(Generator().apply(variables, latents[2:3]), whole[2:3], atol=1e-6)
    moved = nn.set_reference({"reference": variables["reference"]}, reference + 1.0)
    assert np.abs(Generator().apply({**variables, **moved}, latents) - whole).max() > 0.1
    with pytest.raises(ValueError, match=r"must have shape \(3, 5\)"):
        nn.set_reference(moved, reference[:2])
    with pytest.raises(ValueError, match="must hold the collection 'reference'"):
        nn.set_reference({}, reference)


# Two devices, simulated by `vmap` with a named axis: each normalises its half by the statistics of the whole.
@pytest.mark.parametrize(
    ("module", "condition"),
    [(nn.SwitchableNorm(axis_name="devices"), None), (nn.ConditionalBatchNorm(3, axis_name="devices"), jnp.array([0, 1, 2, 2, 1, 0]))],
    ids=["switchable", "conditional"],
)
def test_statistics_of_two_devices_are_those_of_the_whole_batch(module, condition):
    inputs = (jnp.asarray(X),) if condition is None else (jnp.asarray(X), condition)
    alone = module.clone(axis_name=None)
    variables = alone.init(jax.random.key(0), *inputs)
    expected, state = alone.apply(variables, *inputs, mutable=["batch_stats"])
    halves = [array.reshape(2, 3, *array.shape[1:]) for array in inputs]

    def device(*half):
        return module.apply(variables, *half, mutable=["batch_stats"])

    y, both = jax.vmap(device, axis_name="devices")(*halves)
    np.testing.assert_allclose(y.reshape(X.shape), expected, atol=1e-5)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(two, np.stack([one, one]), rtol=1e-5), dict(state), dict(both))


class Normalized(flax_nn.Module):
    """One norm by its name."""

    norm: str

    @flax_nn.compact
    def __call__(self, x, labels, *, train=True):
        return nn.normalize(x, self.norm, train=train, name="norm", condition=labels, num_classes=3, reference_size=2, dtype=jnp.bfloat16)


@pytest.mark.parametrize("norm", nn.NORMS)
def test_every_norm_can_be_called_by_its_name_in_training_and_in_evaluation(norm):
    labels = jnp.array([0, 1, 2, 2, 1, 0])
    x = jnp.asarray(X, jnp.bfloat16)
    variables = Normalized(norm).init(jax.random.key(0), x, labels)
    y, _ = Normalized(norm).apply(variables, x, labels, mutable=["batch_stats"])
    evaluated = Normalized(norm).apply(variables, x, labels, train=False)
    assert y.dtype == evaluated.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    follows = "batch_stats" in variables
    assert follows == (norm in ("batch", "switchable", "conditional_batch"))
    assert bool(jnp.any(y != evaluated)) == follows
    if norm in ("batch", "conditional_batch"):
        np.testing.assert_allclose(y.astype(jnp.float32).mean((0, 1, 2)), 0, atol=0.02)
    assert (norm == "none") == bool(jnp.all(y == x))


def test_norms_say_what_they_need():
    x = jnp.zeros((2, 4, 4, 3))
    with pytest.raises(ValueError, match="norm must be one of none, batch"):
        nn.normalize(x, "group", train=True)
    with pytest.raises(ValueError, match="needs a condition"):
        nn.normalize(x, "conditional_batch", train=True)
    with pytest.raises(ValueError, match=r"must be labels \[batch\] for x"):
        nn.ConditionalBatchNorm(3).init(jax.random.key(0), x, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"must be vectors \[batch, dim\] for x"):
        nn.ConditionalBatchNorm().init(jax.random.key(0), x, jnp.zeros((3, 5)))
    for wrong in (x, jnp.zeros(5)):
        with pytest.raises(ValueError, match="reference_size=3"):
            nn.VirtualBatchNorm(3).init(jax.random.key(0), wrong)
    for module in (nn.InstanceNorm(), nn.SwitchableNorm()):
        with pytest.raises(ValueError, match="4 dimensions"):
            module.init(jax.random.key(0), x[0])
