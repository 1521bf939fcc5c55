import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import nn

X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), jnp.float32)


def test_every_name_can_be_had_and_no_file_hides_one():
    files = {module.name for module in pkgutil.iter_modules(nn.__path__)}
    for file in files:
        importlib.import_module(f"gan_jax.nn.{file}")
    assert not files & set(nn.__all__)
    for name in nn.__all__:
        assert getattr(nn, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'Batchnorm'"):
        nn.Batchnorm  # noqa: B018


def test_filtered_resampling_is_adjoint_up_to_a_factor_of_four():
    # <up(x), y> = 4 <x, down(y)> for all x and y.
    y = jnp.asarray(np.random.default_rng(1).normal(size=(4, 16, 16, 3)), jnp.float32)
    np.testing.assert_allclose(jnp.vdot(nn.filtered_upsample(X), y), 4 * jnp.vdot(X, nn.filtered_downsample(y)), rtol=1e-4)


def test_pixel_norm_gives_unit_mean_square_and_keeps_the_direction():
    y = nn.pixel_norm(X)
    np.testing.assert_allclose(jnp.square(y).mean(-1), 1, atol=1e-5)
    np.testing.assert_allclose(nn.pixel_norm(7 * X), y, atol=1e-5)
    np.testing.assert_array_equal(nn.pixel_norm(jnp.zeros((1, 3))), 0)


def test_minibatch_stddev_by_hand():
    # Groups {0, 2} and {1, 3}; the deviations of (0, 2) and (5, 11) are 1 and 3.
    x = jnp.array([0.0, 5.0, 2.0, 11.0])[:, None, None, None] * jnp.ones((4, 2, 2, 3))
    np.testing.assert_allclose(nn.minibatch_stddev(x, 2)[:, 0, 0, 3], [1, 3, 1, 3], atol=1e-6)
    assert nn.minibatch_stddev(x, 100).shape == (4, 2, 2, 4)
    np.testing.assert_allclose(nn.minibatch_stddev(jnp.ones((4, 7)))[:, 7], 1e-4, rtol=1e-5)
    with pytest.raises(ValueError, match="group_size must divide the batch"):
        nn.minibatch_stddev(x, 3)


def test_minibatch_discrimination_tells_equal_examples():
    module = nn.MinibatchDiscrimination(20, 3)
    features = jax.random.normal(jax.random.key(0), (8, 200))
    variables = module.init(jax.random.key(1), features)
    apart, equal = (module.apply(variables, f)[:, 200:] for f in (features, jnp.tile(features[:1], (8, 1))))
    np.testing.assert_allclose(equal, 8, rtol=1e-6)
    # In reach of the exponential at initialisation, whatever the number of features: neither all 1 nor all 8.
    assert 2 < float(apart.mean()) < 6


def test_injected_noise_is_one_image_for_all_channels_scaled_by_each_ones_strength():
    module = nn.NoiseInjection()
    x = jnp.zeros((8, 16, 16, 3))
    params = module.init({"params": jax.random.key(0), "noise": jax.random.key(1)}, x)["params"]
    np.testing.assert_array_equal(params["strength"], 0)
    strength = jnp.array([1.0, -2.0, 0.0])
    y = module.apply({"params": {"strength": strength}}, x, rngs={"noise": jax.random.key(2)})
    np.testing.assert_allclose(y, y[..., :1] * strength, atol=1e-6)
    np.testing.assert_allclose([y[..., 0].mean(), y[..., 0].std()], [0, 1], atol=0.08)
    assert np.abs(y[0, ..., 0] - y[1, ..., 0]).max() > 1
    other = module.apply({"params": {"strength": strength}}, x, rngs={"noise": jax.random.key(3)})
    assert np.abs(other - y).max() > 1
    with pytest.raises(Exception, match="noise"):
        module.apply({"params": {"strength": strength}}, x)


def test_gaussian_noise_has_its_deviation_and_is_independent_between_channels():
    y = nn.GaussianNoise(0.3).apply({}, jnp.ones((8, 16, 16, 2)), rngs={"noise": jax.random.key(0)})
    np.testing.assert_allclose([y.mean(), y.std()], [1, 0.3], atol=0.02)
    assert abs(np.corrcoef(y[..., 0].ravel(), y[..., 1].ravel())[0, 1]) < 0.08


def test_sampling_dropout_always_drops():
    y = nn.SamplingDropout(0.5).apply({}, jnp.ones((100, 100)), rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_allclose(y.mean(), 1, atol=0.05)


def test_attention_starts_as_the_identity():
    x = jnp.tile(X, (1, 1, 1, 3))
    y, _ = nn.SelfAttention().init_with_output(jax.random.key(0), x)
    np.testing.assert_array_equal(y, x)


def test_equalized_weights_have_unit_variance_and_keep_the_scale_of_activations():
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 64))
    y, variables = nn.EqualizedConv(64, gain=1.0).init_with_output(jax.random.key(1), x)
    np.testing.assert_allclose(variables["params"]["conv"]["kernel"].std(), 1, atol=0.02)
    np.testing.assert_allclose(y[:, 1:-1, 1:-1].std(), 1, atol=0.1)


def test_a_class_embedding_of_a_rectangle_repeats_each_cell_of_its_map():
    layer, x = nn.ClassEmbedding(3, features=2, size=2), jnp.zeros((2, 4, 6, 1))
    maps, variables = layer.init_with_output(jax.random.key(0), x, jnp.array([2, 0]))
    table = variables["params"]["table"]["embedding"].reshape(3, 2, 2, 2)
    expected = np.asarray(table)[[2, 0]].repeat(2, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(maps[..., 1:], expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.pixel_shuffle(X, 2), "multiple of factor.2 = 4"),
        (lambda: nn.average_pool(X, 3), "multiples of factor = 3"),
        (lambda: nn.filtered_downsample(X[:, :7]), "multiples of factor = 2"),
        (lambda: nn.resize_nearest(X[0]), "4 dimensions"),
        (lambda: nn.resize_nearest(X, 0), "factor must be at least 1; got 0"),
        (lambda: nn.Upsample(3, "cubic").init(jax.random.key(0), X), "transposed, pixel_shuffle, nearest, bilinear"),
        (lambda: nn.Downsample(3, "mean").init(jax.random.key(0), X), "strided, average, max"),
        (lambda: nn.SelfAttention().init(jax.random.key(0), X), "at least 8 channels"),
        (lambda: nn.SelfAttention().init(jax.random.key(0), X[0]), r"x must have 4 dimensions; got shape \(8, 8, 3\)"),
        (lambda: nn.GroupedConv(3, 3).init(jax.random.key(0), X[0]), r"x must have 4 dimensions; got shape \(8, 8, 3\)"),
        (lambda: nn.GroupedConv(4, 2).init(jax.random.key(0), X), "groups=2 must divide"),
        (lambda: nn.MinibatchDiscrimination().init(jax.random.key(0), X), "2 dimensions"),
        (lambda: nn.ProjectionHead(3).init(jax.random.key(0), X[:, 0, 0]), "num_classes=3"),
        (lambda: nn.ClassEmbedding(3).init(jax.random.key(0), X, jnp.zeros(5, jnp.int32)), r"labels must be of shape \(4,\)"),
        (lambda: nn.ClassEmbedding(3, size=3).init(jax.random.key(0), X, jnp.zeros(4, jnp.int32)), "multiples of size=3"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
